//! A connector of Eve's beside an honest one, for codes of one provider to end up at the other (RFC 9700, section 4.4,
//! and its update on cross-tool attacks). Ada uses both, in one browser.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use liaison::api::consent_request::Phase;
use liaison::domain::conditions::ConditionType;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{CRM, Scene, follow, forget, query, with_query};
use crate::person::{Asked, ask, sign_in, with_own_app};
use crate::support::oidc_provider::WEB_CLIENT_ID;
use crate::support::strict_provider::{Answer, Received, StrictProvider};
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::{Page, Walker};
use crate::world::World;

/// Eve's Connection, which she got Ada to authenticate.
const TOOL: &str = "tool";

/// Where Eve's provider says that answers come from.
#[derive(Clone, Copy, Debug)]
enum Issuer {
    /// From the honest provider, as if it were that one.
    Honest,
    /// From itself.
    Own,
    /// From nobody in particular; nothing is looked at.
    Unnamed,
}

/// Where answers to Eve's connector come back to.
#[derive(Clone, Copy, Debug)]
enum Redirect {
    PerConnector,
    PerConnection,
    Shared,
}

/// Whether Eve's provider takes part in PKCE.
const PKCE: [&str; 2] = ["Required", "Off"];

#[derive(Clone, Copy, Debug)]
struct Case {
    redirect: Redirect,
    issuer: Issuer,
    pkce: &'static str,
}

fn cases(redirects: &[Redirect]) -> Vec<Case> {
    let issuers = [Issuer::Honest, Issuer::Own, Issuer::Unnamed];
    let cases = redirects.iter().flat_map(|redirect| issuers.map(|issuer| (*redirect, issuer)));
    cases.flat_map(|(redirect, issuer)| PKCE.map(|pkce| Case { redirect, issuer, pkce })).collect()
}

/// Where Eve's authorization endpoint sends a browser on to.
type Route = dyn Fn(&Url) -> Url + Send + Sync;

struct Plot {
    scene: Scene,
    hostile: StrictProvider,
    connector: String,
    route: Arc<Mutex<Arc<Route>>>,
    ada: Client,
}

impl Plot {
    async fn new(folder: &str) -> Result<Self> {
        let scene = Scene::new(folder).await?;
        let hostile = World::shared().provider()?;
        let route: Arc<Mutex<Arc<Route>>> = Arc::new(Mutex::new(Arc::new(Url::clone)));
        let (routes, endpoint) = (Arc::clone(&route), hostile.endpoint(""));
        hostile.script(move |request| answer(&routes, &endpoint, request));
        let app = [("clientId", WEB_CLIENT_ID), ("clientSecret", "eves")];
        scene.ground.secret("eves-app", &app).await?;
        let ada = scene.person("ada").await?;
        let connector = format!("{folder}-tool");
        Ok(Self { scene, hostile, connector, route, ada })
    }

    /// From now on Eve's authorization endpoint sends browsers on like this.
    fn reroute(&self, route: impl Fn(&Url) -> Url + Send + Sync + 'static) {
        *self.route.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(route);
    }

    fn hostile_connector(&self, case: Case) -> Value {
        let (issuer, iss) = match case.issuer {
            Issuer::Honest => (Some(World::shared().oidc.issuer()), "Required"),
            Issuer::Own => (Some(self.hostile.endpoint("")), "Required"),
            Issuer::Unnamed => (None, "Off"),
        };
        let mut oauth2 = json!({ "iss": iss, "pkce": case.pkce, "scopes": { "default": ["openid"] } });
        if !matches!(case.redirect, Redirect::Shared) {
            oauth2["authorizeURL"] = self.hostile.endpoint("/authorize").into();
            oauth2["tokenURL"] = self.hostile.endpoint("/token").into();
        }
        if let Some(issuer) = issuer {
            oauth2["issuer"] = issuer.into();
        }
        json!({
            "displayName": "A helpful tool", "redirect": format!("{:?}", case.redirect),
            "authMethods": [{ "type": "OAuth2AuthorizationCode", "oauth2": oauth2 }],
        })
    }

    /// Eve offers her tool anew.
    async fn offer(&self, case: Case) -> Result<()> {
        self.offer_as(self.hostile_connector(case), "AwaitingAuthentication").await
    }

    async fn offer_as(&self, connector: Value, expected: &str) -> Result<()> {
        let ground = &self.scene.ground;
        ground.connector(&self.connector, connector).await?;
        let mut spec = with_own_app(&self.connector);
        spec["oauthApp"] = json!({ "secretRef": { "name": "eves-app" } });
        ground.connection(TOOL, spec).await?;
        ground.until(TOOL, ConditionType::Authenticated, "False", expected).await?;
        Ok(())
    }

    /// Ada follows the link of Eve's tool as far as Eve's provider, which sends her on to the address that is given.
    async fn lures(&self, walker: &mut Walker) -> Result<(Asked, Url)> {
        let asked = ask(&self.ada, &self.scene.ground, TOOL).await?;
        let start = walker.open(&asked.link().await?).await?;
        let (url, form) = start.form(&[])?;
        let moving = walker.once(Method::POST, &url, Some(&form)).await?;
        let authorize = moving.leads_to()?.context("the way to Eve's provider")?;
        ensure!(authorize.as_str().starts_with(&self.hostile.endpoint("/authorize")));
        let sent = walker.once(Method::GET, &authorize, None).await?;
        Ok((asked, sent.leads_to()?.context("the way on")?))
    }

    fn honest_callback(&self) -> String {
        format!("{}/callback/{}", World::shared().public_url, self.scene.connector)
    }
}

fn answer(route: &Mutex<Arc<Route>>, endpoint: &str, request: &Received) -> Option<Answer> {
    if request.path.ends_with("/.well-known/openid-configuration") {
        return Some(Answer::json(200, &metadata(endpoint)));
    }
    if request.path != "/authorize" {
        return None;
    }
    let asked = Url::parse(&format!("{endpoint}/authorize?{}", request.query)).ok()?;
    let route = Arc::clone(&route.lock().unwrap_or_else(PoisonError::into_inner));
    let headers = vec![("location".to_owned(), route(&asked).into())];
    Some(Answer { status: 302, headers, body: String::new() })
}

/// What Eve's provider says about itself.
fn metadata(endpoint: &str) -> Value {
    json!({
        "issuer": endpoint, "authorization_endpoint": format!("{endpoint}/authorize"),
        "token_endpoint": format!("{endpoint}/token"), "authorization_response_iss_parameter_supported": true,
    })
}

/// The honest provider's authorization endpoint, asked in the honest client's name with what Eve's provider was sent.
fn to_honest_provider(asked: &Url, redirect_uri: &str) -> Url {
    let mut url = asked.clone();
    let Ok(honest) = Url::parse(&World::shared().oidc.endpoint("auth")) else { return url };
    let others: Vec<_> = asked
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| name != "redirect_uri" && name != "client_id")
        .collect();
    url.clone_from(&honest);
    url.query_pairs_mut()
        .extend_pairs(others)
        .append_pair("client_id", WEB_CLIENT_ID)
        .append_pair("redirect_uri", redirect_uri);
    url
}

/// Ada at the honest provider, which may know her by now and ask for nothing; where it sends her back to.
async fn through_provider(walker: &mut Walker, mut address: Url) -> Result<Url> {
    let ours = &World::shared().public_url;
    loop {
        let page = walker.once(Method::GET, &address, None).await?;
        match page.leads_to()? {
            None => return sign_in(walker, page, ours).await,
            Some(next) if next.as_str().starts_with(ours) => return Ok(next),
            Some(next) => address = next,
        }
    }
}

/// Insists that an answer was taken for none.
async fn counts_for_nothing(what: &str, asked: &Asked, page: &Page) -> Result<()> {
    ensure!(page.status == 404, "{what}: {}", page.status);
    ensure!(page.leads_to()?.is_none() && !page.body.contains("receipt="), "{what}: {}", page.body);
    asked.until(Phase::Started).await?;
    Ok(())
}

#[tokio::test]
async fn a_code_of_an_honest_provider_reaches_no_hostile_one() -> Result<()> {
    let plot = Plot::new("attack-coat").await?;
    let callback = plot.honest_callback();
    plot.reroute(move |asked| to_honest_provider(asked, &callback));
    for case in cases(&[Redirect::PerConnector, Redirect::PerConnection]) {
        plot.offer(case).await?;
        let mut walker = Walker::new();
        // Ada has begun with the honest connector too, in this very browser.
        let honest = ask(&plot.ada, &plot.scene.ground, CRM).await?;
        follow(&mut walker, &honest.link().await?).await?;

        let (asked, to_provider) = plot.lures(&mut walker).await?;
        let callback = through_provider(&mut walker, to_provider).await?;
        ensure!(callback.as_str().starts_with(&plot.honest_callback()), "{case:?}: {}", callback.path());
        ensure!(!query(&callback, "code").is_empty(), "{case:?}: the honest provider gave a code");
        let page = walker.once(Method::GET, &callback, None).await?;
        counts_for_nothing(&format!("{case:?}"), &asked, &page).await?;
        counts_for_nothing(&format!("{case:?}"), &honest, &page).await?;
        forget(&asked).await?;
        forget(&honest).await?;
    }
    plot.scene.nothing_came_of_it(&[&plot.hostile]).await
}

#[tokio::test]
async fn an_honest_provider_sends_no_code_to_where_a_hostile_connector_waits() -> Result<()> {
    let plot = Plot::new("attack-address").await?;
    for case in cases(&[Redirect::PerConnector, Redirect::PerConnection]) {
        plot.offer(case).await?;
        plot.reroute(|asked| to_honest_provider(asked, &query(asked, "redirect_uri")));
        let mut walker = Walker::new();
        let (asked, to_provider) = plot.lures(&mut walker).await?;
        let page = walker.once(Method::GET, &to_provider, None).await?;
        ensure!(page.status == 400 && page.leads_to()?.is_none(), "{case:?}: {}", page.status);
        ensure!(page.body.contains("redirect_uri"), "{case:?}: {}", page.text());
        asked.until(Phase::Started).await?;
        forget(&asked).await?;
    }
    plot.scene.nothing_came_of_it(&[&plot.hostile]).await
}

#[tokio::test]
async fn a_code_of_a_hostile_provider_reaches_no_honest_one() -> Result<()> {
    let plot = Plot::new("attack-reverse").await?;
    let honest_issuer = World::shared().oidc.issuer();
    for case in cases(&[Redirect::PerConnector, Redirect::PerConnection]) {
        plot.offer(case).await?;
        for with_issuer in [true, false] {
            let (callback, issuer) = (plot.honest_callback(), honest_issuer.clone());
            plot.reroute(move |asked| {
                let mut url = Url::parse(&callback).unwrap_or_else(|_| asked.clone());
                url.query_pairs_mut()
                    .append_pair("code", "eves")
                    .append_pair("state", &query(asked, "state"));
                if with_issuer {
                    url.query_pairs_mut().append_pair("iss", &issuer);
                }
                url
            });
            let mut walker = Walker::new();
            let honest = ask(&plot.ada, &plot.scene.ground, CRM).await?;
            follow(&mut walker, &honest.link().await?).await?;
            let (asked, callback) = plot.lures(&mut walker).await?;
            let page = walker.once(Method::GET, &callback, None).await?;
            let what = format!("{case:?} {with_issuer}");
            counts_for_nothing(&what, &asked, &page).await?;
            counts_for_nothing(&what, &honest, &page).await?;
            forget(&asked).await?;
            forget(&honest).await?;
        }
    }
    plot.scene.nothing_came_of_it(&[&plot.hostile]).await
}

#[tokio::test]
async fn with_one_address_for_all_the_issuer_tells_whose_code_it_is() -> Result<()> {
    let plot = Plot::new("attack-shared").await?;
    let shared = format!("{}/callback", World::shared().public_url);
    plot.reroute(move |asked| to_honest_provider(asked, &shared));
    for pkce in PKCE {
        plot.offer(Case { redirect: Redirect::Shared, issuer: Issuer::Own, pkce }).await?;
        // A provider that does not say who it is would help Eve; where one address is for all, nobody believes it.
        for with_issuer in [true, false] {
            let mut walker = Walker::new();
            let (asked, to_provider) = plot.lures(&mut walker).await?;
            let callback = through_provider(&mut walker, to_provider).await?;
            ensure!(callback.path() == "/callback" && !query(&callback, "code").is_empty());
            ensure!(query(&callback, "iss") == World::shared().oidc.issuer());
            let callback = if with_issuer { callback } else { with_query(&callback, "iss", None) };
            let page = walker.once(Method::GET, &callback, None).await?;
            ensure!(page.status == 409 && page.leads_to()?.is_none(), "{pkce}: {}", page.status);
            ensure!(asked.failure().await? == "ResponseMismatch", "{pkce} {with_issuer}");
        }
    }
    plot.scene.nothing_came_of_it(&[&plot.hostile]).await
}

#[tokio::test]
async fn with_one_address_for_all_a_connector_names_no_endpoints_and_no_issuer_but_its_own() -> Result<()> {
    let plot = Plot::new("attack-shared-lint").await?;
    for case in cases(&[Redirect::Shared]) {
        let mut spec = plot.hostile_connector(case);
        let oauth2 = &mut spec["authMethods"][0]["oauth2"];
        oauth2["authorizeURL"] = plot.hostile.endpoint("/authorize").into();
        oauth2["tokenURL"] = plot.hostile.endpoint("/token").into();
        plot.offer_as(spec, "ConnectorInvalid").await?;
        let connectors = plot.scene.ground.connectors();
        let status = eventually("the connector is looked at", SOON, async || {
            let connector = connectors.get(&plot.connector).await?;
            let status = connector.status.unwrap_or_default();
            let current = status.observed_generation == connector.metadata.generation;
            Ok(current.then(|| serde_json::to_string(&status)).transpose()?)
        })
        .await?;
        for field in ["tokenURL", "authorizeURL"] {
            ensure!(status.contains(&format!("{field}: must not be set")), "{case:?}: {status}");
        }
        if matches!(case.issuer, Issuer::Unnamed) {
            ensure!(
                status.contains("issuer: is required") && status.contains("iss: must be Required"),
                "{status}"
            );
        }
        let asked = ask(&plot.ada, &plot.scene.ground, TOOL).await?;
        ensure!(asked.failure().await? == "ConnectorInvalid", "{case:?}");
    }
    // Eve's metadata cannot speak for another issuer, and so her endpoints never stand in for the honest ones.
    let mut spec =
        plot.hostile_connector(Case { redirect: Redirect::Shared, issuer: Issuer::Own, pkce: "Required" });
    spec["authMethods"][0]["oauth2"]["issuer"] = plot.hostile.endpoint("/honest").into();
    plot.offer_as(spec, "ConnectorInvalid").await?;
    plot.scene.nothing_came_of_it(&[&plot.hostile]).await
}
