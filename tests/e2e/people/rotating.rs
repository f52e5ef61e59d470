//! A person's token over time: exchanged again and again, taken back by the provider, asked for anew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use liaison::api::connection::{Connection, ConnectionStatus, State};
use liaison::domain::conditions::{self, ConditionType};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::fixtures::{Ground, message};
use crate::person::{
    consent, consent_as, oidc_app, oidc_connector_for_people, stolen_record, with_own_app, zitadel_app,
    zitadel_connector,
};
use crate::support::identity_provider::{WEB_CLIENT_ID, WEB_CLIENT_SECRET};
use crate::support::oidc_provider;
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::{SOON, eventually, holds_for};
use crate::welcome;
use crate::world::{TOKEN_SECONDS, World};

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

fn sequence(connection: &Connection) -> i64 {
    let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
    token.map_or(0, |token| token.sequence)
}

fn ready_since(connection: &Connection) -> Option<String> {
    let status = connection.status.as_ref()?;
    let ready = conditions::find(&status.conditions, ConditionType::Ready)?;
    (ready.status == "True").then(|| ready.last_transition_time.0.to_string())
}

fn url(connection: &Connection) -> Option<String> {
    connection.status.as_ref()?.authentication.as_ref()?.url.clone()
}

/// A Connection that this person has authenticated at the certified provider.
async fn at_oidc_provider(name: &str, login: &str) -> Result<Ground> {
    let world = World::shared();
    let ground = ground(name).await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    ground.secret("app", &oidc_app()).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    consent_as(&ground, "crm", &world.public_url, login).await?;
    ground.until_ready("crm").await?;
    Ok(ground)
}

/// Waits for so many tokens; the Connection is Ready all the while, and nothing fails.
async fn rotated(ground: &Ground, tokens: i64) -> Result<Connection> {
    let before = ground.until_ready("crm").await?;
    let after = ground
        .until_is("crm", &format!("has had {tokens} tokens"), |connection| {
            let status = connection.status.clone().unwrap_or_default();
            assert_eq!(status.last_failure, None);
            assert_eq!(ready_since(connection), ready_since(&before), "{:?}", status.conditions);
            sequence(connection) >= tokens
        })
        .await?;
    Ok(after)
}

#[tokio::test]
async fn n05_a_refresh_token_that_is_good_once_is_exchanged_by_one_request_each_time() -> Result<()> {
    let oidc = &World::shared().oidc;
    let ground = at_oidc_provider("rotating", "rotating").await?;
    let after = rotated(&ground, 6).await?;
    let token = after.status.clone().unwrap_or_default().token.context("token")?;
    let (expires_at, issued_at) =
        (token.expires_at.context("end")?, token.last_refresh_time.context("start")?);
    assert_eq!(expires_at.0.duration_since(issued_at.0).as_secs(), i64::from(TOKEN_SECONDS));
    // Beyond the one that came of the consent, each is the fruit of one request. The next may be under way.
    let refreshes = i64::try_from(oidc.refreshes_of("rotating")?)?;
    let now = sequence(&ground.connections().get("crm").await?);
    assert!((now - 2..=now).contains(&refreshes), "{refreshes} refreshes for {now} tokens");
    Ok(())
}

/// A person's Connection at Zitadel. Its tokens live for 299 seconds and it has no setting for that, so the connector
/// takes their lifetime for shorter than it is.
async fn at_zitadel(name: &str) -> Result<Ground> {
    let world = World::shared();
    let ground = ground(name).await?;
    let connector = world.connector_for_people()?;
    let mut spec = zitadel_connector(world);
    spec["authMethods"][0]["oauth2"]["lifetime"] = "Fixed".into();
    spec["authMethods"][0]["oauth2"]["lifetimeSeconds"] = 4.into();
    ground.connector(&connector, spec).await?;
    ground.secret("app", &zitadel_app()).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    consent(&ground, "crm", &world.public_url).await?;
    Ok(ground)
}

/// The provider has taken the consent back: what the Connection says, and how it is mended.
async fn is_lost_and_found(ground: &Ground, account: &str) -> Result<()> {
    let lost = ground.until("crm", ConditionType::Authenticated, "False", "ReconsentRequired").await?;
    let status = lost.status.clone().unwrap_or_default();
    assert_eq!((status.state, status.account.as_deref()), (State::Disconnected, Some(account)));
    let text = message(&lost, ConditionType::Authenticated);
    let command = format!("`kubectl liaison connect crm -n {}`", ground.namespace);
    assert!(text.contains(&command), "{text}");
    let page = format!("{}/connections/{}/crm", World::shared().public_url, ground.namespace);
    assert_eq!(url(&lost).as_ref(), Some(&page));
    ground.until_event("crm", "ReconsentRequired").await?;

    consent_as(ground, "crm", &World::shared().public_url, account).await?;
    let found = ground.until_ready("crm").await?;
    assert_eq!((found.uid(), url(&found)), (lost.uid(), None));
    assert_eq!(found.status.unwrap_or_default().state, State::Connected);
    Ok(())
}

#[tokio::test]
async fn n20_a_token_of_zitadel_is_exchanged_many_times_until_the_person_takes_the_consent_back() -> Result<()>
{
    let zitadel = &World::shared().zitadel;
    let ground = at_zitadel("taken-back").await?;
    rotated(&ground, 6).await?;

    let revoke = async || {
        let token = stolen_record(&ground, "crm").await?.refresh_token.context("refresh token")?;
        let form = [("token", token.expose_secret()), ("token_type_hint", "refresh_token")];
        let request = reqwest::Client::new()
            .post(zitadel.endpoint("revoke"))
            .basic_auth(WEB_CLIENT_ID, Some(WEB_CLIENT_SECRET))
            .form(&form);
        request.send().await?.error_for_status()?;
        let status = ground.connections().get("crm").await?.status.unwrap_or_default();
        // Where a refresh was faster, the token that was revoked was a used one.
        Ok((status.state == State::Disconnected).then_some(()))
    };
    eventually("the consent is taken back", SOON, revoke).await?;
    is_lost_and_found(&ground, "test-user@example.com").await
}

#[tokio::test]
async fn n20_a_refresh_token_that_somebody_else_has_used_ends_the_consent_and_a_new_one_mends_it()
-> Result<()> {
    let oidc = &World::shared().oidc;
    let ground = at_oidc_provider("robbed", "robbed").await?;
    let stolen = stolen_record(&ground, "crm").await?.refresh_token.context("refresh token")?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", stolen.expose_secret())];
    let request = reqwest::Client::new()
        .post(oidc.endpoint("token"))
        .basic_auth(oidc_provider::WEB_CLIENT_ID, Some(oidc_provider::CLIENT_SECRET))
        .form(&form);
    // Whoever comes second, the thief or the operator, ends the whole family.
    request.send().await?;
    is_lost_and_found(&ground, "robbed").await
}

/// A Connection that a person has authenticated at a scripted provider, and whose account is known.
async fn at_script(name: &str) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    welcome::welcome(&provider, welcome::Welcome::default());
    ground.connector(name, welcome::connector(&provider)).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("crm", with_own_app(name)).await?;
    welcome::consent(&ground, "crm").await?;
    let known = |connection: &Connection| {
        connection.status.as_ref().is_some_and(|status| status.account.as_deref() == Some("ada"))
    };
    ground.until_is("crm", "its account is known", known).await?;
    ground.until_ready("crm").await?;
    Ok((ground, provider))
}

#[tokio::test]
async fn s32_a_wish_to_authenticate_anew_calls_a_person_and_nobody_else() -> Result<()> {
    let (ground, provider) = at_script("anew").await?;
    let (before, calls) = (ground.connections().get("crm").await?, provider.received().len());
    let wish = "2026-01-01T00:00:00Z";
    ground.annotate("crm", "liaison.dev/reauthenticate-at", wish).await?;
    let called = ground.until_is("crm", "somebody is called", |connection| url(connection).is_some()).await?;
    let text = message(&called, ConditionType::Authenticated);
    assert!(
        text.contains("the token stays in use") && text.contains("kubectl liaison connect crm"),
        "{text}"
    );
    holds_for("the token in use is the old one, and nobody is asked", Duration::from_secs(1), async || {
        let now = ground.connections().get("crm").await?;
        let same = sequence(&now) == sequence(&before) && ready_since(&now) == ready_since(&before);
        Ok(same && url(&now).is_some() && provider.received().len() == calls)
    })
    .await?;

    welcome::consent(&ground, "crm").await?;
    let answered = |status: &ConnectionStatus| status.last_handled_reauthenticate_at.as_deref() == Some(wish);
    let after = ground.until_is("crm", "answered", |c| c.status.as_ref().is_some_and(answered)).await?;
    assert_eq!((url(&after), ready_since(&after)), (None, ready_since(&before)));
    assert_eq!(sequence(&after), sequence(&before) + 1);
    Ok(())
}

#[tokio::test]
async fn another_oauth_client_is_sent_nothing_of_the_old_ones_token_until_a_person_consents() -> Result<()> {
    let (ground, provider) = at_script("another-client").await?;
    let before = ground.connections().get("crm").await?;
    let calls = provider.received().len();
    ground.secret("app", &[("clientId", "another"), ("clientSecret", "b")]).await?;
    let lost = ground.until("crm", ConditionType::Authenticated, "False", "ReauthenticationRequired").await?;
    let text = message(&lost, ConditionType::Authenticated);
    let said = ["the OAuth client has changed", "nothing was sent", "kubectl liaison connect crm"];
    assert!(said.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(lost.status.clone().unwrap_or_default().state, State::Disconnected);
    assert!(url(&lost).is_some());
    assert_eq!(provider.received().len(), calls);

    welcome::consent(&ground, "crm").await?;
    let found = ground.until_ready("crm").await?;
    assert_eq!((found.uid(), url(&found)), (before.uid(), None));
    let clients = welcome::asked(&provider, "/authorize", "client_id");
    assert_eq!(clients, [Some("a".to_owned()), Some("another".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn s72_another_account_at_the_next_consent_is_told() -> Result<()> {
    let ground = at_oidc_provider("account-after-account", "camille").await?;
    let first = ground.connections().get("crm").await?.status.unwrap_or_default();
    assert_eq!((first.account.as_deref(), first.previous_account), (Some("camille"), None));
    consent_as(&ground, "crm", &World::shared().public_url, "dominique").await?;
    ground.until_event("crm", "AccountChanged").await?;
    let changed = ground
        .until_is("crm", "is dominique's", |c| {
            c.status.as_ref().is_some_and(|status| status.account.as_deref() == Some("dominique"))
        })
        .await?;
    let text = message(&changed, ConditionType::Authenticated);
    assert!(text.contains("\"dominique\"") && text.contains("\"camille\""), "{text}");
    ground.until_ready("crm").await?;

    // The same account once more is no change.
    consent_as(&ground, "crm", &World::shared().public_url, "dominique").await?;
    let quiet = |c: &Connection| !message(c, ConditionType::Authenticated).contains("camille");
    ground.until_is("crm", "says no more of it", quiet).await?;
    let events = ground.events("crm").await?;
    ensure!(events.iter().filter(|reason| *reason == "AccountChanged").count() == 1, "{events:?}");
    Ok(())
}

#[tokio::test]
async fn a_suspended_connection_of_a_person_is_not_refreshed() -> Result<()> {
    let oidc = &World::shared().oidc;
    let ground = at_oidc_provider("resting", "resting").await?;
    ground.patch("crm", json!({ "spec": { "suspend": true } })).await?;
    ground.until("crm", ConditionType::Ready, "False", "Suspended").await?;
    let refreshes = oidc.refreshes_of("resting")?;
    ground.until("crm", ConditionType::Authenticated, "False", "TokenExpired").await?;
    assert_eq!(oidc.refreshes_of("resting")?, refreshes);
    ground.patch("crm", json!({ "spec": { "suspend": false } })).await?;
    ground.until_ready("crm").await?;
    Ok(())
}
