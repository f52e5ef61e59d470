//! S48 for people: what a consent is made of, and what a provider or a browser puts into it, is found nowhere else.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use liaison::api::{Connection, ConsentRequest};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;

use super::canary::Canaries;
use super::consent_refusals::no_receipt;
use super::consenting::PeopleScene;
use super::findings::Findings;
use super::leaky_people::{CLIENT_ID, LeakyPeople};
use super::plugin_run::PluginRun;
use super::report;
use crate::person::{Asked, ask, with_own_app};
use crate::support::walker::{Page, Walker};

/// Answers to the code, and whether an ID token is asked for with it.
const ANSWERS: [(&str, bool); 17] = [
    ("connected", true),
    ("renewed", false),
    ("nonce", true),
    ("issued", true),
    ("grant", false),
    ("client", false),
    ("page", false),
    ("down", false),
    ("truncated", false),
    ("object", false),
    ("redirect", false),
    ("busy", false),
    ("expiry", false),
    ("code", false),
    ("control", false),
    ("forbidden", false),
    ("huge", false),
];

/// What a browser says of itself with every request.
const OF_BROWSER: [&str; 6] =
    ["user-agent", "referer", "accept-language", "x-forwarded-for", "authorization", "x-request-id"];

pub(super) struct Scene {
    pub(super) people: PeopleScene,
    /// Found nowhere at all.
    pub(super) hidden: Canaries,
    /// Client secrets, which stand in Secrets that people wrote.
    app: Canaries,
    /// Receipts, which stand in their requests and are of no more use there.
    receipts: Canaries,
    /// Pages that browsers were shown, by what each may repeat.
    pages: Vec<(String, String)>,
}

/// A consent under way.
struct Visit {
    case: String,
    asked: Asked,
    walker: Walker,
}

impl Scene {
    async fn new() -> Result<Self> {
        let people = PeopleScene::new("consent-canaries").await?;
        let hidden = Canaries::default();
        let provider = LeakyPeople::new(hidden.clone());
        people.stage.script(move |request| provider.answer(request));
        let (app, receipts) = (Canaries::default(), Canaries::default());
        Ok(Self { people, hidden, app, receipts, pages: Vec::new() })
    }

    /// A Connection whose provider answers like this.
    pub(super) async fn connection(&self, case: &str, openid: bool) -> Result<()> {
        let (ground, at) = (&self.people.ground, |path: &str| {
            self.people.stage.provider.endpoint(&format!("{path}/{case}"))
        });
        let scopes = if openid { json!(["openid", "read"]) } else { json!(["read"]) };
        let connector = json!({
            "displayName": "Leaky provider",
            "authMethods": [{ "type": "OAuth2AuthorizationCode", "oauth2": {
                "issuer": "https://issuer.example", "iss": "IfPresent", "authorizeURL": at("/authorize"),
                "tokenURL": at("/token"), "revokeURL": at("/revoke"), "scopes": { "default": scopes },
            } }],
            "account": { "idTokenClaim": "sub" },
            "verify": { "url": at("/me"), "success": "response.status == 200" },
        });
        ground.connector(case, connector).await?;
        let secret = self.app.fresh(&format!("client secret of {case}"));
        let app = format!("app-{case}");
        ground.secret(&app, &[("clientId", CLIENT_ID), ("clientSecret", &secret)]).await?;
        let mut spec = with_own_app(case);
        spec["oauthApp"]["secretRef"]["name"] = app.into();
        ground.connection(case, spec).await?;
        self.people.awaits_person(case).await.map(drop)
    }

    async fn visit(&self, case: &str) -> Result<Visit> {
        let asked = ask(&self.people.ground.client, &self.people.ground, case).await?;
        self.hidden.learn(&format!("start secret of {case}"), &asked.start);
        let mut walker = Walker::new();
        walker.headers = self.browser(case)?;
        Ok(Visit { case: case.to_owned(), asked, walker })
    }

    pub(super) fn browser(&self, case: &str) -> Result<HeaderMap> {
        let header = |name: &str| -> Result<(HeaderName, HeaderValue)> {
            let value = self.hidden.fresh(&format!("{name} of {case}"));
            Ok((name.parse()?, value.parse()?))
        };
        OF_BROWSER.into_iter().map(header).collect()
    }

    /// One page, kept with what it may repeat by its purpose.
    async fn page(
        &mut self,
        visit: &mut Visit,
        url: &Url,
        form: Option<&[(String, String)]>,
        may_repeat: &str,
    ) -> Result<Page> {
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let page = visit.walker.once(method, url, form).await?;
        let mut headers = page.headers.clone();
        // The sealed session belongs there.
        headers.remove("set-cookie");
        self.pages.push((may_repeat.to_owned(), format!("{headers:?} {}", page.body)));
        Ok(page)
    }

    /// From the link to the provider's own address.
    async fn leave(&mut self, visit: &mut Visit) -> Result<Url> {
        let link = Url::parse(&self.people.link(&visit.asked).await?)?;
        let start = self.page(visit, &link, None, "start secret").await?;
        let (url, form) = start.form(&[])?;
        let moving = self.page(visit, &url, Some(&form), "state, nonce").await?;
        for (name, value) in visit.walker.cookies.values().flatten() {
            self.hidden.learn(&format!("cookie {name} of {}", visit.case), value);
        }
        moving.leads_to()?.context("the provider's address")
    }

    /// From the provider back to us.
    async fn return_from(&mut self, visit: &mut Visit, provider: &Url, may_repeat: &str) -> Result<Page> {
        let callback = visit.walker.once(Method::GET, provider, None).await?;
        let callback = callback.leads_to()?.context("callback")?;
        self.page(visit, &callback, None, may_repeat).await
    }

    /// The whole way; gives the outcome in one word.
    async fn outcome(&mut self, case: &str) -> Result<String> {
        let mut visit = self.visit(case).await?;
        let provider = self.leave(&mut visit).await?;
        let arrived = self.return_from(&mut visit, &provider, "receipt").await?;
        let receipt = receipt_on(&arrived)?;
        self.receipts.learn(&format!("receipt of {case}"), &receipt);
        visit.asked.hand_in(&receipt).await?;
        self.people.ended(&visit.asked).await.map(|request| word(&request))
    }

    /// Browsers that do not do what they should. Each leaves the request as it was.
    async fn strays(&mut self, visit: &mut Visit) -> Result<()> {
        let link = Url::parse(&self.people.link(&visit.asked).await?)?;
        let mut wrong = link.clone();
        wrong.set_query(Some(&format!("start={}", self.hidden.fresh("wrong start secret"))));
        self.refused(visit, &wrong, None).await?;
        let form = [("start".to_owned(), self.hidden.fresh("wrong start secret in a form"))];
        wrong.set_query(None);
        self.refused(visit, &wrong, Some(&form)).await?;
        let provider = self.leave(visit).await?;
        self.refused(visit, &link, None).await?;

        let callback =
            visit.walker.once(Method::GET, &provider, None).await?.leads_to()?.context("callback")?;
        let fresh = |what: &str| -> String {
            url::form_urlencoded::byte_serialize(self.hidden.fresh(what).as_bytes()).collect()
        };
        let garbage = [
            format!("code={}&state={}", fresh("stray code"), fresh("stray state")),
            format!("code={}&code={}", fresh("first code"), fresh("second code")),
            format!("error={}&error_description={}", fresh("stray error"), fresh("stray description")),
            fresh("garbage"),
        ];
        for query in garbage {
            let mut url = callback.clone();
            url.set_query(Some(&query));
            self.refused(visit, &url, None).await?;
        }
        let cookies = std::mem::take(&mut visit.walker.cookies);
        self.refused(visit, &callback, None).await?;
        visit.walker.cookies = cookies;
        Ok(())
    }

    async fn refused(
        &mut self,
        visit: &mut Visit,
        url: &Url,
        form: Option<&[(String, String)]>,
    ) -> Result<()> {
        let page = self.page(visit, url, form, "nothing").await?;
        ensure!(page.status >= 400, "{}: {}", page.status, page.text());
        Ok(())
    }
}

fn receipt_on(page: &Page) -> Result<String> {
    let target = page.leads_to()?.with_context(|| format!("no way on: {}", page.text()))?;
    let receipt = target.query_pairs().find(|(name, _)| name == "receipt");
    Ok(receipt.context("receipt")?.1.into_owned())
}

/// How a request ended.
fn word(request: &ConsentRequest) -> String {
    request.status.clone().unwrap_or_default().reason.unwrap_or_default()
}

impl Scene {
    /// Consents that go as they should on the person's side, by how each ended.
    async fn consents(&mut self) -> Result<BTreeMap<String, Vec<&'static str>>> {
        let mut reasons = BTreeMap::<String, Vec<&str>>::new();
        for (case, openid) in ANSWERS {
            self.connection(case, openid).await?;
            reasons.entry(self.outcome(case).await?).or_default().push(case);
        }
        for case in ["denied", "issuer"] {
            self.connection(case, false).await?;
            let mut visit = self.visit(case).await?;
            let provider = self.leave(&mut visit).await?;
            self.return_from(&mut visit, &provider, "error, error_description").await?;
            reasons.entry(word(&self.people.ended(&visit.asked).await?)).or_default().push(case);
        }
        let rotated = |connection: &Connection| {
            let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
            token.is_some_and(|token| token.sequence >= 2)
        };
        self.people.until("renewed", rotated).await?;
        Ok(reasons)
    }

    /// A consent that meets everything that is refused, and ends with a receipt that is none; gives what was said.
    async fn misused(&mut self) -> Result<Vec<String>> {
        let mut visit = self.visit("connected").await?;
        let mut said = vec![self.too_early(&visit.asked).await?];
        self.strays(&mut visit).await?;
        let provider = visit.walker.visited.iter().find(|url| url.path().starts_with("/authorize"));
        let provider = provider.context("the provider's address")?.clone();
        let arrived = self.return_from(&mut visit, &provider, "receipt").await?;
        // The right one is handed in by nobody.
        self.hidden.learn("receipt of misused", &receipt_on(&arrived)?);
        said.extend(self.refusals(&visit.asked).await?);
        let wrong = no_receipt("wrong receipt", &self.receipts);
        visit.asked.hand_in(&wrong).await?;
        ensure!(word(&self.people.ended(&visit.asked).await?) == "ReceiptMismatch");

        let mut late = self.visit("connected").await?;
        let link = Url::parse(&self.people.link(&late.asked).await?)?;
        let expired = Patch::Merge(json!({ "status": { "phase": "Expired" } }));
        late.asked.requests.patch_status(&late.asked.name, &PatchParams::default(), &expired).await?;
        self.refused(&mut late, &link, None).await?;
        Ok(said)
    }

    /// The same by the command; gives what it printed and the last page.
    async fn by_command(&mut self, case: &str) -> Result<Vec<String>> {
        let namespace = &self.people.ground.namespace;
        let run = PluginRun::connect(&self.people.stage.control_plane, namespace, case).await?;
        let mut walker = Walker::new();
        walker.headers = self.browser(case)?;
        let link = Url::parse(&run.link)?;
        let (_, start) = link.query_pairs().find(|(name, _)| name == "start").context("start secret")?;
        self.hidden.learn("start secret of a command", &start);
        let start = walker.once(Method::GET, &link, None).await?;
        let (url, form) = start.form(&[])?;
        let moving = walker.once(Method::POST, &url, Some(&form)).await?;
        let provider = moving.leads_to()?.context("the provider's address")?;
        let callback = walker.once(Method::GET, &provider, None).await?.leads_to()?.context("callback")?;
        let arrived = walker.once(Method::GET, &callback, None).await?;
        self.receipts.learn("receipt of a command", &receipt_on(&arrived)?);
        let home = arrived.leads_to()?.context("the command's own address")?;
        let last = walker.once(Method::GET, &home, None).await?;
        let printed = run.end().await?;
        ensure!(printed.matches(link.as_str()).count() == 1, "{printed}");
        Ok(vec![printed.replace(link.as_str(), ""), format!("{:?} {}", last.headers, last.body)])
    }

    /// Searches everywhere but for pages; `said` is what people were told elsewhere.
    async fn search(
        &self,
        canaries: &Canaries,
        said: &[String],
        findings: &mut Vec<String>,
    ) -> Result<usize> {
        let search = canaries.search();
        let mut found = Findings::of(&search);
        let objects = found.look_at_objects(&self.people.ground.client).await?;
        let requests = objects.get("ConsentRequest").copied().unwrap_or_default();
        ensure!(requests > ANSWERS.len(), "{objects:?}");
        found.look_at_files(&self.people.stage, "consentrequests").await?;
        for text in said {
            found.look("what people were told", text.as_bytes());
        }
        findings.extend(found.lines);
        Ok(found.searched)
    }

    /// What pages show although it is none of their business.
    fn on_pages(&self) -> Vec<String> {
        let mut found = Vec::new();
        for canaries in [&self.hidden, &self.app, &self.receipts] {
            let search = canaries.search();
            for (may_repeat, page) in &self.pages {
                let allowed =
                    |hit: &str| may_repeat.split(", ").any(|kind| hit.starts_with(&format!("{kind} of ")));
                let hits = search.hits(page.as_bytes()).into_iter().filter(|hit| !allowed(hit));
                found.extend(hits.map(|hit| format!("a page that may repeat {may_repeat}: {hit}")));
            }
        }
        found
    }
}

#[tokio::test]
async fn s48_nothing_of_a_consent_is_found_outside_its_place() -> Result<()> {
    let mut scene = Scene::new().await?;
    let reasons = scene.consents().await?;
    let mut said = scene.misused().await?;
    for case in ["connected", "grant"] {
        said.extend(scene.by_command(case).await?);
    }
    said.extend(scene.replies().await?);

    let mut found = scene.on_pages();
    let mut searched = scene.search(&scene.hidden, &said, &mut found).await?;
    searched += scene.search(&scene.app, &said, &mut found).await?;
    let mut in_place = Vec::new();
    searched += scene.search(&scene.receipts, &said, &mut in_place).await?;
    let (in_place, elsewhere): (Vec<_>, Vec<_>) =
        in_place.into_iter().partition(|line| line.starts_with("ConsentRequest: "));
    found.extend(elsewhere);
    // That objects and etcd's files can be searched at all is shown by what has its place there.
    assert_eq!(in_place.len(), scene.receipts.count(), "{in_place:#?}");
    let etcd = scene.people.stage.control_plane.etcd_directory().context("etcd's files")?;
    let app = scene.app.search();
    let (in_the_open, _) = app.hits_below(etcd)?;
    assert_eq!(in_the_open.len(), scene.app.count(), "{in_the_open:?}");
    let search = scene.hidden.search();
    let (hits, length) = search.hits_below(etcd)?;
    found.extend(hits.into_iter().map(|hit| format!("etcd: {hit}")));
    report(&format!(
        "S48: {} canaries of consents, {} client secrets, {} receipts; {} hits in {} kB of objects, logs, metrics, audit \
         log, replies and {} pages and {} MB of etcd's files; outcomes {reasons:?}",
        scene.hidden.count(),
        scene.app.count(),
        scene.receipts.count(),
        found.len(),
        searched >> 10,
        scene.pages.len(),
        length >> 20,
    ));
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}
