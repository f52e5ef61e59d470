//! What policies mean for people who consent: an app that the organisation lends, accounts, and codes entered by hand.

use anyhow::{Context as _, Result};
use kube::Api;
use liaison::api::consent_request::Phase;
use liaison::api::names::token_secret;
use liaison::domain::conditions::ConditionType;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::{Ground, HEALS, message};
use crate::person::{
    ask, consent, consent_as, hand_over, leave, oidc_app, oidc_connector_for_people, sign_in, user,
    with_own_app, zitadel_app, zitadel_connector,
};
use crate::rows::policies::{lent_secret, policy};
use crate::support::waiting::eventually;
use crate::support::walker::Walker;
use crate::terminal::{Terminal, kubeconfig_of};
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A policy for this folder alone.
async fn govern(ground: &Ground, spec: Value) -> Result<()> {
    let mut spec = spec;
    spec["folders"] = json!({ "names": [ground.namespace] });
    policy(ground, &ground.namespace, &spec).await
}

/// A Connection at the certified provider with an app of the folder's own, under this policy.
async fn at_certified(name: &str, spec: Value) -> Result<Ground> {
    let world = World::shared();
    let ground = ground(name).await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    ground.secret("app", &oidc_app()).await?;
    govern(&ground, spec).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    ground
        .until_is("crm", "is governed", |connection| {
            connection.status.as_ref().is_some_and(|status| status.policy.is_some())
        })
        .await?;
    ground.until("crm", ConditionType::Ready, "False", "AwaitingAuthentication").await?;
    Ok(ground)
}

#[tokio::test]
async fn s44_a_person_consents_with_the_organisations_app_and_needs_no_secret_of_their_own() -> Result<()> {
    let world = World::shared();
    let ground = ground("s44-person").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, zitadel_connector(world)).await?;
    lent_secret(&ground, "s44-person", &zitadel_app()).await?;
    let app = json!({ "secretRef": { "name": "s44-person" } });
    govern(
        &ground,
        json!({ "defaults": [{ "connector": connector, "oauthApp": app, "allowedHosts": [world.zitadel.authority()] }] }),
    )
    .await?;
    let bare = json!({ "connectorRef": { "name": connector }, "authType": "OAuth2AuthorizationCode" });
    ground.connection("crm", bare).await?;
    ground.until("crm", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    consent(&ground, "crm", &world.public_url).await?;
    let status = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(status.credential_source.as_deref(), Some("Policy/s44-person"));
    assert_eq!(status.account.as_deref(), Some("test-user@example.com"));

    let own = json!({ "connectorRef": { "name": connector }, "authType": "OAuth2BringYourOwnApp" });
    ground.connection("own", own).await?;
    let told = ground.until("own", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    assert!(message(&told, ConditionType::Ready).contains("spec.oauthApp.secretRef is not set"));
    Ok(())
}

#[tokio::test]
async fn n44_a_consent_is_refused_once_a_policy_denies_the_connector() -> Result<()> {
    let ground = at_certified("n44-person", json!({})).await?;
    let public_url = &World::shared().public_url;
    consent(&ground, "crm", public_url).await?;
    ground.until_ready("crm").await?;
    // Begun while it was allowed, and ended when it is not any more.
    let begun = ask(&ground.client, &ground, "crm").await?;
    let mut walker = Walker::new();
    let page = leave(&mut walker, &begun.link().await?).await?;
    let callback = sign_in(&mut walker, page, public_url).await?;
    govern(&ground, json!({ "authTypes": { "deny": ["OAuth2BringYourOwnApp"] } })).await?;
    ground.until("crm", ConditionType::PolicyAllowed, "False", "AuthTypeDisabled").await?;
    ground.until_ready("crm").await?;
    if let Ok(address) = crate::person::loopback(&mut walker, &callback).await {
        // Who hands it in too late is told the same.
        let _ = begun.bring(&address).await;
    }
    assert_eq!(begun.failure().await?, "AuthTypeDisabled");
    let asked = ask(&ground.client, &ground, "crm").await?;
    assert_eq!(asked.failure().await?, "AuthTypeDisabled");
    ground.annotate("crm", "liaison.dev/reauthenticate-at", "now").await?;
    let status = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(
        status.authentication.and_then(|shown| shown.url),
        None,
        "nobody is called who would be refused"
    );
    Ok(())
}

#[tokio::test]
async fn an_account_that_no_policy_allows_gets_no_token_and_another_one_does() -> Result<()> {
    let ground = at_certified("accounts", json!({ "accounts": ["ann*"] })).await?;
    let public_url = &World::shared().public_url;
    let revoked = || World::shared().oidc.requests("POST", "token/revocation");
    let before = revoked()?;
    let asked = hand_over(&ground, "crm", public_url, "eve").await?;
    let failed = asked.until(Phase::Failed).await?.status.unwrap_or_default();
    assert_eq!(failed.reason.as_deref(), Some("AccountNotAllowed"));
    let words = "account \"eve\" is not among those that policy \"accounts\" allows";
    assert!(failed.message.as_deref().unwrap_or_default().starts_with(words), "{failed:?}");
    let uid = ground.connections().get("crm").await?.metadata.uid.context("uid")?;
    assert!(ground.secrets().get_opt(&token_secret(&uid)).await?.is_none(), "the token is not kept");
    assert!(revoked()? > before, "nor left to itself");
    ground.until("crm", ConditionType::Ready, "False", "AccountNotAllowed").await?;

    consent_as(&ground, "crm", public_url, "ann").await?;
    let status = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(status.account.as_deref(), Some("ann"));
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_learnt_after_the_consent_counts_before_anything_is_ready() -> Result<()> {
    let world = World::shared();
    let ground = ground("accounts-later").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, zitadel_connector(world)).await?;
    ground.secret("app", &zitadel_app()).await?;
    govern(&ground, json!({ "accounts": ["*@other.example"] })).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    ground.until("crm", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    consent(&ground, "crm", &world.public_url).await?;
    let refused = ground.until("crm", ConditionType::PolicyAllowed, "False", "AccountNotAllowed").await?;
    let status = refused.status.clone().unwrap_or_default();
    assert!(
        message(&refused, ConditionType::Ready).contains("account \"test-user@example.com\" is not among")
    );
    assert!(status.authentication.and_then(|shown| shown.url).is_some(), "somebody else can consent");
    let events = ground.events("crm").await?;
    assert!(!events.contains(&"Ready".to_owned()), "{events:?}");

    govern(&ground, json!({ "accounts": ["*@example.com"] })).await?;
    ground.until_ready("crm").await?;
    Ok(())
}

/// The code on a page.
fn code_on(body: &str) -> Result<String> {
    let code = Regex::new(r#"<pre tabindex="0"><code translate="no">([A-Za-z0-9_-]{43})</code></pre>"#)?;
    Ok(code.captures(body).context("a code")?[1].to_owned())
}

#[tokio::test]
async fn n06_a_code_is_entered_by_hand_where_a_policy_allows_it_and_is_good_for_its_own_request() -> Result<()>
{
    let world = World::shared();
    let ground = at_certified("by-hand", json!({ "consent": { "allowCodeEntry": true } })).await?;
    user(world.control_plane, &ground, "by-hand-ada", "liaison-connection-user").await?;
    let kubeconfig = kubeconfig_of(world.control_plane, Some("by-hand-ada"), None)?;
    let may = ["auth", "can-i", "get", "connections.liaison.dev", "-n", "by-hand", "--as", "by-hand-ada"];
    eventually("the role is known", HEALS, async || Ok(world.control_plane.run_kubectl(&may).ok())).await?;

    let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm", "-n", "by-hand", "--no-browser"])?;
    let link = terminal.link().await?;
    terminal.until_says("Enter the code").await?;
    terminal.enter("not a code").await?;
    terminal.until_says("That is not the code").await?;
    terminal.enter(&"A".repeat(43)).await?;
    terminal.until_says("No browser has come back").await?;

    // On another machine: nobody listens there for what the browser brings.
    let mut walker = Walker::new();
    let page = leave(&mut walker, &link).await?;
    let callback = sign_in(&mut walker, page, &world.public_url).await?;
    let page = walker.once(Method::GET, &callback, None).await?;
    assert_eq!(page.leads_to()?, None, "{}", page.text());
    assert!(page.text().contains("Give it to nobody"), "{}", page.text());
    let code = code_on(&page.body)?;
    let replayed = walker.once(Method::GET, &callback, None).await?;
    assert!(code_on(&replayed.body).is_err(), "it is shown once");

    // Somebody else does not get to use it, an administrator included.
    let requests: Api<liaison::api::ConsentRequest> = Api::namespaced(ground.client.clone(), "by-hand");
    let request = requests.list(&kube::api::ListParams::default()).await?.items.pop().context("request")?;
    let name = request.metadata.name.context("name")?;
    let patch = kube::api::Patch::Merge(json!({ "spec": { "receipt": code } }));
    let stolen = requests.patch(&name, &kube::api::PatchParams::default(), &patch).await;
    assert!(stolen.is_err_and(|error| error.to_string().contains("set by the requester and by nobody else")));

    terminal.enter(&code).await?;
    let ended = terminal.end().await?;
    assert!(ended.code == Some(0) && ended.output.contains("Connected \"crm\" as"), "{ended:?}");
    let log = world.operator_log()?;
    assert!(!log.contains(&code), "a code is not logged");
    ground.until_ready("crm").await?;
    Ok(())
}

#[tokio::test]
async fn n06_who_has_nothing_to_enter_leaves_no_request_open() -> Result<()> {
    let world = World::shared();
    let ground = at_certified("by-nobody", json!({ "consent": { "allowCodeEntry": true } })).await?;
    let kubeconfig = kubeconfig_of(world.control_plane, None, None)?;
    let ended = Terminal::run(&kubeconfig, &["connect", "crm", "-n", "by-nobody", "--no-browser"]).await?;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.output.contains("there was no code to read; the link is closed"), "{ended:?}");
    let requests: Api<liaison::api::ConsentRequest> = Api::namespaced(ground.client.clone(), "by-nobody");
    assert!(requests.list(&kube::api::ListParams::default()).await?.items.is_empty());
    Ok(())
}
