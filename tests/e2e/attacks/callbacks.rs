//! Callbacks: replayed, swapped, stolen, mended, and from browsers that did not begin.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use liaison::api::consent_request::Phase;
use liaison::envelope::{ConsentSession, Keyring};
use reqwest::{Method, Url};
use serde_json::json;

use super::{
    CRM, Scene, certified, follow, follow_home, nothing_is_stored, query, sessions, visit, with_query,
};
use crate::person::{ask, come_back, secret};
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::walker::Walker;
use crate::world::World;

type Cookies = Vec<(String, String)>;

/// One wrong way to come back.
struct Attempt {
    what: String,
    method: Method,
    url: Url,
    cookies: Cookies,
}

fn attempt(what: &str, url: &Url, cookies: &[(String, String)]) -> Attempt {
    Attempt { what: what.to_owned(), method: Method::GET, url: url.clone(), cookies: cookies.to_vec() }
}

/// A text in which one character is another one.
fn flipped(text: &str, at: usize) -> String {
    let other = |character| if character == 'A' { 'B' } else { 'A' };
    text.chars().enumerate().map(|(index, found)| if index == at { other(found) } else { found }).collect()
}

/// Ways in which a browser has no cookie of this request, or not as it was given.
fn wrong_cookies(callback: &Url, own: &(String, String), other: &(String, String)) -> Vec<Attempt> {
    let (name, value) = own;
    let mended = |what: &str, value: String| attempt(what, callback, &[(name.clone(), value)]);
    let half: String = value.chars().take(value.len() / 2).collect();
    let last = value.chars().count() - 1;
    let mut attempts = vec![
        attempt("no cookie", callback, &[]),
        attempt("the cookie of another request", callback, std::slice::from_ref(other)),
        attempt("the session under another request's name", callback, &[(other.0.clone(), value.clone())]),
        mended("another session under the request's name", other.1.clone()),
        mended("a cookie cut in half", half),
        mended("a cookie one character short", value.chars().take(last).collect()),
        mended("a cookie of another key", value.replacen('1', "2", 1)),
        mended("a cookie without its key", value.rsplit('~').next().unwrap_or_default().to_owned()),
        mended("a cookie that is not ours", "1~AAAA".to_owned()),
        attempt("the cookie of a secure site", callback, &[(format!("__Host-{name}"), value.clone())]),
    ];
    for at in [2, 20, last / 2, last] {
        attempts.push(mended(&format!("a cookie with another character at {at}"), flipped(value, at)));
    }
    attempts
}

/// Ways in which the query is no answer to this request.
fn wrong_queries(callback: &Url, others_state: &str, cookies: &[(String, String)]) -> Vec<Attempt> {
    let state = query(callback, "state");
    let with = |what: &str, name: &str, value: Option<&str>| {
        attempt(what, &with_query(callback, name, value), cookies)
    };
    let mut attempts = vec![
        with("the state of another request", "state", Some(others_state)),
        with("no state", "state", None),
        with("an empty state", "state", Some("")),
        with("half a state", "state", state.get(..20)),
        with("a state with something behind it", "state", Some(&format!("{state}x"))),
        with("a state with a zero", "state", Some(&format!("{state}\0"))),
        with("a state of another spelling", "state", Some(&state.to_uppercase())),
        with("a state without an end", "state", Some(&"s".repeat(5000))),
        with("no code", "code", None),
        with("an empty code", "code", Some("")),
        with("a code without an end", "code", Some(&"c".repeat(5000))),
        with("a code and an error", "error", Some("access_denied")),
    ];
    for name in ["code", "state", "iss"] {
        let mut doubled = callback.clone();
        doubled.query_pairs_mut().append_pair(name, &query(callback, name));
        attempts.push(attempt(&format!("{name} twice"), &doubled, cookies));
        doubled.query_pairs_mut().append_pair(name, "another");
        attempts.push(attempt(&format!("{name} three times"), &doubled, cookies));
    }
    attempts
}

/// Ways to ask for something else than the address that was sent along.
fn wrong_addresses(callback: &Url, connector: &str, cookies: &[(String, String)]) -> Vec<Attempt> {
    let path = callback.path();
    let first = connector.chars().next().unwrap_or_default();
    let encoded = path.replacen(connector, &format!("%{:02X}{}", u32::from(first), &connector[1..]), 1);
    let paths = [
        "/callback".to_owned(),
        "/callback/another".to_owned(),
        format!("/callback/{connector}/crm"),
        format!("{path}/"),
        format!("/{path}"),
        path.to_uppercase(),
        encoded,
        format!("{path}%00"),
        format!("{path};a"),
    ];
    let mut attempts: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let mut url = callback.clone();
            url.set_path(&path);
            attempt(&format!("the path {path}"), &url, cookies)
        })
        .collect();
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        attempts.push(Attempt { method, ..attempt("another method", callback, cookies) });
    }
    attempts
}

#[tokio::test]
async fn a_callback_counts_in_the_browser_that_began_as_it_was_sent_and_once() -> Result<()> {
    let scene = Scene::new("attack-callback").await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let (asked, others) = (ask(&ada, &scene.ground, CRM).await?, ask(&eve, &scene.ground, CRM).await?);
    let (mut adas, mut eves) = (Walker::new(), Walker::new());
    let callback = follow(&mut adas, &asked.link().await?).await?;
    let others_callback = follow(&mut eves, &others.link().await?).await?;
    let (own, other) = (sessions(&adas), sessions(&eves));
    let states = [&callback, &others_callback].map(|callback| query(callback, "state"));
    ensure!(states[0] != states[1] && states.iter().all(|state| state.len() == 43), "256 bits: {states:?}");
    let (own_cookie, other_cookie) = own.first().zip(other.first()).context("a cookie of each")?;
    let started = asked.until(Phase::Started).await?;

    let mut attempts = wrong_cookies(&callback, own_cookie, other_cookie);
    attempts.extend(wrong_queries(&callback, &query(&others_callback, "state"), &own));
    attempts.extend(wrong_addresses(&callback, &scene.connector, &own));
    for Attempt { what, method, url, cookies } in attempts {
        let page = visit(method, &url, &cookies).await?;
        ensure!((400..500).contains(&page.status), "{what}: {}", page.status);
        ensure!(!page.headers.contains_key("set-cookie"), "{what}: a cookie");
        ensure!(!page.body.contains("receipt=") && page.leads_to()?.is_none(), "{what}: {}", page.body);
        ensure!(asked.now().await? == started, "{what} changes nothing");
    }

    // Nothing was burnt, and then it counts once.
    let receipt = come_back(&mut adas, &callback).await?;
    ensure!(!receipt.is_empty() && sessions(&adas).is_empty(), "the cookie is taken away");
    let returned = asked.until(Phase::Returned).await?;
    for code in [query(&callback, "code"), query(&others_callback, "code")] {
        let replayed = visit(Method::GET, &with_query(&callback, "code", Some(&code)), &own).await?;
        ensure!(replayed.status == 409 && replayed.leads_to()?.is_none(), "{}", replayed.status);
        ensure!(asked.now().await? == returned, "the first answer stays");
    }
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn a_refusal_that_somebody_else_makes_up_ends_no_consent() -> Result<()> {
    let scene = Scene::new("attack-refusal").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let mut adas = Walker::new();
    let callback = follow(&mut adas, &asked.link().await?).await?;
    let started = asked.until(Phase::Started).await?;
    let refusal = with_query(&with_query(&callback, "code", None), "error", Some("access_denied"));
    let guessed = with_query(&refusal, "state", Some(&secret()?));
    for (url, cookies) in [(&refusal, Vec::new()), (&guessed, sessions(&adas))] {
        let page = visit(Method::GET, url, &cookies).await?;
        ensure!(page.status == 404 && asked.now().await? == started, "{}", page.status);
    }
    scene.nothing_came_of_it(&[]).await
}

/// The keys of the operator, which nobody but it reads: to see that it looks at the time inside of what it sealed.
async fn keyring() -> Result<Keyring> {
    let secrets: Api<Secret> =
        Api::namespaced(World::shared().control_plane.client().await?, OPERATOR_NAMESPACE);
    let data = secrets.get("liaison-keyring").await?.data.unwrap_or_default();
    let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(Keyring::from_secret_data(&data)?)
}

#[tokio::test]
async fn a_callback_after_ten_minutes_counts_for_nothing() -> Result<()> {
    let scene = Scene::new("attack-expired").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let mut adas = Walker::new();
    let callback = follow(&mut adas, &asked.link().await?).await?;
    let started = asked.until(Phase::Started).await?;
    let (uid, keyring) = (started.uid().context("uid")?, keyring().await?);
    let own = sessions(&adas);
    let (name, sealed) = own.first().context("cookie")?;
    let session = keyring.open_consent_session(&uid, sealed).context("a session of ours")?;

    let limit = liaison::domain::consent::expires_at(&started);
    ensure!(session.expires_at == limit, "a session ends with its request");
    let expired = ConsentSession { expires_at: limit - Duration::from_mins(11), ..session };
    let expired = [(name.clone(), keyring.seal_consent_session(&uid, &expired)?)];
    let page = visit(Method::GET, &callback, &expired).await?;
    ensure!(page.status == 410 && page.leads_to()?.is_none(), "{}", page.status);
    ensure!(asked.now().await? == started, "nothing is kept");
    scene.nothing_came_of_it(&[]).await
}

/// Eve has a code of Ada's, from wherever, and brings it back in a session of her own.
async fn steals_a_code(scene: &Scene) -> Result<String> {
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let (adas, eves) = (ask(&ada, &scene.ground, CRM).await?, ask(&eve, &scene.ground, CRM).await?);
    let stolen = follow(&mut Walker::new(), &adas.link().await?).await?;
    let mut walker = Walker::new();
    let callback = follow(&mut walker, &eves.link().await?).await?;
    let callback = with_query(&callback, "code", Some(&query(&stolen, "code")));
    let receipt = come_back(&mut walker, &callback).await?;
    scene.nothing_came_of_it(&[]).await?;
    eves.hand_in(&receipt).await?;
    eves.failure().await
}

#[tokio::test]
async fn a_stolen_code_fits_no_other_verifier_at_the_provider() -> Result<()> {
    let scene = Scene::new("attack-injection").await?;
    let reason = steals_a_code(&scene).await?;
    ensure!(reason == "ReconsentRequired" || reason == "RequestRejected", "{reason}");
    ensure!(scene.token_requests()? == 1, "the provider is asked and refuses");
    nothing_is_stored(&scene.ground).await
}

#[tokio::test]
async fn a_stolen_code_brings_the_nonce_of_another_session() -> Result<()> {
    let mut spec = certified("attack-injection-nonce");
    spec["authMethods"][0]["oauth2"]["pkce"] = json!("Off");
    let scene = Scene::with("attack-injection-nonce", spec).await?;
    ensure!(steals_a_code(&scene).await? == "AnswerInvalid");
    ensure!(scene.token_requests()? == 1, "the provider takes no part in PKCE, and answers");
    nothing_is_stored(&scene.ground).await
}

#[tokio::test]
async fn what_is_secret_on_the_way_is_in_no_log() -> Result<()> {
    let scene = Scene::new("attack-log").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let mut walker = Walker::new();
    let callback = follow(&mut walker, &asked.link().await?).await?;
    let cookie = sessions(&walker).pop().context("cookie")?.1;
    let receipt = come_back(&mut walker, &callback).await?;
    asked.hand_in(&receipt).await?;
    asked.until(Phase::Succeeded).await?;
    let log = World::shared().operator_log()?;
    let secrets = [
        ("start", asked.start.clone()),
        ("state", query(&callback, "state")),
        ("code", query(&callback, "code")),
        ("receipt", receipt),
        ("cookie", cookie),
    ];
    for (what, secret) in &secrets {
        ensure!(secret.len() > 20 && !log.contains(secret.as_str()), "the {what} is in the log");
    }
    // A second consent by the same link, with the same answer, or with the same receipt finds nothing.
    let page = visit(Method::GET, &callback, &[]).await?;
    ensure!(page.status == 404);
    let again = ask(&ada, &scene.ground, CRM).await?;
    let other = follow_home(&mut Walker::new(), &again.link().await?).await?;
    ensure!(other != secrets[3].1);
    again.hand_in(&secrets[3].1).await?;
    ensure!(again.failure().await? == "ReceiptMismatch");
    ensure!(scene.token_requests()? == 1);
    Ok(())
}
