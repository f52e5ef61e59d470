//! A Connection in use: verified, renamed, authenticated anew, refreshed, deleted.

use std::time::Duration;

use anyhow::Result;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use liaison::api::connection::VerificationResult;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::catalogue::{oidc_client, oidc_connector};
use crate::fixtures::{Ground, HEALS, client_credentials_connector, message};
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::eventually;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

fn spec(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

fn working(provider: &StrictProvider, revoke: u16) {
    provider.script(move |request| match request.path.as_str() {
        "/token" => Some(Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 }))),
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
        "/revoke" => Some(Answer::json(revoke, &json!({}))),
        _ => None,
    });
}

async fn scripted(name: &str, revoke: u16) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    working(&provider, revoke);
    ground.connector(name, client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("c", spec(name)).await?;
    ground.until("c", ConditionType::Healthy, "True", "Verified").await?;
    Ok((ground, provider))
}

#[tokio::test]
async fn s11_authenticating_anew_keeps_the_object_and_another_connector_is_refused() -> Result<()> {
    let (ground, provider) = scripted("s11", 200).await?;
    let before = ground.until_ready("c").await?;
    ground.annotate("c", "liaison.dev/reauthenticate-at", "2026-01-01T00:00:00Z").await?;
    let after = ground
        .until_is("c", "has a second token", |connection| {
            connection
                .status
                .as_ref()
                .and_then(|status| status.token.as_ref())
                .is_some_and(|token| token.sequence == 2)
        })
        .await?;
    assert_eq!((before.uid(), before.name_any()), (after.uid(), after.name_any()));
    assert_eq!(provider.count("/token"), 2);

    let error = format!("{:#}", ground.connection("c", spec("other")).await.unwrap_err());
    assert!(error.contains("spec.connectorRef is immutable; create another Connection"), "{error}");
    let mut retyped = spec("s11");
    retyped["authType"] = "OAuth2ClientCredentials".into();
    let error = format!("{:#}", ground.connection("c", retyped).await.unwrap_err());
    assert!(error.contains("spec.authType is immutable"), "{error}");
    Ok(())
}

#[tokio::test]
async fn s28_a_verification_is_one_call_and_alters_neither_token_nor_authentication() -> Result<()> {
    let (ground, provider) = scripted("s28", 200).await?;
    let before = ground.until_ready("c").await?.status.unwrap_or_default();
    let calls = provider.count("/me");
    ground.annotate("c", "liaison.dev/verify-at", "2026-01-01T00:00:00Z").await?;
    let handled = |status: &liaison::api::ConnectionStatus| {
        status.last_handled_verify_at.as_deref() == Some("2026-01-01T00:00:00Z")
    };
    let after = ground.until_is("c", "verified", |c| c.status.as_ref().is_some_and(handled)).await?;
    let after = after.status.unwrap_or_default();
    let last = after.last_verification.clone().unwrap_or_else(|| panic!("no verification"));
    assert_eq!(last.result, VerificationResult::Succeeded);
    assert_eq!(provider.count("/me"), calls + 1);
    assert_eq!(after.token, before.token);

    provider.script(|request| match request.path.as_str() {
        "/me" => Some(Answer::json(401, &json!({}))),
        _ => None,
    });
    ground.annotate("c", "liaison.dev/verify-at", "2026-01-02T00:00:00Z").await?;
    let what = "the provider refuses the credential";
    let refused = |c: &liaison::api::Connection| {
        !message(c, ConditionType::Healthy).is_empty()
            && c.status.as_ref().is_some_and(|status| {
                status.last_handled_verify_at.as_deref() == Some("2026-01-02T00:00:00Z")
            })
    };
    ground.until_is("c", what, refused).await?;
    ground.until("c", ConditionType::Healthy, "False", "CredentialsRejected").await?;
    let status = ground.until("c", ConditionType::Ready, "False", "CredentialsRejected").await?;
    ground.until("c", ConditionType::Authenticated, "True", "TokenIssued").await?;
    assert_eq!(status.status.unwrap_or_default().token, before.token);
    assert_eq!(provider.count("/token"), 1);
    Ok(())
}

#[tokio::test]
async fn s29_a_rename_changes_the_display_name_alone() -> Result<()> {
    let (ground, provider) = scripted("s29", 200).await?;
    let before = ground.until_ready("c").await?;
    assert_eq!(before.status.clone().unwrap_or_default().display_name.as_deref(), Some("ada"));
    let rename = json!({ "spec": { "displayName": "Payroll" } });
    ground.connections().patch("c", &PatchParams::default(), &Patch::Merge(rename)).await?;
    let named = |status: &liaison::api::ConnectionStatus| status.display_name.as_deref() == Some("Payroll");
    let after = ground.until_is("c", "is renamed", |c| c.status.as_ref().is_some_and(named)).await?;
    assert_eq!((before.uid(), before.name_any()), (after.uid(), after.name_any()));
    let token = |c: &liaison::api::Connection| c.status.clone().and_then(|status| status.token);
    assert_eq!(token(&before), token(&after));
    assert_eq!(provider.count("/token"), 1);
    Ok(())
}

#[tokio::test]
async fn s24_deleting_revokes_the_token_once_at_the_provider_and_takes_the_record_along() -> Result<()> {
    let world = World::shared();
    let ground = ground("s24").await?;
    ground.connector("s24", oidc_connector(world)).await?;
    ground.secret("app", &oidc_client()).await?;
    ground.connection("c", spec("s24")).await?;
    let connection = ground.until_ready("c").await?;
    let record = format!("liaison-token-{}", connection.uid().unwrap_or_default());
    let before = world.oidc.requests("POST", "token/revocation")?;
    ground.connections().delete("c", &DeleteParams::default()).await?;
    gone(&ground, &record).await?;
    assert_eq!(world.oidc.requests("POST", "token/revocation")? - before, 1);
    assert!(!ground.events("c").await?.contains(&"RevocationFailed".to_owned()));
    Ok(())
}

#[tokio::test]
async fn s24_a_failing_revocation_is_told_and_does_not_hold_the_deletion_up() -> Result<()> {
    let (ground, provider) = scripted("s24-failing", 500).await?;
    let record = format!("liaison-token-{}", ground.until_ready("c").await?.uid().unwrap_or_default());
    ground.connections().delete("c", &DeleteParams::default()).await?;
    gone(&ground, &record).await?;
    assert_eq!(provider.count("/revoke"), 1);
    ground.until_event("c", "RevocationFailed").await
}

async fn gone(ground: &Ground, record: &str) -> Result<()> {
    eventually("the Connection and its token Secret are gone", Duration::from_mins(1), async || {
        let connection = ground.connections().get_opt("c").await?;
        let secret = ground.secrets().get_opt(record).await?;
        Ok((connection.is_none() && secret.is_none()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_token_of_the_certified_provider_is_refreshed_again_and_again_and_never_expires() -> Result<()> {
    let world = World::shared();
    let ground = ground("refreshed").await?;
    ground.connector("refreshed", oidc_connector(world)).await?;
    ground.secret("app", &oidc_client()).await?;
    ground.connection("c", spec("refreshed")).await?;
    ground.until_ready("c").await?;
    let refreshed = ground
        .until_is("c", "has been refreshed twice", |connection| {
            let status = connection.status.clone().unwrap_or_default();
            let ready =
                status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
            assert!(ready, "never less than Ready: {:?}", status.conditions);
            status.token.is_some_and(|token| token.sequence >= 3)
        })
        .await?;
    let conditions = refreshed.status.unwrap_or_default().conditions;
    let ready = conditions
        .iter()
        .find(|found| found.type_ == "Ready")
        .map(|found| found.last_transition_time.clone());
    let created = refreshed.metadata.creation_timestamp;
    let since = ready.zip(created).map(|(ready, created)| ready.0.duration_since(created.0).as_secs());
    assert!(since.is_some_and(|since| since <= 10), "Ready has not flipped since the beginning: {since:?}");
    Ok(())
}

#[tokio::test]
async fn a_suspended_connection_is_left_alone_and_resumes() -> Result<()> {
    let (ground, provider) = scripted("suspended", 200).await?;
    let suspend = |value: bool| json!({ "spec": { "suspend": value } });
    let connections = ground.connections();
    connections.patch("c", &PatchParams::default(), &Patch::Merge(suspend(true))).await?;
    ground.until("c", ConditionType::Ready, "False", "Suspended").await?;
    let calls = provider.received().len();
    ground.annotate("c", "liaison.dev/reauthenticate-at", "now").await?;
    connections.patch("c", &PatchParams::default(), &Patch::Merge(suspend(false))).await?;
    ground.until_ready("c").await?;
    eventually("the request made meanwhile is answered", HEALS, async || {
        Ok((provider.received().len() > calls).then_some(()))
    })
    .await
}
