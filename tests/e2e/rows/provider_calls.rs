//! What a provider sees of Liaison.

use std::collections::BTreeSet;

use anyhow::Result;
use kube::api::DeleteParams;
use liaison::domain::conditions::ConditionType;
use serde_json::json;

use crate::fixtures::{Ground, HEALS, client_credentials_connector};
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;
use crate::world::World;

#[tokio::test]
async fn s49_only_declared_requests_are_made_over_a_whole_life() -> Result<()> {
    let world = World::shared();
    let ground = Ground::new(world.control_plane.client().await?, "s49").await?;
    let provider = world.provider()?;
    provider.script(|request| match request.path.as_str() {
        "/token" => Some(Answer::json(200, &json!({ "access_token": "x", "expires_in": 4 }))),
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
        "/revoke" => Some(Answer::json(200, &json!({}))),
        _ => None,
    });
    ground.connector("s49", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let spec = json!({ "connectorRef": { "name": "s49" }, "oauthApp": { "secretRef": { "name": "app" } } });
    ground.connection("c", spec).await?;
    ground.until("c", ConditionType::Healthy, "True", "Verified").await?;
    ground
        .until_is("c", "refreshed twice", |connection| {
            let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
            token.is_some_and(|token| token.sequence >= 3)
        })
        .await?;
    ground.annotate("c", "liaison.dev/verify-at", "1").await?;
    let handled =
        |status: &liaison::api::ConnectionStatus| status.last_handled_verify_at.as_deref() == Some("1");
    ground.until_is("c", "verified", |c| c.status.as_ref().is_some_and(handled)).await?;
    ground.connections().delete("c", &DeleteParams::default()).await?;
    eventually("gone", HEALS, async || Ok(ground.connections().get_opt("c").await?.is_none().then_some(())))
        .await?;

    let seen: BTreeSet<String> =
        provider.received().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    let declared = ["GET /me", "POST /revoke", "POST /token"].map(str::to_owned);
    assert_eq!(seen, BTreeSet::from(declared));
    assert!(provider.received().iter().all(|request| request.query.is_empty()));
    assert_eq!(provider.count("/revoke"), 1);
    Ok(())
}
