//! From a manifest to a Connection that can be used, and what stands in the way.

use anyhow::Result;
use liaison::api::connection::State;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::catalogue::{oidc_client, oidc_connector};
use crate::fixtures::{Ground, client_credentials_connector, message, token_connector};
use crate::support::free_port;
use crate::support::strict_provider::Answer;
use crate::world::{EGRESS_ADDRESS, World};

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

fn with_app(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

fn with_pat(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "credentials": { "secretRef": { "name": "pat" } } })
}

#[tokio::test]
async fn s06_a_connection_is_inactive_until_the_provider_has_authenticated_it() -> Result<()> {
    let world = World::shared();
    let ground = ground("s06").await?;
    let mut person = oidc_connector(world);
    person["authMethods"][0]["type"] = "OAuth2AuthorizationCode".into();
    person["authMethods"][0]["oauth2"]["authorizeURL"] = world.oidc.endpoint("auth").into();
    ground.connector("s06-person", person).await?;
    ground.connector("s06-client", oidc_connector(world)).await?;
    ground.secret("app", &oidc_client()).await?;

    ground.connection("person", with_app("s06-person")).await?;
    let waiting =
        ground.until("person", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    ground.until("person", ConditionType::Ready, "False", "AwaitingAuthentication").await?;
    let status = waiting.status.unwrap_or_default();
    assert_eq!((status.state, status.account.as_deref()), (State::Inactive, Some("System")));

    ground.connection("client", with_app("s06-client")).await?;
    let connected = ground.until("client", ConditionType::Authenticated, "True", "TokenIssued").await?;
    assert_eq!(connected.status.unwrap_or_default().state, State::Connected);
    ground.until_event("client", "Authenticated").await
}

#[tokio::test]
async fn s40_credentials_come_by_reference_only_and_a_valid_set_needs_no_further_action() -> Result<()> {
    let world = World::shared();
    let ground = ground("s40").await?;
    let provider = world.provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector("s40", token_connector(&|path| provider.endpoint(path))).await?;

    let mut literal = with_pat("s40");
    literal["parameters"] = json!({ "token": "secret-in-spec" });
    let error = format!("{:#}", ground.connection("c", literal).await.unwrap_err());
    assert!(error.contains("spec.parameters cannot carry credentials"), "{error}");
    let manifest = "apiVersion: liaison.dev/v1alpha1\nkind: Connection\nmetadata: {name: c, namespace: s40}\n\
         spec: {connectorRef: {name: s40}, credentials: {token: x, secretRef: {name: pat}}}\n";
    let file = world.control_plane.directory().join("s40.yaml");
    std::fs::write(&file, manifest)?;
    let refused = world.control_plane.run_kubectl(&["apply", "-f", &file.to_string_lossy()]).unwrap_err();
    assert!(format!("{refused:#}").contains("unknown field \"spec.credentials.token\""), "{refused:#}");

    ground.secret("pat", &[("token", "t")]).await?;
    ground.connection("c", with_pat("s40")).await?;
    let status = ground.until_ready("c").await?.status.unwrap_or_default();
    assert_eq!(status.account.as_deref(), Some("ada"));
    Ok(())
}

#[tokio::test]
async fn a_missing_secret_label_and_key_are_each_named_and_heal_within_ten_seconds() -> Result<()> {
    let ground = ground("healing").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector("healing", token_connector(&|path| provider.endpoint(path))).await?;
    ground.connection("c", with_pat("healing")).await?;
    let missing = ConditionType::Authenticated;
    let connection = ground.until("c", missing, "False", "CredentialsMissing").await?;
    assert!(message(&connection, missing).contains("secret \"pat\" does not exist in namespace \"healing\""));

    let unlabelled = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "pat" }, "stringData": { "other": "x" } });
    ground.apply(&unlabelled).await?;
    // Nothing tells of a Secret without the label; the next look does.
    ground.annotate("c", "liaison.dev/verify-at", "now").await?;
    ground
        .until_is("c", "asks for the label", |c| message(c, missing).contains("kubectl label secret pat"))
        .await?;

    ground.secret("pat", &[("other", "x")]).await?;
    ground
        .until_is("c", "asks for the key", |c| {
            message(c, missing).contains("lacks a value under the key token")
        })
        .await?;
    assert_eq!(provider.received().len(), 0);

    ground.secret("pat", &[("token", "t")]).await?;
    ground.until_ready("c").await?;
    Ok(())
}

#[tokio::test]
async fn s15_an_unreachable_provider_is_named_with_our_addresses_and_never_taken_for_bad_credentials()
-> Result<()> {
    let ground = ground("s15").await?;
    let world = World::shared();
    let silent = world.provider_that_refuses()?;
    ground.connector("s15", client_credentials_connector(&|path| format!("http://{silent}{path}"))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", with_app("s15")).await?;
    let connection = ground.until("c", ConditionType::Authenticated, "False", "EgressBlocked").await?;
    let text = message(&connection, ConditionType::Authenticated);
    assert!(text.contains(&silent) && text.contains(EGRESS_ADDRESS), "{text}");
    assert_eq!(connection.status.unwrap_or_default().state, State::Inactive);
    Ok(())
}

#[tokio::test]
async fn a_loopback_provider_without_an_exception_is_denied_before_anything_is_sent() -> Result<()> {
    let ground = ground("denied").await?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", free_port()?))?;
    let port = listener.local_addr()?.port();
    ground
        .connector("denied", client_credentials_connector(&|path| format!("https://localhost:{port}{path}")))
        .await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", with_app("denied")).await?;
    ground.until("c", ConditionType::Authenticated, "False", "EgressDenied").await?;
    listener.set_nonblocking(true)?;
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    Ok(())
}

#[tokio::test]
async fn a_wrong_client_secret_is_reported_asked_once_and_heals_when_it_is_mended() -> Result<()> {
    let world = World::shared();
    let ground = ground("wrong-secret").await?;
    let provider = world.provider()?;
    provider.script(|request| {
        // Basic YTpnb29k is a:good.
        let good = request.headers.get("authorization").is_some_and(|value| value == "Basic YTpnb29k");
        Some(match (request.path.as_str(), good) {
            ("/token", false) => Answer::json(401, &json!({ "error": "invalid_client" })),
            ("/token", true) => Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 })),
            _ => Answer::json(200, &json!({ "id": "1", "name": "ada" })),
        })
    });
    ground.connector("wrong-secret", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "bad")]).await?;
    ground.connection("c", with_app("wrong-secret")).await?;
    let connection = ground.until("c", ConditionType::Authenticated, "False", "ClientRejected").await?;
    let stalled = ConditionType::Stalled.as_str();
    let conditions = connection.status.unwrap_or_default().conditions;
    assert!(conditions.iter().any(|found| found.type_ == stalled && found.status == "True"));
    ground.until_event("c", "ClientRejected").await?;

    ground.annotate("c", "example.com/unrelated", "1").await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "good")]).await?;
    ground.until_ready("c").await?;
    assert_eq!(provider.count("/token"), 2);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_fails_for_a_while_is_asked_again_and_its_wish_to_wait_is_honoured() -> Result<()> {
    let world = World::shared();
    let ground = ground("failing").await?;
    let provider = world.provider()?;
    let counted = provider.clone();
    provider.script(move |request| {
        let mut unavailable = Answer::json(503, &json!({}));
        unavailable.headers.push(("retry-after".to_owned(), "1".to_owned()));
        Some(match request.path.as_str() {
            "/token" if counted.count("/token") < 1 => unavailable,
            "/token" => Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 })),
            _ => Answer::json(200, &json!({ "id": "1", "name": "ada" })),
        })
    });
    ground.connector("failing", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", with_app("failing")).await?;
    ground.until("c", ConditionType::Authenticated, "False", "ProviderUnavailable").await?;
    ground.until_ready("c").await?;
    Ok(())
}
