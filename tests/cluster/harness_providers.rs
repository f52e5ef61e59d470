//! The identity providers that nobody here wrote, and what the tests expect of them.

use anyhow::Result;
use serde_json::Value;

use crate::support::identity_provider::Zitadel;
use crate::support::oidc_provider::OidcProvider;
use crate::support::waiting::{SOON, eventually};

#[tokio::test]
async fn zitadel_knows_its_service_user() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let zitadel = Zitadel::start(folder.path(), None, &[]).await?;
    let token = zitadel.access_token("openid profile").await?;

    let request = reqwest::Client::new().get(zitadel.endpoint("userinfo"));
    let account: Value = request.bearer_auth(token).send().await?.error_for_status()?.json().await?;

    assert_eq!(account["sub"], "sid1");
    assert_eq!(account["preferred_username"], "service");
    Ok(())
}

#[tokio::test]
async fn zitadel_refuses_a_wrong_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let zitadel = Zitadel::start(folder.path(), None, &[]).await?;
    let request = reqwest::Client::new().get(zitadel.endpoint("userinfo"));
    assert_eq!(request.bearer_auth("wrong").send().await?.status(), 401);
    Ok(())
}

async fn is_active(provider: &OidcProvider, token: &str) -> Result<bool> {
    let answer = provider.post("token/introspection", &[("token", token)]).await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    Ok(answer["active"] == true)
}

async fn access_token(provider: &OidcProvider) -> Result<Value> {
    let form = [("grant_type", "client_credentials"), ("scope", "read")];
    Ok(provider.post("token", &form).await?.error_for_status()?.json().await?)
}

#[tokio::test]
async fn oidc_provider_revokes_a_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let provider = OidcProvider::start(folder.path(), 600).await?;
    let answer = access_token(&provider).await?;
    assert_eq!((&answer["expires_in"], &answer["scope"]), (&600.into(), &"read".into()));
    let token = answer["access_token"].as_str().expect("an access token");
    assert!(is_active(&provider, token).await?);

    let revoked = provider.post("token/revocation", &[("token", token)]).await?;

    assert_eq!(revoked.status(), 200);
    assert!(!is_active(&provider, token).await?);
    assert_eq!(provider.requests("POST", "token")?, 1);
    Ok(())
}

#[tokio::test]
async fn oidc_provider_lets_a_token_expire() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let provider = OidcProvider::start(folder.path(), 2).await?;
    let answer = access_token(&provider).await?;
    let token = answer["access_token"].as_str().expect("an access token");
    assert!(is_active(&provider, token).await?);
    eventually("the token expires", SOON, async || Ok((!is_active(&provider, token).await?).then_some(())))
        .await
}
