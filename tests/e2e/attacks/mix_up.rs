//! Answers of another provider, and tokens that were made for somebody else.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liaison::api::consent_request::Phase;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{CRM, Scene, follow, nothing_is_stored, query, sessions, visit, with_query};
use crate::person::ask;
use crate::support::strict_provider::{Answer, Received, StrictProvider};
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::Walker;
use crate::world::World;

/// Ada comes back from her provider, and the answer says that it comes from somebody else.
async fn is_taken_for_foreign(scene: &Scene, issuers: &[Option<&str>]) -> Result<()> {
    let ada = scene.person("ada").await?;
    for issuer in issuers {
        let asked = ask(&ada, &scene.ground, CRM).await?;
        let mut walker = Walker::new();
        let callback = follow(&mut walker, &asked.link().await?).await?;
        let own = sessions(&walker);
        let page = visit(Method::GET, &with_query(&callback, "iss", *issuer), &own).await?;
        ensure!(page.status == 409 && page.leads_to()?.is_none(), "{issuer:?}: {}", page.status);
        ensure!(asked.failure().await? == "ResponseMismatch", "{issuer:?}");
        // The answer that is right is worth nothing any more: whoever mixes up gets one attempt.
        let page = visit(Method::GET, &callback, &own).await?;
        ensure!(page.status == 409 && page.leads_to()?.is_none(), "{issuer:?}: {}", page.status);
    }
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn an_answer_of_another_issuer_or_of_none_is_not_redeemed_where_one_is_required() -> Result<()> {
    let world = World::shared();
    let scene = Scene::new("attack-issuer").await?;
    let (right, zitadel) = (world.oidc.issuer(), world.zitadel.issuer());
    let spellings = [format!("{right}/"), right.to_uppercase(), format!("{right}?"), format!(" {right}")];
    let mut issuers = vec![None, Some(""), Some("https://evil.example"), Some(zitadel.as_str())];
    issuers.extend(spellings.iter().map(|spelling| Some(spelling.as_str())));
    is_taken_for_foreign(&scene, &issuers).await
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_not_redeemed_where_one_may_be_missing() -> Result<()> {
    let scene = Scene::at_zitadel("attack-issuer-zitadel").await?;
    let right = World::shared().untouched.issuer();
    let without_slash = right.trim_end_matches('/');
    is_taken_for_foreign(&scene, &[Some("https://evil.example"), Some(""), Some(without_slash)]).await
}

/// What a scripted provider has been asked at its authorization endpoint, and the claims that it answers with.
#[derive(Default)]
struct Script {
    nonces: Mutex<Vec<String>>,
    claims: Mutex<Value>,
}

fn scripted(provider: &StrictProvider) -> Arc<Script> {
    let script = Arc::new(Script::default());
    let of_answers = Arc::clone(&script);
    let endpoint = provider.endpoint("");
    provider.script(move |request| answer(&of_answers, &endpoint, request));
    script
}

fn answer(script: &Script, endpoint: &str, request: &Received) -> Option<Answer> {
    let asked = Url::parse(&format!("{endpoint}/?{}", request.query)).ok()?;
    match request.path.as_str() {
        "/authorize" => {
            let nonce = query(&asked, "nonce");
            script.nonces.lock().unwrap_or_else(PoisonError::into_inner).push(nonce);
            let mut callback = Url::parse(&query(&asked, "redirect_uri")).ok()?;
            callback
                .query_pairs_mut()
                .append_pair("code", "code")
                .append_pair("state", &query(&asked, "state"));
            let headers = vec![("location".to_owned(), callback.into())];
            Some(Answer { status: 302, headers, body: String::new() })
        }
        "/token" => {
            let claims = script.claims.lock().unwrap_or_else(PoisonError::into_inner).to_string();
            let id_token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
            let tokens = json!({
                "access_token": "access", "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 3600,
                "id_token": id_token,
            });
            Some(Answer::json(200, &tokens))
        }
        _ => None,
    }
}

fn scripted_connector(provider: &StrictProvider) -> Value {
    json!({
        "displayName": "Scripted",
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": {
                "issuer": provider.endpoint(""), "iss": "Off",
                "authorizeURL": provider.endpoint("/authorize"), "tokenURL": provider.endpoint("/token"),
                "scopes": { "default": ["openid"] },
            },
        }],
        "account": { "idTokenClaim": "sub" },
    })
}

/// A change to the claims of a right ID token; null takes a claim away.
fn wrong_claims(of_another_session: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("the nonce of another session", json!({ "nonce": of_another_session })),
        ("no nonce", json!({ "nonce": null })),
        ("an empty nonce", json!({ "nonce": "" })),
        ("another client", json!({ "aud": "another" })),
        ("another client beside ours", json!({ "aud": ["web", "another"] })),
        ("another authorized party", json!({ "aud": ["web"], "azp": "another" })),
        ("no client", json!({ "aud": null })),
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("no issuer", json!({ "iss": null })),
        ("a time that is over", json!({ "exp": 1_000_000_000 })),
        ("no time", json!({ "exp": null })),
    ]
}

#[tokio::test]
async fn a_token_that_was_made_for_somebody_else_is_not_stored() -> Result<()> {
    let provider = World::shared().provider()?;
    let script = scripted(&provider);
    let scene = Scene::at(
        "attack-id-token",
        scripted_connector(&provider),
        &[("clientId", "web"), ("clientSecret", "secret")],
    )
    .await?;
    let ada = scene.person("ada").await?;
    // Another session, whose nonce is known by now.
    let other = ask(&ada, &scene.ground, CRM).await?;
    begin(&mut Walker::new(), &other.link().await?).await?;
    let others_nonce =
        script.nonces.lock().unwrap_or_else(PoisonError::into_inner).pop().context("a nonce")?;

    for (number, (what, change)) in wrong_claims(&others_nonce).into_iter().enumerate() {
        let reason = redeems(&scene, &ada, &script, &provider, &change).await?;
        ensure!(reason == "AnswerInvalid", "{what}: {reason}");
        ensure!(provider.count("/token") == number + 1, "{what}: asked once");
        nothing_is_stored(&scene.ground).await?;
    }
    // The same with nothing changed is a success: it is the claims that were refused.
    let reason = redeems(&scene, &ada, &script, &provider, &json!({})).await?;
    ensure!(reason == "Authenticated", "{reason}");
    Ok(())
}

/// Follows a link to a provider that asks for nothing; the receipt.
async fn begin(walker: &mut Walker, link: &str) -> Result<String> {
    let start = walker.open(link).await?;
    let (url, form) = start.form(&[])?;
    let mut page = walker.once(Method::POST, &url, Some(&form)).await?;
    loop {
        let next = page.leads_to()?.with_context(|| page.text())?;
        if next.host_str() == Some("127.0.0.1") {
            return Ok(query(&next, "receipt"));
        }
        page = walker.once(Method::GET, &next, None).await?;
    }
}

/// A consent whose ID token is right but for a change; how it ends.
async fn redeems(
    scene: &Scene,
    ada: &kube::Client,
    script: &Script,
    provider: &StrictProvider,
    change: &Value,
) -> Result<String> {
    let asked = ask(ada, &scene.ground, CRM).await?;
    let receipt = begin(&mut Walker::new(), &asked.link().await?).await?;
    let nonce = script.nonces.lock().unwrap_or_else(PoisonError::into_inner).last().cloned();
    let mut claims = json!({
        "iss": provider.endpoint(""), "aud": "web", "sub": "eve", "nonce": nonce, "exp": 4_000_000_000_u64,
    });
    for (name, value) in change.as_object().context("claims")? {
        claims[name] = value.clone();
    }
    claims.as_object_mut().context("claims")?.retain(|_, value| !value.is_null());
    *script.claims.lock().unwrap_or_else(PoisonError::into_inner) = claims;
    asked.hand_in(&receipt).await?;
    eventually("it has ended", SOON, async || {
        let status = asked.now().await?.status.unwrap_or_default();
        Ok(status.reason.filter(|_| status.phase.is_some_and(Phase::is_final)))
    })
    .await
}
