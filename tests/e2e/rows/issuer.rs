//! Connectors whose endpoints come from their issuer.

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use liaison::api::{Connection, ConnectorStatus};
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use super::catalogue::oidc_client;
use crate::fixtures::{Ground, HEALS, message};
use crate::support::strict_provider::{Answer, Received};
use crate::support::waiting::eventually;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

fn shared_redirect(issuer: &str) -> Value {
    json!({
        "displayName": "Provider with an issuer",
        "redirect": "Shared",
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": { "issuer": issuer, "iss": "Required", "scopes": { "default": ["openid"] } },
        }],
    })
}

fn with_app(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

/// Waits until Valid has this status and reason and its message holds a text, and gives the whole status.
async fn until_valid_is(
    ground: &Ground,
    name: &str,
    wanted: (&str, &str),
    text: &str,
) -> Result<ConnectorStatus> {
    let connectors = ground.connectors();
    eventually(&format!("{name}: Valid={wanted:?} with {text:?}"), HEALS, async || {
        let status = connectors.get(name).await?.status.unwrap_or_default();
        let valid = conditions::find(&status.conditions, ConditionType::Valid).context("no condition")?;
        anyhow::ensure!(
            (valid.status.as_str(), valid.reason.as_str()) == wanted && valid.message.contains(text),
            "{}/{}: {}",
            valid.status,
            valid.reason,
            valid.message
        );
        Ok(Some(status))
    })
    .await
}

/// Any change of the spec, which is worth asking the issuer again.
async fn describe(ground: &Ground, name: &str, description: &str) -> Result<()> {
    let patch = json!({ "spec": { "description": description } });
    ground.connectors().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test]
async fn the_endpoints_of_a_shared_redirect_are_those_that_the_certified_provider_names() -> Result<()> {
    let world = World::shared();
    let ground = ground("issuer").await?;
    ground.secret("app", &oidc_client()).await?;
    ground.connector("issuer", shared_redirect(&world.oidc.issuer())).await?;
    let status = until_valid_is(&ground, "issuer", ("True", "DescriptionValid"), "").await?;
    let metadata = status.metadata.context("no metadata")?;
    let named: Value =
        reqwest::get(world.oidc.endpoint(".well-known/openid-configuration")).await?.json().await?;
    assert_eq!(named["authorization_endpoint"], metadata.authorization_endpoint.as_str());
    assert_eq!(named["token_endpoint"], metadata.token_endpoint.as_str());
    assert_eq!(named["revocation_endpoint"].as_str(), metadata.revocation_endpoint.as_deref());
    assert_eq!(named["introspection_endpoint"].as_str(), metadata.introspection_endpoint.as_deref());

    ground.connection("c", with_app("issuer")).await?;
    let waiting = ground.until("c", ConditionType::Ready, "False", "AwaitingAuthentication").await?;
    let authentication = waiting.status.unwrap_or_default().authentication.context("no authentication")?;
    assert!(authentication.redirect_uri.is_some_and(|address| address.ends_with("/callback")));
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_cannot_be_believed_is_reported_heals_and_is_not_needed_while_a_copy_is_there()
-> Result<()> {
    let ground = ground("doubt").await?;
    let provider = World::shared().provider()?;
    ground.secret("app", &oidc_client()).await?;
    provider.script(|_| {
        let headers = vec![("location".to_owned(), "/elsewhere".to_owned())];
        Some(Answer { status: 302, headers, body: String::new() })
    });
    ground.connector("doubt", shared_redirect(&provider.endpoint("/tenant"))).await?;
    ground.connection("c", with_app("doubt")).await?;
    let unavailable = ("False", "IssuerMetadataUnavailable");
    until_valid_is(&ground, "doubt", unavailable, "redirect, which is never followed (status 302)").await?;
    ground.until("c", ConditionType::Ready, "False", "ConnectorInvalid").await?;
    let told = |connection: &Connection| message(connection, ConditionType::Ready);
    let connection =
        ground.until_is("c", "tells why", |connection| told(connection).contains("never followed")).await?;
    assert!(told(&connection).contains(&provider.authority()), "{}", told(&connection));

    let issuer = provider.endpoint("/tenant");
    provider.script(move |request: &Received| {
        let here = request.path == "/.well-known/oauth-authorization-server/tenant";
        here.then(|| {
            Answer::json(
                200,
                &json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "authorization_response_iss_parameter_supported": true,
                }),
            )
        })
    });
    describe(&ground, "doubt", "the second attempt").await?;
    let status = until_valid_is(&ground, "doubt", ("True", "DescriptionValid"), "").await?;
    assert_eq!(status.metadata.context("no metadata")?.issuer, provider.endpoint("/tenant"));
    ground.until("c", ConditionType::Ready, "False", "AwaitingAuthentication").await?;

    provider.script(|_| Some(Answer { status: 200, headers: Vec::new(), body: " ".repeat(2 * 1024 * 1024) }));
    describe(&ground, "doubt", "the third attempt").await?;
    let kept = until_valid_is(&ground, "doubt", ("True", "DescriptionValid"), "is larger than").await?;
    assert!(kept.metadata.is_some());

    let paths: Vec<_> = provider.received().into_iter().map(|request| request.path).collect();
    let (openid, oauth) =
        ("/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant");
    assert_eq!(paths, [openid, openid, oauth, openid]);
    Ok(())
}
