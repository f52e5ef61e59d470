//! A person authenticates a Connection at real providers.

use anyhow::Result;
use liaison::api::connection::State;
use liaison::domain::conditions::ConditionType;
use reqwest::Url;

use crate::fixtures::{Ground, message};
use crate::person::{
    ask, come_back, consent, leave, oidc_app, oidc_connector_for_people, sign_in, with_own_app, zitadel_app,
    zitadel_connector,
};
use crate::support::walker::Walker;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A Connection that waits for a person at Zitadel; gives its connector's name.
async fn at_zitadel(ground: &Ground, name: &str) -> Result<String> {
    let world = World::shared();
    let connector = world.connector_for_people()?;
    ground.connector(&connector, zitadel_connector(world)).await?;
    ground.secret("app", &zitadel_app()).await?;
    ground.connection(name, with_own_app(&connector)).await?;
    ground.until(name, ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    Ok(connector)
}

#[tokio::test]
async fn s47_a_person_with_their_own_app_walks_from_the_connector_to_a_ready_connection() -> Result<()> {
    let world = World::shared();
    let ground = ground("s47").await?;
    let connector = at_zitadel(&ground, "crm").await?;
    let waiting = ground.connections().get("crm").await?.status.unwrap_or_default();
    assert_eq!((waiting.state, waiting.account.as_deref()), (State::Inactive, Some("System")));
    let shown = waiting.authentication.unwrap_or_default();
    assert_eq!(shown.url, Some(format!("{}/connections/s47/crm", world.public_url)));
    let redirect_uri = format!("{}/callback/{connector}", world.public_url);
    assert_eq!(shown.redirect_uri.as_ref(), Some(&redirect_uri));

    let asked = ask(&ground.client, &ground, "crm").await?;
    let mut walker = Walker::new();
    let login = leave(&mut walker, &asked.link().await?).await?;
    // S46: byte for byte what the status says.
    let authorize = walker.visited.iter().find(|url| url.path() == "/auth").cloned();
    let sent = |url: &Url, name: &str| {
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(authorize.as_ref().and_then(|url| sent(url, "redirect_uri")), Some(redirect_uri));
    assert_eq!(
        authorize.as_ref().and_then(|url| sent(url, "code_challenge_method")).as_deref(),
        Some("S256")
    );
    let callback = sign_in(&mut walker, login, &world.public_url).await?;
    let receipt = come_back(&mut walker, &callback).await?;
    asked.hand_in(&receipt).await?;

    let ready = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!((ready.state, ready.account.as_deref()), (State::Connected, Some("test-user@example.com")));
    assert_eq!(ready.authentication.and_then(|shown| shown.url), None, "nobody has to act");
    assert!(ready.authenticated_by.is_some());
    assert_eq!(ready.display_name.as_deref(), Some("test-user@example.com"));
    ground.until_event("crm", "Authenticated").await
}

#[tokio::test]
async fn s38_a_person_consents_at_a_certified_provider_whose_issuer_is_checked() -> Result<()> {
    let world = World::shared();
    let ground = ground("s38").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    ground.secret("app", &oidc_app()).await?;
    let mut spec = with_own_app(&connector);
    spec["authType"] = "OAuth2AuthorizationCode".into();
    ground.connection("crm", spec).await?;
    consent(&ground, "crm", &world.public_url).await?;
    let ready = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(ready.account.as_deref(), Some("ada"));
    Ok(())
}

#[tokio::test]
async fn s11_a_new_consent_keeps_uid_and_name_and_replaces_the_token() -> Result<()> {
    let world = World::shared();
    let ground = ground("s11-consent").await?;
    at_zitadel(&ground, "crm").await?;
    consent(&ground, "crm", &world.public_url).await?;
    let first = ground.until_ready("crm").await?;
    consent(&ground, "crm", &world.public_url).await?;
    let sequence = |status: &Option<liaison::api::ConnectionStatus>| {
        status.as_ref().and_then(|status| status.token.as_ref()).map(|token| token.sequence)
    };
    let second = ground
        .until_is("crm", "has the second token", |connection| {
            sequence(&connection.status) > sequence(&first.status)
        })
        .await?;
    assert_eq!(second.metadata.uid, first.metadata.uid);
    assert_eq!(message(&second, ConditionType::Ready), "");
    Ok(())
}
