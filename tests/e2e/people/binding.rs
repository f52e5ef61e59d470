//! Processes that consume what a person consented to.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::binding::{WITHDRAWN, is_fresh, ready_message};
use crate::fixtures::Ground;
use crate::person::{consent_as, oidc_app, oidc_connector_for_people, stolen_record, with_own_app};
use crate::support::waiting::eventually;
use crate::world::World;

#[tokio::test]
async fn a_process_gets_each_access_token_of_a_person_and_never_a_refresh_token() -> Result<()> {
    let world = World::shared();
    let ground = Ground::new(world.control_plane.client().await?, "bound-person").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    ground.secret("app", &oidc_app()).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    ground.grant_use().await?;
    let spec = json!({ "connectionRef": { "name": "crm" }, "secretName": "orders" });
    ground.bind("orders", &connector, spec).await?;
    let page = ground.until_is("crm", "shows its page", |connection| {
        let status = connection.status.as_ref();
        status.and_then(|status| status.authentication.as_ref()?.url.as_ref()).is_some()
    });
    let status = page.await?.status.unwrap_or_default();
    let page = status.authentication.and_then(|authentication| authentication.url).context("a page")?;
    let waiting = eventually("the binding says where to go", WITHDRAWN, async || {
        let message = ready_message(&ground.bindings().get("orders").await?);
        Ok(Some(message).filter(|message| message.contains(&page)))
    })
    .await?;
    assert_eq!(waiting, format!("connection \"crm\" awaits authentication: {page}"));

    consent_as(&ground, "crm", &world.public_url, "bound").await?;
    ground.until_binding("orders", "True", "Bound").await?;
    let (mut handed_out, mut kept_back) = (BTreeSet::new(), BTreeSet::new());
    eventually("four access tokens and as many refresh tokens", WITHDRAWN, async || {
        let record = stolen_record(&ground, "crm").await?;
        kept_back.insert(record.refresh_token.context("a refresh token")?.expose_secret().to_owned());
        let texts = ground.secret_texts("orders").await?.context("the Secret")?;
        handed_out.insert(texts["access-token"].clone());
        for refresh_token in &kept_back {
            assert!(texts.values().all(|text| !text.contains(refresh_token)), "{:?}", texts.keys());
        }
        assert!(is_fresh(&texts)?, "it has ended: {}", texts["expires-at"]);
        Ok((handed_out.len() >= 4 && kept_back.len() >= 4).then_some(()))
    })
    .await?;
    let statuses = serde_json::to_string(&ground.bindings().get("orders").await?)?;
    assert!(handed_out.iter().chain(&kept_back).all(|token| !statuses.contains(token)));
    Ok(())
}
