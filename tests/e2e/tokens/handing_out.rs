//! What a workload that may use a Connection gets.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::DeleteParams;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::{ground, workload};
use crate::fixtures::{Ground, client_credentials_connector, token_connector};
use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::{SOON, eventually, holds_for};
use crate::world::World;

/// How late a withdrawn right may be seen, and the time that a test takes to see it.
const WITHDRAWN: Duration = Duration::from_secs(12);

pub(super) fn with_app(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

/// A Connection `c` at a scripted provider whose tokens are `issued-1`, `issued-2`, and so on.
pub(super) async fn scripted(name: &str, seconds: u32) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    let count = std::sync::atomic::AtomicU32::new(0);
    provider.script(move |request| match request.path.as_str() {
        "/token" => {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let token = format!("issued-{number}");
            let answer = json!({
                "access_token": token, "token_type": "Bearer", "expires_in": seconds,
                "refresh_token": "kept-by-the-operator", "scope": "read",
            });
            Some(Answer::json(200, &answer))
        }
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
        _ => Some(Answer::json(200, &json!({}))),
    });
    ground.connector(name, client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", with_app(name)).await?;
    ground.until_ready("c").await?;
    Ok((ground, provider))
}

#[tokio::test]
async fn s17_a_workload_with_use_gets_the_token_and_one_that_reads_every_secret_does_not() -> Result<()> {
    let zitadel = &World::shared().zitadel;
    let ground = ground("s17-tokens").await?;
    let connector = json!({
        "displayName": "Zitadel", "baseURL": "https://api.example.com/v1",
        "authMethods": [{ "type": "OAuth2ClientCredentials", "oauth2": {
            "tokenURL": zitadel.endpoint("oauth/token"), "scopes": { "default": ["openid", "profile"] },
        }}],
        "account": { "url": zitadel.endpoint("userinfo"), "idPath": "/sub", "namePath": "/name" },
        "verify": { "url": zitadel.endpoint("userinfo") },
    });
    ground.connector("s17-tokens", connector).await?;
    ground.secret("app", &[("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]).await?;
    ground.connection("c", with_app("s17-tokens")).await?;
    ground.until_ready("c").await?;

    let reader = workload(&ground, "reader").await?;
    let everything = json!({ "apiGroups": ["", "liaison.dev"], "resources": ["secrets", "connections"], "verbs": ["get", "list"] });
    reader.allow("s17-tokens", everything).await?;
    let refused = reader.ask_for("s17-tokens/c").await?;
    let words = "connection \"s17-tokens/c\" not found or not accessible";
    assert_eq!(refused.refusal(), (403, "access_denied", words));

    let user = workload(&ground, "user").await?;
    user.allow_use("s17-tokens", Some("c")).await?;
    let answer = user.ask_for("s17-tokens/c").await?;
    assert_eq!(answer.status, 200, "{}", answer.body["error"]);
    let text = |key: &str| answer.body[key].as_str().unwrap_or_default();
    assert_eq!((text("token_type"), text("auth_type")), ("Bearer", "OAuth2ClientCredentials"));
    assert_eq!((text("base_url"), text("account")), ("https://api.example.com/v1", "Service Account"));
    let left = answer.body["expires_in"].as_i64().context("expires_in")?;
    assert!((200..=299).contains(&left), "{left}");
    assert_eq!(answer.headers["cache-control"], "no-store");

    // It is the provider's own.
    let http = reqwest::Client::new();
    let me = http.get(zitadel.endpoint("userinfo")).bearer_auth(text("access_token")).send().await?;
    assert_eq!(me.json::<Value>().await?["name"], "Service Account");
    ground.until_event("c", "CredentialHandedOut").await
}

#[tokio::test]
async fn a_refresh_token_stays_with_the_operator_and_a_new_token_is_handed_out_without_a_gap() -> Result<()> {
    let (ground, _provider) = scripted("tokens-refresh", 8).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-refresh", None).await?;
    let token = user.token().await?;
    let mut seen = std::collections::BTreeSet::new();
    let form = [("connection", "tokens-refresh/c")];
    holds_for("a token is there at any time", Duration::from_secs(11), async || {
        let answer = user.ask(&token, &form).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.text);
        anyhow::ensure!(!answer.text.contains("kept-by-the-operator"), "a refresh token");
        let left = answer.body["expires_in"].as_i64().context("expires_in")?;
        anyhow::ensure!((1..=8).contains(&left), "{left} s");
        seen.insert(answer.body["access_token"].as_str().context("access_token")?.to_owned());
        Ok(true)
    })
    .await?;
    assert!(seen.len() >= 3, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_withdrawn_hands_out_nothing_more_within_ten_seconds() -> Result<()> {
    let (ground, _provider) = scripted("tokens-withdrawn", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-withdrawn", Some("c")).await?;
    let token = user.token().await?;
    let form = [("connection", "tokens-withdrawn/c")];
    assert_eq!(user.ask(&token, &form).await?.status, 200);

    let bindings: Api<RoleBinding> = Api::namespaced(ground.client.clone(), "tokens-withdrawn");
    bindings.delete("tokens-withdrawn-user", &DeleteParams::default()).await?;
    eventually("the right is gone", WITHDRAWN, async || {
        Ok((user.ask(&token, &form).await?.status == 403).then_some(()))
    })
    .await
}

#[tokio::test]
async fn suspension_counts_at_once_and_its_end_does_too() -> Result<()> {
    let (ground, _provider) = scripted("tokens-suspended", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-suspended", Some("c")).await?;
    let token = user.token().await?;
    let form = [("connection", "tokens-suspended/c")];
    assert_eq!(user.ask(&token, &form).await?.status, 200);
    ground.patch("c", json!({ "spec": { "suspend": true } })).await?;
    eventually("nothing is handed out", Duration::from_secs(2), async || {
        let answer = user.ask(&token, &form).await?;
        let expected = (400, "invalid_grant", "connection \"c\" is suspended");
        Ok((answer.refusal() == expected).then_some(()))
    })
    .await?;
    ground.patch("c", json!({ "spec": { "suspend": false } })).await?;
    eventually("it is handed out again", SOON, async || {
        Ok((user.ask(&token, &form).await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_static_credential_is_handed_out_under_its_parameters_names_and_nothing_else_of_its_secret()
-> Result<()> {
    let ground = ground("tokens-static").await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector("tokens-static", token_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("pat", &[("token", "made-by-a-person"), ("note", "for nobody")]).await?;
    let spec = json!({ "connectorRef": { "name": "tokens-static" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("c", spec).await?;
    ground.until_ready("c").await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-static", Some("c")).await?;
    let answer = user.ask_for("tokens-static/c").await?;
    assert_eq!(answer.body["credentials"], json!({ "token": "made-by-a-person" }));
    assert_eq!(answer.body.get("access_token"), None);

    let policy = |hands_out: bool| {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConnectionPolicy", "metadata": { "name": "tokens-static" },
            "spec": { "folders": { "names": ["tokens-static"] }, "handOutStatic": hands_out },
        })
    };
    let token = user.token().await?;
    let form = [("connection", "tokens-static/c")];
    ground.apply(&policy(false)).await?;
    let words = "policy \"tokens-static\" does not allow to hand out the credential of connection \"c\"";
    eventually("the policy counts", SOON, async || {
        Ok((user.ask(&token, &form).await?.refusal() == (400, "invalid_grant", words)).then_some(()))
    })
    .await?;
    ground.apply(&policy(true)).await?;
    eventually("the policy allows it again", SOON, async || {
        Ok((user.ask(&token, &form).await?.status == 200).then_some(()))
    })
    .await?;

    ground.secrets().delete("pat", &DeleteParams::default()).await?;
    eventually("nothing is handed out of a Secret that is gone", WITHDRAWN, async || {
        Ok((user.ask(&token, &form).await?.status == 400).then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_a_policy_cuts_is_not_handed_out_and_what_it_reports_is() -> Result<()> {
    let (ground, _provider) = scripted("tokens-policy", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-policy", Some("c")).await?;
    let token = user.token().await?;
    let form = [("connection", "tokens-policy/c")];
    assert_eq!(user.ask(&token, &form).await?.status, 200);
    let denying = |enforcement: &str| {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConnectionPolicy", "metadata": { "name": "tokens-policy" },
            "spec": {
                "folders": { "names": ["tokens-policy"] }, "connectors": { "deny": ["tokens-policy"] },
                "enforcement": enforcement,
            },
        })
    };
    ground.apply(&denying("Suspend")).await?;
    eventually("it is cut", SOON, async || {
        let answer = user.ask(&token, &form).await?;
        let cut = (answer.status, answer.body["reason"].as_str()) == (400, Some("ConnectorDisabled"));
        Ok(cut.then_some(()))
    })
    .await?;
    ground.apply(&denying("Report")).await?;
    eventually("it is reported, and used", SOON, async || {
        Ok((user.ask(&token, &form).await?.status == 200).then_some(()))
    })
    .await?;
    ground.until("c", ConditionType::PolicyAllowed, "False", "ConnectorDisabled").await?;
    Ok(())
}
