//! The whole way in a real browser: from the link that `kubectl liaison connect` prints to the last page on this machine.

use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use kube::Api;
use liaison::api::ConsentRequest;
use liaison::api::consent_request::Phase;
use liaison::domain::conditions::ConditionType;
use reqwest::Url;
use serde_json::Value;

use crate::fixtures::Ground;
use crate::person::{oidc_app, oidc_connector_for_people, with_own_app, zitadel_app, zitadel_connector};
use crate::support::browser::{Browser, Manner, Shown, SignIn, Visit};
use crate::support::identity_provider::{PASSWORD, USERNAME};
use crate::support::strict_provider::{Answer, Received};
use crate::support::waiting::blocking;
use crate::terminal::{Terminal, kubeconfig_of};
use crate::welcome::{self, parameters};
use crate::world::World;

const FRENCH: Manner = Manner { language: "fr", dark: false, javascript: true, width: 1280, height: 900 };

/// A telephone at night.
const TELEPHONE: Manner = Manner { language: "en", dark: true, javascript: true, width: 390, height: 844 };

/// One Chromium for all; each visit has a profile of its own.
#[expect(clippy::unwrap_used, reason = "clippy does not see that a helper belongs to tests")]
fn browser() -> &'static Browser {
    static BROWSER: OnceLock<Browser> = OnceLock::new();
    let directory = World::shared().control_plane.directory();
    BROWSER.get_or_init(|| blocking(async || Browser::start(directory).await).unwrap())
}

/// A Connection `crm` for a person, with this app, in a folder of that name.
async fn at(name: &str, connector: Value, app: &[(&str, &str)]) -> Result<Ground> {
    let world = World::shared();
    let ground = Ground::new(world.control_plane.client().await?, name).await?;
    let redirects = world.connector_for_people()?;
    ground.connector(&redirects, connector).await?;
    ground.secret("app", app).await?;
    let mut spec = with_own_app(&redirects);
    spec["displayName"] = "Customers".into();
    ground.connection("crm", spec).await?;
    ground.until("crm", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    Ok(ground)
}

/// The command, and the browser at the page that its link opens.
struct Way {
    ground: Ground,
    terminal: Terminal,
    link: String,
    visit: Visit,
    /// Where the command listens.
    loopback: String,
}

impl Way {
    async fn begin(ground: Ground, manner: Manner) -> Result<Self> {
        let kubeconfig = kubeconfig_of(World::shared().control_plane, None, Some(&ground.namespace))?;
        let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm"])?;
        let link = terminal.link().await?;
        let visit = browser().visit(manner).await?;
        visit.open(&link).await?;
        let mut this = Self { ground, terminal, link, visit, loopback: String::new() };
        let port = this.request().await?.spec.loopback_port.context("port")?;
        this.loopback = format!("http://127.0.0.1:{port}/");
        Ok(this)
    }

    /// The request that the link belongs to.
    async fn request(&self) -> Result<ConsentRequest> {
        let requests: Api<ConsentRequest> =
            Api::namespaced(self.ground.client.clone(), &self.ground.namespace);
        let name = Url::parse(&self.link)?.path().rsplit('/').next().map(str::to_owned);
        Ok(requests.get(&name.context("name")?).await?)
    }

    async fn phase(&self) -> Result<Option<Phase>> {
        Ok(self.request().await?.status.and_then(|status| status.phase))
    }

    /// Looks at a page of ours as everybody can: nothing bars the way, and it fits.
    async fn look(&self, picture: &str) -> Result<Shown> {
        let shown = self.visit.shown().await?;
        let barriers = self.visit.audit().await?;
        assert!(barriers.is_empty() && shown.fits, "{picture}: {barriers:#?}");
        self.visit.screenshot(&format!("way-{picture}")).await?;
        Ok(shown)
    }

    /// Goes on by the keyboard alone.
    async fn press(&self, button: &str) -> Result<()> {
        self.visit.tab_to(button).await?;
        assert!(self.visit.focus_is_seen().await?, "{button}");
        self.visit.press("Enter").await
    }

    /// No address that the browser asked for holds more than it has to, and nothing of it was logged.
    async fn is_discreet(&self) -> Result<()> {
        let record = self.visit.record().await?;
        // Providers have no icon, and answers that refuse something say so in their status.
        let other: Vec<_> =
            record.complaints.iter().filter(|text| !text.starts_with("Failed to load")).collect();
        assert_eq!(other, [""; 0]);
        let log = World::shared().operator_log()?;
        let public_url = &World::shared().public_url;
        for (at, request) in record.requests.iter().enumerate() {
            let (method, address) = request.split_once(' ').context("method and address")?;
            let url = Url::parse(address)?;
            for (name, value) in parameters(url.query().unwrap_or_default()) {
                let right = match name.as_str() {
                    "start" => at == 0 && address == self.link,
                    "receipt" => address.starts_with(&self.loopback),
                    "code" => address.starts_with(&format!("{public_url}/callback/")),
                    // The provider's own business, and what it repeats.
                    _ => !address.starts_with(&self.loopback),
                };
                assert!(right && method == "GET", "{request}");
                let secret = matches!(name.as_str(), "start" | "receipt" | "code" | "state");
                assert!(!secret || !log.contains(&value), "{name} was logged");
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn s47_a_person_walks_the_whole_way_in_chromium_by_keyboard_at_zitadel() -> Result<()> {
    let ground = at("way-zitadel", zitadel_connector(World::shared()), &zitadel_app()).await?;
    let way = Way::begin(ground, Manner::default()).await?;
    let start = way.look("zitadel-1-start").await?;
    assert!(start.title.starts_with("Connect Customers to Zitadel"), "{}", start.title);
    for part in ["administrator", "way-zitadel/crm", "offline_access", &World::shared().zitadel.authority()] {
        assert!(start.text.contains(part), "{part}: {}", start.text);
    }
    way.press("Continue to Zitadel").await?;
    way.visit.sign_in(SignIn::Zitadel, USERNAME, PASSWORD).await?;
    way.visit.arrive(&way.loopback).await?;
    let last = way.look("zitadel-2-connected").await?;
    for part in ["Connected", "Customers", "way-zitadel/crm", "test-user@example.com"] {
        assert!(last.text.contains(part), "{part}: {}", last.text);
    }
    way.is_discreet().await?;
    let ended = way.terminal.end().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    way.ground.until_ready("crm").await?;
    Ok(())
}

#[tokio::test]
async fn s47_a_person_says_no_and_then_yes_in_chromium_in_french_at_the_certified_provider() -> Result<()> {
    let ground = at("way-oidc", oidc_connector_for_people(World::shared()), &oidc_app()).await?;
    let way = Way::begin(ground, FRENCH).await?;
    let start = way.look("oidc-1-start-french").await?;
    assert!(start.title.starts_with("Connecter Customers à Certified"), "{}", start.title);
    way.press("Continuer vers Certified").await?;
    way.visit.sign_in(SignIn::OidcProviderDeclined, "camille", "any").await?;
    way.visit.arrive(&format!("{}/callback/", World::shared().public_url)).await?;
    let declined = way.look("oidc-2-declined-french").await?;
    assert!(
        declined.text.contains("L’autorisation n’a pas été donnée")
            && declined.text.contains("access_denied"),
        "{declined:?}"
    );
    // To load it again shows no more, and spends nothing.
    let again = way.visit.reload().await?;
    assert!(!again.text.contains("Connexion établie"), "{again:?}");
    way.look("oidc-3-declined-again-french").await?;
    assert_eq!(way.phase().await?, Some(Phase::Failed));
    let Way { ground, terminal, .. } = way;
    let ended = terminal.end().await?;
    assert!(ended.code == Some(2) && ended.output.contains("ConsentDenied"), "{ended:?}");

    let way = Way::begin(ground, FRENCH).await?;
    way.press("Continuer vers Certified").await?;
    way.visit.sign_in(SignIn::OidcProvider, "camille", "any").await?;
    way.visit.arrive(&way.loopback).await?;
    let last = way.look("oidc-4-connected-french").await?;
    for part in ["Connexion établie", "Customers", "camille", "Vous pouvez fermer cette fenêtre."] {
        assert!(last.text.contains(part), "{part}: {}", last.text);
    }
    way.is_discreet().await?;
    let ended = way.terminal.end().await?;
    assert!(ended.code == Some(0) && ended.output.ends_with("Connected \"crm\" as camille."), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn s47_a_wrong_client_secret_is_told_on_the_last_page_also_on_a_telephone() -> Result<()> {
    let wrong = [oidc_app()[0], ("clientSecret", "wrong")];
    let ground = at("way-wrong", oidc_connector_for_people(World::shared()), &wrong).await?;
    let way = Way::begin(ground, TELEPHONE).await?;
    way.look("wrong-1-start-narrow").await?;
    way.press("Continue to Certified").await?;
    way.visit.sign_in(SignIn::OidcProvider, "camille", "any").await?;
    way.visit.arrive(&way.loopback).await?;
    let last = way.look("wrong-2-failed-narrow").await?;
    for part in ["Not connected", "clientSecret", "kubectl liaison connect crm -n way-wrong"] {
        assert!(last.text.contains(part), "{part}: {}", last.text);
    }
    way.is_discreet().await?;
    let ended = way.terminal.end().await?;
    assert!(ended.code == Some(2) && ended.output.contains("ClientRejected"), "{ended:?}");
    Ok(())
}

/// A provider's page that asks, and leads back with a code where the person agrees.
fn question(query: &str) -> Answer {
    let asked = parameters(query);
    let asked = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let back = format!(
        "{}?code=a-code-of-this-way&amp;state={}",
        asked("redirect_uri").unwrap_or_default(),
        asked("state").unwrap_or_default()
    );
    let body = format!("<!DOCTYPE html><title>Question</title><p>May it?</p><a href='{back}'>Allow</a>");
    Answer { status: 200, headers: vec![("content-type".to_owned(), "text/html".to_owned())], body }
}

#[tokio::test]
async fn n06_back_and_reload_change_nothing_on_the_way_and_no_page_tells_the_provider_where_it_was()
-> Result<()> {
    let provider = World::shared().provider()?;
    provider.script(|request| match request.path.as_str() {
        "/authorize" => Some(question(&request.query)),
        "/token" => Some(welcome::Welcome::default().token),
        "/me" => Some(Answer::json(200, &serde_json::json!({ "id": "1", "name": "ada" }))),
        _ => None,
    });
    let ground =
        at("way-back", welcome::connector(&provider), &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let way = Way::begin(ground, Manner::default()).await?;
    let reloaded = way.visit.reload().await?;
    assert!(reloaded.title.starts_with("Connect Customers"), "{reloaded:?}");
    assert_eq!(way.phase().await?, Some(Phase::Issued), "to look at a link does not use it");

    way.press("Continue to Scripted provider").await?;
    way.visit.arrive(&provider.endpoint("/authorize")).await?;
    let back = way.visit.back().await?;
    assert!(back.text.contains("This link has been used"), "{back:?}");
    way.look("back-1-used").await?;
    way.visit.reload().await?;
    assert_eq!(way.phase().await?, Some(Phase::Started));
    way.visit.forward().await?;

    way.visit.click("Allow").await?;
    way.visit.arrive(&way.loopback).await?;
    let last = way.look("back-2-connected").await?;
    assert!(last.text.contains("ada"), "{last:?}");
    // The answer that was used is good for nothing any more.
    let requests = way.visit.record().await?.requests;
    let callback = requests
        .iter()
        .find_map(|request| request.strip_prefix("GET ").filter(|url| url.contains("/callback/")));
    let replayed = way.visit.open(callback.context("the way back")?).await?;
    assert!(replayed.text.contains("This link is not valid"), "{replayed:?}");
    way.look("back-3-replayed").await?;
    assert_eq!(provider.count("/token"), 1);

    let came_from = |request: &Received| request.headers.get("referer").cloned().unwrap_or_default();
    let told: Vec<_> = provider.received().iter().map(came_from).collect();
    // Its own pages, as when the browser looks for an icon, are no news to it.
    assert!(told.iter().all(|from| from.is_empty() || from.starts_with(&provider.endpoint("/"))), "{told:?}");
    assert_eq!(way.terminal.end().await?.code, Some(0));
    way.ground.until_ready("crm").await?;
    Ok(())
}
