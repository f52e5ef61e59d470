//! The browser that tests use, and how it signs in at the identity providers that nobody here wrote.

use anyhow::Result;
use axum::Router;
use axum::response::Html;
use tokio::net::TcpListener;
use url::Url;

use crate::support::browser::{Browser, Manner, SignIn};
use crate::support::identity_provider::{self, Zitadel};
use crate::support::oidc_provider::{self, OidcProvider};

/// Where a provider sends people back to.
async fn callback() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/callback", listener.local_addr()?);
    let router = Router::new().fallback(|| async { Html("<!DOCTYPE html><title>Back</title>back") });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// An authorization request with the challenge of RFC 7636, appendix B.
fn authorization_request(endpoint: &str, client: &str, callback: &str) -> Result<String> {
    let parameters = [
        ("client_id", client),
        ("redirect_uri", callback),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "a-state"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    Ok(Url::parse_with_params(endpoint, parameters)?.into())
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn the_browser_reaches_nothing_but_this_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let browser = Browser::start(folder.path()).await?;
    let visit = browser.visit(Manner::default()).await?;
    for address in ["http://login.example/", "https://192.0.2.1/", "http://10.0.0.1/"] {
        let error = visit.open(address).await.expect_err(address).to_string();
        assert!(error.contains("ERR_NAME_NOT_RESOLVED"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_person_signs_in_at_zitadel() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let callback = callback().await?;
    let zitadel = Zitadel::start(folder.path(), None, &[&callback]).await?;
    let browser = Browser::start(folder.path()).await?;
    let visit = browser.visit(Manner::default()).await?;
    let (client, username, password) =
        (identity_provider::WEB_CLIENT_ID, identity_provider::USERNAME, identity_provider::PASSWORD);
    visit.open(&authorization_request(&zitadel.endpoint("auth"), client, &callback)?).await?;
    visit.sign_in(SignIn::Zitadel, username, password).await?;

    let back = visit.arrive(&callback).await?;
    assert_eq!(parameter(&back.url, "state").as_deref(), Some("a-state"), "{back:?}");
    assert!(parameter(&back.url, "code").is_some(), "{back:?}");
    Ok(())
}

#[tokio::test]
async fn a_person_agrees_and_declines_at_oidc_provider() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let callback = callback().await?;
    let provider = OidcProvider::start_for_people(folder.path(), 600, &[&callback]).await?;
    let browser = Browser::start(folder.path()).await?;
    let request = authorization_request(&provider.endpoint("auth"), oidc_provider::WEB_CLIENT_ID, &callback)?;
    for (answer, brought) in [(SignIn::OidcProvider, "code"), (SignIn::OidcProviderDeclined, "error")] {
        let visit = browser.visit(Manner::default()).await?;
        visit.open(&request).await?;
        visit.sign_in(answer, "camille", "any").await?;

        let back = visit.arrive(&callback).await?;
        assert_eq!(parameter(&back.url, "state").as_deref(), Some("a-state"), "{back:?}");
        assert_eq!(parameter(&back.url, "iss"), Some(provider.issuer()), "{back:?}");
        assert!(parameter(&back.url, brought).is_some(), "{back:?}");
        visit.end().await?;
    }
    Ok(())
}
