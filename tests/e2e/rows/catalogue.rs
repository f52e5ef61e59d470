//! Connectors, and what a Connection may ask of them.

use anyhow::Result;
use kube::ResourceExt;
use kube::api::DeleteParams;
use liaison::domain::conditions::ConditionType;
use serde_json::json;

use crate::fixtures::{Ground, client_credentials_connector, message, token_connector};
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

#[tokio::test]
async fn s02_an_unknown_connector_is_reported_and_heals_when_it_appears() -> Result<()> {
    let ground = ground("s02").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": 1, "name": "ada" }))));
    ground.secret("pat", &[("token", "t")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "s02-later" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("c", spec).await?;
    let connection = ground.until("c", ConditionType::Ready, "False", "ConnectorNotFound").await?;
    assert!(message(&connection, ConditionType::Ready).contains("connector s02-later does not exist"));

    ground.connector("s02-later", token_connector(&|path| provider.endpoint(path))).await?;
    ground.until_ready("c").await?;

    ground.connectors().delete("s02-later", &DeleteParams::default()).await?;
    ground.until("c", ConditionType::Ready, "False", "ConnectorNotFound").await?;
    Ok(())
}

#[tokio::test]
async fn a_faulty_connector_lists_all_its_faults_and_its_connections_say_so() -> Result<()> {
    let ground = ground("faulty").await?;
    let mut spec = token_connector(&|path| format!("https://{{region}}.example.com{path}"));
    spec["verify"]["success"] = "response.status ==".into();
    ground.connector("faulty", spec).await?;
    let connectors = ground.connectors();
    let fault = eventually("Valid=False", crate::fixtures::HEALS, async || {
        let connector = connectors.get("faulty").await?;
        let conditions = connector.status.unwrap_or_default().conditions;
        Ok(conditions.into_iter().find(|found| found.type_ == "Valid" && found.status == "False"))
    })
    .await?;
    assert!(fault.message.contains("undeclared variable \"region\""), "{}", fault.message);
    assert!(fault.message.contains("spec.verify.success"), "{}", fault.message);

    ground.secret("pat", &[("token", "t")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "faulty" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("c", spec).await?;
    ground.until("c", ConditionType::Ready, "False", "ConnectorInvalid").await?;
    Ok(())
}

#[tokio::test]
async fn s05_a_connection_ties_to_exactly_one_application_and_keeps_one_token() -> Result<()> {
    let ground = ground("s05").await?;
    let world = World::shared();
    let refused = ground.connection("none", json!({})).await;
    assert!(format!("{:#}", refused.unwrap_err()).contains("connectorRef"));

    let spec = oidc_connector(world);
    ground.connector("s05", spec).await?;
    ground.secret("app", &oidc_client()).await?;
    for name in ["one", "other"] {
        let spec =
            json!({ "connectorRef": { "name": "s05" }, "oauthApp": { "secretRef": { "name": "app" } } });
        ground.connection(name, spec).await?;
    }
    let (one, other) = (ground.until_ready("one").await?, ground.until_ready("other").await?);
    let tokens =
        ground.secrets().list(&kube::api::ListParams::default().labels("liaison.dev/token-of")).await?;
    let mut owners: Vec<_> =
        tokens.iter().map(|secret| secret.labels()["liaison.dev/token-of"].clone()).collect();
    owners.sort();
    let mut uids = vec![one.uid().unwrap_or_default(), other.uid().unwrap_or_default()];
    uids.sort();
    assert_eq!(owners, uids);
    Ok(())
}

/// The certified provider, which names no accounts for clients.
pub(super) fn oidc_connector(world: &World) -> serde_json::Value {
    let endpoint = |path: &str| world.oidc.endpoint(path);
    json!({
        "displayName": "Certified provider",
        "authMethods": [{ "type": "OAuth2ClientCredentials", "oauth2": {
            "tokenURL": endpoint("token"), "revokeURL": endpoint("token/revocation"),
            "scopes": { "default": ["read"] },
        }}],
    })
}

pub(super) fn oidc_client() -> [(&'static str, &'static str); 2] {
    use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET};
    [("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]
}

#[tokio::test]
async fn s12_missing_parameters_are_named_together() -> Result<()> {
    let ground = ground("s12").await?;
    let mut spec = token_connector(&|path| format!("https://example.com{path}"));
    spec["parameters"] = json!([{ "name": "siteUrl", "required": true, "enum": ["eu", "us"] }]);
    ground.connector("jira-like", spec).await?;
    let text = ground.told("c", json!({ "connectorRef": { "name": "jira-like" } })).await?;
    let wanted =
        "connector \"jira-like\" with authType \"PersonalAccessToken\" needs parameters: siteUrl, token";
    assert!(text.contains(wanted), "{text}");
    Ok(())
}

#[tokio::test]
async fn s36_the_auth_type_is_asked_for_when_there_are_several_and_defaulted_when_there_is_one() -> Result<()>
{
    let ground = ground("s36").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": 1, "name": "ada" }))));
    let one = token_connector(&|path| provider.endpoint(path));
    let mut several = one.clone();
    let methods = several["authMethods"].as_array_mut().unwrap();
    methods.push(json!({ "type": "APIKey", "request": { "headers": { "X-Key": "{apiKey}" } } }));
    methods.push(json!({ "type": "Basic" }));
    ground.connector("s36-one", one).await?;
    ground.connector("s36-several", several).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    let spec = |name: &str| json!({ "connectorRef": { "name": name }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("one", spec("s36-one")).await?;
    ground.until_ready("one").await?;
    let text = ground.told("several", spec("s36-several")).await?;
    assert!(text.contains("connector \"s36-several\" supports several auth types"), "{text}");
    assert!(text.contains("PersonalAccessToken, APIKey, Basic"), "{text}");
    Ok(())
}

#[tokio::test]
async fn s39_an_auth_type_that_the_connector_lacks_is_refused_with_those_it_has() -> Result<()> {
    let ground = ground("s39").await?;
    ground.connector("s39", token_connector(&|path| format!("https://example.com{path}"))).await?;
    let spec = json!({ "connectorRef": { "name": "s39" }, "authType": "OAuth2Password" });
    let text = ground.told("c", spec).await?;
    let wanted =
        "connector \"s39\" does not support authType \"OAuth2Password\"; supported: PersonalAccessToken";
    assert!(text.contains(wanted), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_connector_with_a_malformed_field_is_refused_with_the_field_and_the_values() -> Result<()> {
    let ground = ground("malformed").await?;
    let mut spec = client_credentials_connector(&|path| format!("https://example.com{path}"));
    spec["authMethods"][0]["oauth2"]["clientAuthentication"] = "Telepathy".into();
    let error = format!("{:#}", ground.connector("malformed", spec).await.unwrap_err());
    assert!(error.contains("clientAuthentication") && error.contains("Basic"), "{error}");
    Ok(())
}
