//! Policies: what they lend, what they deny, and that everything heals when they change.

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
async fn s44_two_folders_use_the_organisations_app_and_nobody_there_can_read_it() -> Result<()> {
    let world = World::shared();
    let (one, other) = (ground("s44-one").await?, ground("s44-other").await?);
    one.connector("s44", oidc_connector(world)).await?;
    let app = json!({ "secretRef": { "name": "s44-org-app" } });
    let spec = json!({
        "folders": { "names": ["s44-one", "s44-other"] },
        "defaults": [{
            "connector": "s44", "oauthApp": app, "authTypes": ["OAuth2ClientCredentials"],
            "allowedHosts": [world.oidc.authority()],
        }],
    });
    policy(&one, "s44", &spec).await?;
    let fault = until_policy(&one, "s44", "PolicyInvalid").await?;
    assert!(
        fault.contains("secret \"s44-org-app\" does not exist in namespace \"liaison-system\""),
        "{fault}"
    );
    let bare = json!({ "connectorRef": { "name": "s44" } });
    one.connection("client", bare.clone()).await?;
    let told = one.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    let told = message(&told, ConditionType::Ready);
    assert!(told.contains("the Secret that policy \"s44\" lends") && !told.contains("s44-org-app"), "{told}");

    lent_secret(&one, "s44-org-app", &oidc_client()).await?;
    until_policy(&one, "s44", "PolicyValid").await?;
    other.connection("client", bare).await?;
    for ground in [&one, &other] {
        let status = ground.until_ready("client").await?.status.unwrap_or_default();
        assert_eq!(status.credential_source.as_deref(), Some("Policy/s44"));
        let shown = status.policy.unwrap_or_default();
        assert_eq!((shown.sources, shown.defaults.as_deref()), (vec!["s44".to_owned()], Some("s44")));
        let secrets = ground.secrets().list_metadata(&kube::api::ListParams::default()).await?;
        let names: Vec<_> = secrets.items.iter().filter_map(|secret| secret.metadata.name.clone()).collect();
        assert!(names.iter().all(|name| name.starts_with("liaison-token-")), "{names:?}");
    }
    one.secret("app", &oidc_client()).await?;
    let own = json!({ "connectorRef": { "name": "s44" }, "oauthApp": { "secretRef": { "name": "app" } } });
    one.connection("own", own).await?;
    let status = one.until_ready("own").await?.status.unwrap_or_default();
    assert_eq!(status.credential_source.as_deref(), Some("Connection/app"));

    // Who works in the folder, with all of our roles, does not get near the Secret.
    for role in ["liaison-connection-user", "liaison-connection-creator", "liaison-connection-viewer"] {
        crate::person::user(world.control_plane, &one, &format!("s44-{role}"), role).await?;
        for (verb, namespace) in
            [("get", OPERATOR_NAMESPACE), ("list", OPERATOR_NAMESPACE), ("list", "s44-one")]
        {
            let who = format!("--as=s44-{role}");
            let asked = ["auth", "can-i", verb, "secrets/s44-org-app", "-n", namespace, &who];
            assert!(world.control_plane.run_kubectl(&asked).is_err(), "{role} may {verb} in {namespace}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn s44_nobody_acts_as_the_organisations_app_itself_unless_the_policy_names_that() -> Result<()> {
    let ground = ground("s44-itself").await?;
    let provider = World::shared().provider()?;
    let answer =
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600, "id": "1", "name": "org" });
    provider.script(move |_| Some(Answer::json(200, &answer)));
    let asked = || provider.received().iter().filter(|request| request.path == "/token").count();
    ground.connector("s44-itself", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    lent_secret(&ground, "s44-itself", &[("clientId", "org"), ("clientSecret", "org-secret")]).await?;
    let lending = |more: Value| {
        let mut entry = json!({
            "connector": "s44-itself", "oauthApp": { "secretRef": { "name": "s44-itself" } },
            "allowedHosts": [provider.authority()],
        });
        entry["authTypes"] = more;
        json!({ "folders": { "names": ["s44-itself"] }, "defaults": [entry] })
    };
    policy(&ground, "s44-itself", &lending(Value::Null)).await?;
    let fault = until_policy(&ground, "s44-itself", "PolicyInvalid").await?;
    assert!(fault.contains("lent it only where authTypes names them: OAuth2ClientCredentials"), "{fault}");
    ground.connection("client", json!({ "connectorRef": { "name": "s44-itself" } })).await?;
    let refused = ground.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    let told = message(&refused, ConditionType::Ready);
    let words = "policy \"s44-itself\" does not lend its OAuth app to authType \"OAuth2ClientCredentials\"";
    assert!(told.contains(words), "{told}");
    assert_eq!(provider.received().len(), 0, "nothing was sent");

    policy(&ground, "s44-itself", &lending(json!(["OAuth2ClientCredentials"]))).await?;
    until_policy(&ground, "s44-itself", "PolicyValid").await?;
    ground.until_ready("client").await?;
    let before = asked();
    policy(&ground, "s44-itself", &lending(json!(["OAuth2AuthorizationCode"]))).await?;
    ground.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    ground.annotate("client", "liaison.dev/reauthenticate-at", "now").await?;
    let quiet = std::time::Duration::from_secs(2);
    holds_for("the app is not used any more", quiet, async || Ok(asked() == before)).await
}

/// A provider of the organisation's app and another one, of somebody who would like to have it.
struct Lure {
    ground: Ground,
    provider: StrictProvider,
    attacker: StrictProvider,
    /// The attacker's `127.0.0.1:port`, which no entry allows.
    address: String,
}

async fn lure(name: &str, more: Value) -> Result<Lure> {
    let ground = ground(name).await?;
    let (provider, attacker) = (World::shared().provider()?, World::shared().provider()?);
    let token = json!({ "access_token": "t", "expires_in": 3600 });
    attacker.script(move |_| Some(Answer::json(200, &token)));
    let address = attacker.authority().replace("localhost", "127.0.0.1");
    lent_secret(
        &ground,
        name,
        &[("clientId", "org"), ("clientSecret", "org-secret"), ("token", "org-token")],
    )
    .await?;
    let mut spec = json!({
        "folders": { "names": [name] }, "egressExceptions": [address],
        "defaults": [{
            "connector": name, "oauthApp": { "secretRef": { "name": name } },
            "authTypes": ["OAuth2ClientCredentials"], "credentials": { "secretRef": { "name": name } },
            "allowedHosts": [provider.authority()],
        }],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    policy(&ground, name, &spec).await?;
    Ok(Lure { ground, provider, attacker, address })
}

#[tokio::test]
async fn s44_an_organisations_app_is_never_lent_to_a_connector_that_leads_elsewhere() -> Result<()> {
    let Lure { ground, attacker, address, .. } = lure("s44-lure", json!({})).await?;
    let at = |path: &str| format!("http://{address}{path}");
    ground.connector("s44-lure", client_credentials_connector(&at)).await?;
    let bare = json!({ "connectorRef": { "name": "s44-lure" } });
    let words = ground.told("client", bare).await?;
    for part in
        ["what policy \"s44-lure\" lends to connections on connector \"s44-lure\" may not go to", "127.0.0.1"]
    {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(attacker.received().len(), 0, "nothing was sent");
    Ok(())
}

#[tokio::test]
async fn s44_a_connector_that_is_turned_to_an_attacker_later_gets_nothing_that_is_lent() -> Result<()> {
    // Wider than it should be, and only reporting: what is lent has bounds of its own.
    let Lure { ground, provider, attacker, address } =
        lure("s44-turned", json!({ "enforcement": "Report" })).await?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "org" }))));
    ground.connector("s44-turned", token_connector(&|path| provider.endpoint(path))).await?;
    ground.connection("static", json!({ "connectorRef": { "name": "s44-turned" } })).await?;
    let ready = ground.until_ready("static").await?.status.unwrap_or_default();
    assert_eq!(ready.credential_source.as_deref(), Some("Policy/s44-turned"));

    ground.connector("s44-turned", token_connector(&|path| format!("http://{address}{path}"))).await?;
    let stopped = ground.until("static", ConditionType::PolicyAllowed, "False", "HostNotAllowed").await?;
    assert!(message(&stopped, ConditionType::Ready).contains("nothing was sent"), "{stopped:?}");
    for annotation in ["liaison.dev/verify-at", "liaison.dev/reauthenticate-at"] {
        ground.annotate("static", annotation, "now").await?;
    }
    ground.until("static", ConditionType::Ready, "False", "HostNotAllowed").await?;
    assert_eq!(attacker.received().len(), 0, "nothing was sent");

    ground.connector("s44-turned", token_connector(&|path| provider.endpoint(path))).await?;
    let is_ready = |connection: &Connection| {
        let conditions =
            connection.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions::find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True")
    };
    ground.until_is("static", "is ready again, once the limit of verifications allows one", is_ready).await?;
    assert_eq!(attacker.received().len(), 0);
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
