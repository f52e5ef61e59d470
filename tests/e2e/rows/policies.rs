//! Policies: what they lend, what they deny, and that everything heals when they change.

mod lending;

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use liaison::api::{Connection, ConnectionPolicy};
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use super::catalogue::{oidc_client, oidc_connector};
use crate::fixtures::{Ground, HEALS, client_credentials_connector, message, token_connector};
use crate::support::operator::{OPERATOR_NAMESPACE, make_namespace};
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::{eventually, holds_for};
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A folder below another one.
async fn below(ground: &Ground, name: &str) -> Result<Ground> {
    Ground::below(ground.client.clone(), Some(ground), name).await
}

pub(crate) async fn policy(ground: &Ground, name: &str, spec: &Value) -> Result<()> {
    ground
        .apply(&json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConnectionPolicy", "metadata": { "name": name }, "spec": spec,
        }))
        .await
}

/// A Secret of the operator's own namespace that policies may lend.
pub(crate) async fn lent_secret(ground: &Ground, name: &str, values: &[(&str, &str)]) -> Result<()> {
    make_namespace(World::shared().control_plane).await?;
    let own = Ground { client: ground.client.clone(), namespace: OPERATOR_NAMESPACE.to_owned() };
    own.secret(name, values).await
}

fn policies(ground: &Ground) -> Api<ConnectionPolicy> {
    Api::all(ground.client.clone())
}

/// Waits until a policy's condition has this reason; gives its message.
async fn until_policy(ground: &Ground, name: &str, reason: &str) -> Result<String> {
    eventually(&format!("policy {name}: {reason}"), HEALS, async || {
        let status = policies(ground).get(name).await?.status.unwrap_or_default();
        let valid = conditions::find(&status.conditions, ConditionType::Valid).context("no condition")?;
        ensure!(valid.reason == reason, "{}: {}", valid.reason, valid.message);
        Ok(Some(valid.message.clone()))
    })
    .await
}

async fn patch_policy(ground: &Ground, name: &str, spec: Value) -> Result<()> {
    let change = Patch::Merge(json!({ "spec": spec }));
    policies(ground).patch(name, &PatchParams::default(), &change).await?;
    Ok(())
}

#[tokio::test]
async fn n43_parameters_that_a_policy_sets_make_a_bare_connection_ready() -> Result<()> {
    let ground = ground("n43").await?;
    let provider = World::shared().provider()?;
    provider.script(|request| (request.path == "/acme/me").then(|| Answer::json(200, &json!({ "id": "1" }))));
    let mut connector = token_connector(&|path| provider.endpoint(&format!("/{{site}}{path}")));
    connector["parameters"] = json!([{ "name": "site", "required": true, "pattern": "[a-z]+" }]);
    ground.connector("n43", connector).await?;
    let bare = json!({ "connectorRef": { "name": "n43" } });
    let words = ground.told("refused", bare.clone()).await?;
    assert!(words.contains("needs parameters: site, token"), "{words}");

    lent_secret(&ground, "n43", &[("token", "org-token")]).await?;
    let defaults = json!([{
        "connector": "n43", "credentials": { "secretRef": { "name": "n43" } }, "allowedHosts": [provider.authority()],
        "parameters": { "site": "acme" },
    }]);
    policy(&ground, "n43", &json!({ "folders": { "names": ["n43"] }, "defaults": defaults })).await?;
    until_policy(&ground, "n43", "PolicyValid").await?;
    eventually("the bare connection is made", HEALS, async || {
        Ok(ground.connection("bare", bare.clone()).await.ok())
    })
    .await?;
    ground.until_ready("bare").await?;
    let sent = provider.received();
    assert!(sent.iter().all(|request| request.headers["authorization"] == "Bearer org-token"), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn n44_an_existing_connection_is_reported_then_suspended_and_heals_with_the_policy() -> Result<()> {
    let ground = ground("n44").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector("n44", token_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "n44" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("old", spec.clone()).await?;
    ground.until_ready("old").await?;

    let denial = json!({ "folders": { "names": ["n44"] }, "connectors": { "deny": ["n44"] } });
    policy(&ground, "n44", &denial).await?;
    let words = "connector \"n44\" is disabled by policy \"n44\"; ask its administrator";
    let reported = ground.until("old", ConditionType::PolicyAllowed, "False", "ConnectorDisabled").await?;
    assert_eq!(message(&reported, ConditionType::PolicyAllowed), words);
    ground.until_ready("old").await?;
    ground.until_event("old", "ConnectorDisabled").await?;
    let told = ground.told("new", spec.clone()).await?;
    assert!(told.contains(words), "{told}");

    patch_policy(&ground, "n44", json!({ "enforcement": "Suspend" })).await?;
    let stopped = ground.until("old", ConditionType::Ready, "False", "ConnectorDisabled").await?;
    assert_eq!(stopped.status.and_then(|status| status.policy?.enforcement).as_deref(), Some("Suspend/n44"));
    let before = provider.received().len();
    ground.annotate("old", "liaison.dev/verify-at", "now").await?;
    ground.annotate("old", "liaison.dev/reauthenticate-at", "now").await?;
    let quiet = std::time::Duration::from_secs(2);
    holds_for("nothing is asked of the provider", quiet, async || Ok(provider.received().len() == before))
        .await?;

    policies(&ground).delete("n44", &DeleteParams::default()).await?;
    let healed = ground.until_ready("old").await?;
    assert_eq!(healed.status.and_then(|status| status.policy), None);
    ground.until("old", ConditionType::PolicyAllowed, "True", "Allowed").await?;
    eventually("new ones are made again", HEALS, async || {
        Ok(ground.connection("new", spec.clone()).await.ok())
    })
    .await?;
    ground.until_ready("new").await?;
    Ok(())
}

#[tokio::test]
async fn n45_three_levels_of_folders_add_up_and_a_nearer_policy_undoes_no_denial() -> Result<()> {
    let root = ground("n45-root").await?;
    let middle = below(&root, "n45-middle").await?;
    let leaf = below(&middle, "n45-leaf").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    for connector in ["n45-a", "n45-b"] {
        root.connector(connector, token_connector(&|path| provider.endpoint(path))).await?;
    }
    leaf.secret("pat", &[("token", "t")]).await?;
    let spec = |connector: &str| json!({ "connectorRef": { "name": connector }, "credentials": { "secretRef": { "name": "pat" } } });
    leaf.connection("a", spec("n45-a")).await?;
    leaf.until_ready("a").await?;

    let tree = |name: &str| json!({ "names": [name], "subtree": true });
    let here = provider.authority();
    let of_root = json!({ "folders": tree("n45-root"), "connectors": { "deny": ["n45-b"] }, "enforcement": "Suspend", "allowedHosts": [here, "*.example.com"] });
    policy(&root, "n45-root", &of_root).await?;
    let of_middle = json!({ "folders": tree("n45-middle"), "connectors": { "allow": ["n45-a", "n45-b"] }, "enforcement": "Report", "overridable": true });
    policy(&root, "n45-middle", &of_middle).await?;
    let of_leaf = json!({ "folders": { "names": ["n45-leaf"] }, "connectors": { "allow": ["n45-a", "n45-b"] }, "allowedHosts": [here] });
    policy(&root, "n45-leaf", &of_leaf).await?;
    let governed = leaf
        .until_is("a", "is governed by three policies", |connection| {
            let policy = connection.status.as_ref().and_then(|status| status.policy.as_ref());
            policy.is_some_and(|policy| policy.sources == ["n45-root", "n45-middle", "n45-leaf"])
        })
        .await?;
    let shown = governed.status.and_then(|status| status.policy).unwrap_or_default();
    assert_eq!(
        shown.enforcement.as_deref(),
        Some("Suspend/n45-root"),
        "the root does not let itself be overridden"
    );
    assert_eq!(shown.allowed_hosts, Some(vec![provider.authority()]));
    leaf.until_ready("a").await?;
    let told = leaf.told("b", spec("n45-b")).await?;
    assert!(told.contains("connector \"n45-b\" is disabled by policy \"n45-root\""), "{told}");

    // A denial in the middle reaches the leaf, and not the root.
    patch_policy(&root, "n45-middle", json!({ "connectors": { "deny": ["n45-a"], "allow": null } })).await?;
    leaf.until("a", ConditionType::Ready, "False", "ConnectorDisabled").await?;
    root.secret("pat", &[("token", "t")]).await?;
    root.connection("a", spec("n45-a")).await?;
    root.until_ready("a").await?;
    let folders = eventually("the policy knows its folders", HEALS, async || {
        Ok(policies(&root)
            .get("n45-root")
            .await?
            .status
            .and_then(|status| status.folders)
            .filter(|count| *count == 3))
    });
    folders.await?;
    for name in ["n45-root", "n45-middle", "n45-leaf"] {
        policies(&root).delete(name, &DeleteParams::default()).await?;
    }
    leaf.until_ready("a").await?;
    Ok(())
}

#[tokio::test]
async fn n45_a_folder_that_is_labelled_comes_under_the_policy_that_selects_it() -> Result<()> {
    let world = World::shared();
    let ground = ground("n45-labelled").await?;
    let provider = world.provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector("n45-labelled", token_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    let spec = json!({ "connectorRef": { "name": "n45-labelled" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("c", spec).await?;
    ground.until_ready("c").await?;
    let selector = json!({ "selector": { "matchLabels": { "n45/level": "strict" } } });
    policy(&ground, "n45-labelled", &json!({ "folders": selector, "authTypes": { "allow": ["APIKey"] } }))
        .await?;
    until_policy(&ground, "n45-labelled", "PolicyValid").await?;
    world.control_plane.run_kubectl(&["label", "folder", "n45-labelled", "n45/level=strict"])?;
    ground.until("c", ConditionType::PolicyAllowed, "False", "AuthTypeDisabled").await?;
    world.control_plane.run_kubectl(&["label", "folder", "n45-labelled", "n45/level-"])?;
    ground.until("c", ConditionType::PolicyAllowed, "True", "Allowed").await?;
    Ok(())
}

#[tokio::test]
async fn n05_the_password_grant_is_refused_until_a_policy_allows_it() -> Result<()> {
    let ground = ground("n05-password").await?;
    let connector = json!({
        "displayName": "Old", "authMethods": [{
            "type": "OAuth2Password", "oauth2": { "tokenURL": World::shared().oidc.endpoint("token") },
        }],
    });
    ground.connector("n05-password", connector).await?;
    let spec = json!({
        "connectorRef": { "name": "n05-password" }, "oauthApp": { "secretRef": { "name": "app" } },
        "credentials": { "secretRef": { "name": "user" } },
    });
    let words = ground.told("c", spec.clone()).await?;
    assert!(
        words.contains("no policy allows the password grant, which authType \"OAuth2Password\" uses"),
        "{words}"
    );
    let allowed = json!({ "folders": { "names": ["n05-password"] }, "passwordGrant": "Allowed" });
    policy(&ground, "n05-password", &allowed).await?;
    eventually("it is made", HEALS, async || Ok(ground.connection("c", spec.clone()).await.ok())).await?;
    ground.until("c", ConditionType::PolicyAllowed, "True", "Allowed").await?;
    Ok(())
}
