//! Processes that consume connections.

mod secrets;

use std::time::Instant;

use anyhow::{Context as _, Result};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use liaison::api::process_binding::Requirement;
use serde_json::{Value, json};

use super::catalogue::{oidc_client, oidc_connector};
use crate::binding::{WITHDRAWN, grant, is_fresh, process, ready_message, withdraw};
use crate::fixtures::{Ground, HEALS, client_credentials_connector, token_connector};
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::{SOON, eventually};
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

fn client_credentials(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

/// A folder with the Connection `c`, which is Ready, and its Connector of the folder's name.
pub(super) async fn working(name: &str) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    provider.script(|request| match request.path.as_str() {
        "/token" => Some(Answer::json(
            200,
            &json!({ "access_token": "issued-to-c", "refresh_token": "never-handed-out", "expires_in": 3600 }),
        )),
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "acme" }))),
        "/revoke" => Some(Answer::json(200, &json!({}))),
        _ => None,
    });
    let mut connector = client_credentials_connector(&|path| provider.endpoint(path));
    connector["baseURL"] = "https://api.example.com/v1".into();
    ground.connector(name, connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", client_credentials(name)).await?;
    ground.until_ready("c").await?;
    Ok((ground, provider))
}

pub(super) fn to(connection: &str) -> Value {
    json!({ "connectionRef": { "name": connection }, "secretName": "orders" })
}

pub(super) fn holds_token(texts: &std::collections::BTreeMap<String, String>) -> bool {
    texts.contains_key("access-token")
}

#[tokio::test]
async fn s10_a_process_that_may_use_the_connection_gets_its_token_in_a_secret() -> Result<()> {
    let (ground, _provider) = working("s10").await?;
    ground.grant_use().await?;
    let mut spec = to("c");
    spec["purpose"] = "announces orders".into();
    ground.bind("orders", "s10", spec).await?;
    let bound = ground.until_binding("orders", "True", "Bound").await?;
    let status = bound.status.clone().unwrap_or_default();
    assert_eq!(status.requirement, Some(Requirement::Available));
    assert_eq!(status.binding.map(|binding| binding.name).as_deref(), Some("orders"));
    assert_eq!(status.connection.map(|connection| connection.name).as_deref(), Some("c"));

    let secret = ground.secrets().get("orders").await?;
    assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/s10"));
    assert_eq!(
        secret.owner_references().iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>(),
        [bound.uid().unwrap_or_default()]
    );
    assert!(secret.annotations().contains_key("liaison.dev/connection-hash"));
    let texts = crate::binding::texts(secret);
    let known: Vec<_> = texts
        .iter()
        .filter(|(key, _)| *key != "expires-at")
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        known,
        [
            ("access-token", "issued-to-c"),
            ("account", "acme"),
            ("base-url", "https://api.example.com/v1"),
            ("provider", "liaison"),
            ("scopes", "read"),
            ("token-type", "Bearer"),
            ("type", "s10"),
        ]
    );
    let expires_at: jiff::Timestamp = texts["expires-at"].parse()?;
    assert_eq!(Some(expires_at), status.expires_at.map(|time| time.0));

    let namespace = ground.namespace.as_str();
    // What kubectl remembers of the API server may be from before our kinds were there; being asked, it looks again.
    let listed = eventually("kubectl knows the category", SOON, async || {
        let get = ["get", "integration", "--namespace", namespace];
        Ok(World::shared().control_plane.run_kubectl(&get).ok())
    })
    .await?;
    assert!(listed.contains("processbinding.liaison.dev/orders"), "{listed}");
    assert!(listed.contains("connection.liaison.dev/c"), "{listed}");

    ground.bindings().delete("orders", &DeleteParams::default()).await?;
    eventually("the Secret goes with its binding", SOON, async || {
        Ok(ground.secrets().get_opt("orders").await?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn s17_use_is_reviewed_where_the_connection_is_and_reading_secrets_gives_none() -> Result<()> {
    let (ground, _provider) = working("s17").await?;
    let name = format!("--serviceaccount={}:orders", ground.namespace);
    let view =
        ["create", "rolebinding", "reads", "--clusterrole=admin", "--namespace", &ground.namespace, &name];
    World::shared().control_plane.run_kubectl(&view)?;
    ground.bind("orders", "s17", to("c")).await?;
    ground.until_binding("orders", "False", "PermissionDenied").await?;
    assert_eq!(ground.secret_texts("orders").await?, None);
    ground.grant_use().await?;
    ground.until_binding("orders", "True", "Bound").await?;
    Ok(())
}

#[tokio::test]
async fn n12_a_process_without_the_right_is_told_which_and_where_and_heals_with_it() -> Result<()> {
    let (ground, _provider) = working("n12").await?;
    ground.bind("orders", "n12", to("c")).await?;
    let denied = ground.until_binding("orders", "False", "PermissionDenied").await?;
    let message = ready_message(&denied);
    let words = "service account \"orders\" lacks use on connections in folder \"n12\"; ";
    assert!(message.starts_with(words), "{message}");

    // The command that it names is good.
    let command = message.split('`').nth(1).context("a command")?;
    let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
    make_use_role().await?;
    World::shared().control_plane.run_kubectl(&arguments)?;
    ground.until_binding("orders", "True", "Bound").await?;
    Ok(())
}

/// The chart's role for workloads.
pub(super) async fn make_use_role() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    let right = json!({ "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"] });
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(client);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "liaison-connection-use" }, "rules": [right],
    });
    roles.patch("liaison-connection-use", &PatchParams::apply("test").force(), &Patch::Apply(&role)).await?;
    Ok(())
}

#[tokio::test]
async fn withdrawal_of_use_empties_the_secret_and_keeps_what_mounts_it_alive() -> Result<()> {
    let (ground, _provider) = working("withdrawn").await?;
    ground.grant_use().await?;
    ground.bind("orders", "withdrawn", to("c")).await?;
    ground.until_secret("orders", "has the token", holds_token).await?;
    withdraw(&ground.client, &ground.namespace).await?;
    let withdrawn = Instant::now();
    let left = ground.until_secret("orders", "has lost the token", |texts| !holds_token(texts)).await?;
    let took = withdrawn.elapsed();
    report(&format!("bindings: a withdrawn right emptied the Secret after {took:?}"));
    assert!(took < WITHDRAWN, "{took:?}");
    assert_eq!(left.keys().collect::<Vec<_>>(), ["provider", "type"]);
    let denied = ground.until_binding("orders", "False", "PermissionDenied").await?;
    let status = denied.status.unwrap_or_default();
    assert_eq!(status.binding.map(|binding| binding.name).as_deref(), Some("orders"));
    assert_eq!((status.connection, status.expires_at), (None, None));

    ground.grant_use().await?;
    ground.until_secret("orders", "has the token again", holds_token).await?;
    Ok(())
}

/// A line for people, also where a test's output is captured.
fn report(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test]
async fn across_folders_only_the_right_tells_whether_a_connection_exists() -> Result<()> {
    let (there, _provider) = working("lender").await?;
    let here = ground("borrower").await?;
    let reference =
        |name: &str| json!({ "connectionRef": { "namespace": "lender", "name": name }, "secretName": name });
    here.bind("there-is", "lender", reference("c")).await?;
    here.bind("there-is-not", "lender", reference("d")).await?;
    let said = async |name: &str| -> Result<Value> {
        let binding = here.until_binding(name, "False", "ConnectionNotAccessible").await?;
        let mut status = serde_json::to_value(binding.status.unwrap_or_default())?;
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = Value::Null;
        }
        Ok(status)
    };
    let (is, is_not) = (said("there-is").await?, said("there-is-not").await?);
    assert_eq!(is.to_string().replace("lender/c", "lender/d"), is_not.to_string());
    assert!(is.to_string().contains("connection \\\"lender/c\\\" not found or not accessible; "), "{is}");

    grant(&there.client, "lender", process("borrower"), Some("c")).await?;
    here.until_binding("there-is", "True", "Bound").await?;
    assert_eq!(here.secret_texts("c").await?.context("a Secret")?["access-token"], "issued-to-c");
    assert_eq!(said("there-is-not").await?, is_not);
    withdraw(&there.client, "lender").await?;
    here.until_secret("c", "has lost the token", |texts| !holds_token(texts)).await?;
    let mut after = said("there-is").await?;
    // The Secret stays, without a credential.
    after.as_object_mut().context("a status")?.remove("binding");
    assert_eq!(after, is);
    Ok(())
}

#[tokio::test]
async fn a_binding_to_the_default_follows_it() -> Result<()> {
    let (ground, _provider) = working("follows").await?;
    ground.grant_use().await?;
    ground.bind("orders", "follows", json!({ "default": true, "secretName": "orders" })).await?;
    let bound = async |name: &str| -> Result<()> {
        let bindings = ground.bindings();
        eventually(&format!("orders is bound to {name}"), HEALS, async || {
            let status = bindings.get("orders").await?.status.unwrap_or_default();
            Ok(status.connection.is_some_and(|connection| connection.name == name).then_some(()))
        })
        .await
    };
    bound("c").await?;
    ground.connection("d", client_credentials("follows")).await?;
    let none = ground.until_binding("orders", "False", "NoDefaultConnection").await?;
    assert!(
        ready_message(&none).contains("none of them is the default: \"c\", \"d\""),
        "{}",
        ready_message(&none)
    );
    assert!(
        !ground
            .until_secret("orders", "is emptied", |texts| !holds_token(texts))
            .await?
            .contains_key("account")
    );
    ground.patch("d", json!({ "spec": { "default": true } })).await?;
    bound("d").await?;
    ground.until_secret("orders", "is filled", holds_token).await?;
    ground.patch("d", json!({ "spec": { "default": false } })).await?;
    ground.patch("c", json!({ "spec": { "default": true } })).await?;
    bound("c").await?;
    Ok(())
}

#[tokio::test]
async fn the_secret_is_refreshed_before_its_token_ends() -> Result<()> {
    let world = World::shared();
    let ground = ground("fresh").await?;
    ground.connector("fresh", oidc_connector(world)).await?;
    ground.secret("app", &oidc_client()).await?;
    ground.connection("c", client_credentials("fresh")).await?;
    ground.grant_use().await?;
    ground.bind("orders", "fresh", to("c")).await?;
    ground.until_binding("orders", "True", "Bound").await?;
    let hash = async || -> Result<Option<String>> {
        let secret = ground.secrets().get("orders").await?;
        Ok(secret.annotations().get("liaison.dev/connection-hash").cloned())
    };
    let before = hash().await?.context("a hash")?;
    let mut seen = std::collections::BTreeSet::new();
    eventually("four tokens, none of which had ended when it was read", WITHDRAWN, async || {
        let texts = ground.secret_texts("orders").await?.context("the Secret")?;
        assert!(is_fresh(&texts)?, "it has ended: {}", texts["expires-at"]);
        seen.insert(texts["access-token"].clone());
        Ok((seen.len() >= 4).then_some(()))
    })
    .await?;
    assert_eq!(hash().await?, Some(before), "a new token is no reason for a rollout");
    Ok(())
}

#[tokio::test]
async fn a_suspended_connection_takes_the_credential_back_until_it_resumes() -> Result<()> {
    let (ground, _provider) = working("paused").await?;
    ground.grant_use().await?;
    ground.bind("orders", "paused", to("c")).await?;
    ground.until_secret("orders", "has the token", holds_token).await?;
    ground.patch("c", json!({ "spec": { "suspend": true } })).await?;
    ground.until_secret("orders", "has lost the token", |texts| !holds_token(texts)).await?;
    let waiting = ground.until_binding("orders", "False", "ConnectionNotReady").await?;
    assert_eq!(ready_message(&waiting), "connection \"c\" is suspended");
    ground.patch("c", json!({ "spec": { "suspend": false } })).await?;
    ground.until_secret("orders", "has the token again", holds_token).await?;
    ground.until_binding("orders", "True", "Bound").await?;

    ground.annotate("c", "liaison.dev/confirm-delete", "c").await?;
    ground.connections().delete("c", &DeleteParams::default()).await?;
    ground.until_secret("orders", "has lost the token for good", |texts| !holds_token(texts)).await?;
    ground.until_binding("orders", "False", "ConnectionNotAccessible").await?;
    Ok(())
}

#[tokio::test]
async fn a_static_credential_stands_under_its_own_key_and_follows_its_secret() -> Result<()> {
    let ground = ground("by-hand").await?;
    let provider = World::shared().provider()?;
    let mut connector = token_connector(&|path| provider.endpoint(path));
    for unverified in ["verify", "account"] {
        connector.as_object_mut().context("a connector")?.remove(unverified);
    }
    ground.connector("by-hand", connector).await?;
    ground.secret("pat", &[("token", "first"), ("other", "not-declared")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "by-hand" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("c", spec).await?;
    ground.grant_use().await?;
    ground.bind("orders", "by-hand", to("c")).await?;
    let texts =
        ground.until_secret("orders", "has the credential", |texts| texts.contains_key("token")).await?;
    assert_eq!(texts.keys().collect::<Vec<_>>(), ["provider", "token", "type"]);
    assert_eq!(texts["token"], "first");
    ground.secret("pat", &[("token", "second")]).await?;
    ground.until_secret("orders", "has the new one", |texts| texts["token"] == "second").await?;
    Ok(())
}
