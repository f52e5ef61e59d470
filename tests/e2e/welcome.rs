//! A scripted provider that people come to: it lets everybody in at once, and records what it was asked.

use anyhow::{Context as _, Result, ensure};
use liaison::api::consent_request::Phase;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::fixtures::Ground;
use crate::person::{Asked, ask, come_back};
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::walker::Walker;
use crate::world::World;

/// Addresses in a row before somebody is lost.
const HOPS: usize = 8;

/// What the provider answers people, and the operator.
#[derive(Clone)]
pub(crate) struct Welcome {
    /// What comes back with the browser, besides the state.
    pub back: Vec<(&'static str, String)>,
    /// What the token endpoint says.
    pub token: Answer,
}

impl Default for Welcome {
    fn default() -> Self {
        let token = json!({ "access_token": "x", "refresh_token": "y", "expires_in": 3600 });
        Self { back: vec![("code", "a-code".to_owned())], token: Answer::json(200, &token) }
    }
}

/// The provider answers so from now on.
pub(crate) fn welcome(provider: &StrictProvider, welcome: Welcome) {
    provider.script(move |request| match request.path.as_str() {
        "/authorize" => Some(sent_back(&request.query, &welcome.back)),
        "/token" => Some(welcome.token.clone()),
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
        "/revoke" => Some(Answer::json(200, &json!({}))),
        _ => None,
    });
}

fn sent_back(query: &str, back: &[(&'static str, String)]) -> Answer {
    let asked = |name: &str| parameters(query).into_iter().find(|(known, _)| known == name);
    let address = asked("redirect_uri").and_then(|(_, uri)| Url::parse(&uri).ok());
    let (Some(mut address), Some((_, state))) = (address, asked("state")) else {
        return Answer::json(400, &json!({ "error": "invalid_request" }));
    };
    address.query_pairs_mut().extend_pairs(back).append_pair("state", &state);
    Answer { status: 302, headers: vec![("location".to_owned(), address.into())], body: String::new() }
}

fn parameters(form: &str) -> Vec<(String, String)> {
    let url = Url::parse("http://localhost/").map(|mut url| {
        url.set_query(Some(form));
        url
    });
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

/// What each request on this path said under that name, in its address or its form.
pub(crate) fn asked(provider: &StrictProvider, path: &str, name: &str) -> Vec<Option<String>> {
    let requests = provider.received().into_iter().filter(|request| request.path == path);
    requests
        .map(|request| {
            let all = [parameters(&request.query), parameters(&request.body)].concat();
            all.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
        })
        .collect()
}

/// A connector for people at this provider.
pub(crate) fn connector(provider: &StrictProvider) -> Value {
    json!({
        "displayName": "Scripted provider",
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": {
                "authorizeURL": provider.endpoint("/authorize"), "tokenURL": provider.endpoint("/token"),
                "scopes": { "default": ["read", "write"] },
            },
        }],
        "account": { "url": provider.endpoint("/me"), "idPath": "/id", "namePath": "/name" },
    })
}

/// Opens the link and goes on to the first address of ours after the provider.
pub(crate) async fn pass_through(walker: &mut Walker, link: &str) -> Result<Url> {
    let public_url = &World::shared().public_url;
    let start = walker.once(Method::GET, &Url::parse(link)?, None).await?;
    let (url, form) = start.form(&[])?;
    let mut page = walker.once(Method::POST, &url, Some(&form)).await?;
    for _ in 0..HOPS {
        let target = page.leads_to()?.with_context(|| format!("no way on: {}", page.text()))?;
        if target.as_str().starts_with(public_url) {
            return Ok(target);
        }
        page = walker.once(Method::GET, &target, None).await?;
    }
    anyhow::bail!("{HOPS} addresses, and none of ours")
}

/// A person's whole part of a consent there.
pub(crate) async fn pass(ground: &Ground, connection: &str) -> Result<Asked> {
    let asked = ask(&ground.client, ground, connection).await?;
    let mut walker = Walker::new();
    let callback = pass_through(&mut walker, &asked.link().await?).await?;
    ensure!(callback.path().starts_with("/callback"), "{callback}");
    asked.hand_in(&come_back(&mut walker, &callback).await?).await?;
    Ok(asked)
}

/// The same, to its good end.
pub(crate) async fn consent(ground: &Ground, connection: &str) -> Result<Asked> {
    let asked = pass(ground, connection).await?;
    asked.until(Phase::Succeeded).await?;
    Ok(asked)
}
