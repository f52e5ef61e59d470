//! A stage with admission, and a person who consents there. Whatever does not answer, the person tries once more.

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use liaison::api::consent_request::Phase;
use liaison::api::{Connection, ConsentRequest};
use liaison::domain::conditions::{self, ConditionType};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{AUTHORIZE, Stage};
use crate::fixtures::Ground;
use crate::person::{Asked, ask, with_own_app};
use crate::support::walker::{Page, Walker};

/// The boundary at which the API server asks the operator about a request.
const ASKING: &str = "the person asks";

/// How far a person came.
pub(super) enum Attempt {
    /// To the end of the request, whichever it is.
    Ended(Box<ConsentRequest>),
    /// To a page that says what to do instead.
    Told(String),
}

/// A folder with a connector for people and their own app.
pub(super) struct PeopleScene {
    pub(super) stage: Stage,
    pub(super) ground: Ground,
}

/// A connector for people at this provider.
pub(super) fn connector_for_people(endpoint: &dyn Fn(&str) -> String) -> Value {
    json!({
        "displayName": "Scripted provider",
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": {
                "authorizeURL": endpoint(AUTHORIZE), "tokenURL": endpoint("/token"), "revokeURL": endpoint("/revoke"),
                "scopes": { "default": ["read"] },
            },
        }],
        "account": { "url": endpoint("/me"), "idPath": "/id", "namePath": "/name" },
        "verify": { "url": endpoint("/me"), "success": "response.status == 200 && has(response.body.id)" },
    })
}

impl PeopleScene {
    pub(super) async fn new(name: &str) -> Result<Self> {
        let stage = Stage::new(name).await?;
        let ground = stage.ground(name).await?;
        ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
        Ok(Self { stage, ground })
    }

    pub(super) async fn connector(&self, name: &str) -> Result<()> {
        let endpoint = |path: &str| self.stage.provider.endpoint(path);
        self.ground.connector(name, connector_for_people(&endpoint)).await
    }

    /// A Connection that waits for a person.
    pub(super) async fn waiting(&self, name: &str, connector: &str) -> Result<Connection> {
        self.ground.connection(name, with_own_app(connector)).await?;
        self.awaits_person(name).await
    }

    pub(super) async fn awaits_person(&self, name: &str) -> Result<Connection> {
        self.until(name, |connection| {
            reason(connection, ConditionType::Authenticated) == "AwaitingAuthentication"
        })
        .await
    }

    /// Waits until the Connection is so, and starts the operator again whenever it was killed.
    pub(super) async fn until(&self, name: &str, so: impl Fn(&Connection) -> bool) -> Result<Connection> {
        let connections = self.ground.connections();
        self.stage
            .recovers(&format!("{name} becomes what it should be"), async || {
                let connection = connections.get(name).await?;
                ensure!(so(&connection), "{}", json!(connection.status));
                Ok(Some(connection))
            })
            .await
    }

    async fn persists<T>(&self, what: &str, mut step: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        self.stage.recovers(what, async || step().await.map(Some)).await
    }

    async fn page(
        &self,
        walker: &mut Walker,
        method: Method,
        url: &Url,
        form: Option<&[(String, String)]>,
    ) -> Result<Page> {
        self.persists("a page answers", async || {
            let page = walker.once(method.clone(), url, form).await?;
            ensure!(page.status < 500, "{}: {}", page.status, page.text());
            Ok(page)
        })
        .await
    }

    /// Asks for a consent.
    async fn asks(&self, connection: &str) -> Result<Asked> {
        let passage = self.stage.boundaries.arrives(ASKING);
        let client: &Client = &self.ground.client;
        let asked = self
            .persists("a consent is asked for", async || ask(client, &self.ground, connection).await)
            .await?;
        if let Some(passage) = passage.filter(|passage| !passage.cut) {
            self.stage.boundaries.leaves(&passage);
        }
        Ok(asked)
    }

    /// The link with the start secret in it.
    pub(super) async fn link(&self, asked: &Asked) -> Result<String> {
        let url = self.stage.recovers("there is a link", async || {
            Ok(asked.now().await?.status.and_then(|status| status.url))
        });
        Ok(format!("{}?start={}", url.await?, asked.start))
    }

    /// One consent, from the command to its end or to a page that says that there will be none.
    pub(super) async fn attempt(&self, connection: &str) -> Result<Attempt> {
        let asked = self.asks(connection).await?;
        let link = self.link(&asked).await?;
        let mut walker = Walker::new();
        let start = self.page(&mut walker, Method::GET, &Url::parse(&link)?, None).await?;
        let (url, form) = start.form(&[])?;
        let leaving = self.page(&mut walker, Method::POST, &url, Some(&form)).await?;
        let Some(provider) = leaving.leads_to()? else { return Ok(Attempt::Told(leaving.text())) };
        let callback = walker.once(Method::GET, &provider, None).await?.leads_to()?.context("callback")?;
        let arrived = self.page(&mut walker, Method::GET, &callback, None).await?;
        let Some(receipt) = come_back_with(&arrived)? else { return Ok(Attempt::Told(arrived.text())) };
        self.persists("the receipt is handed in", async || asked.hand_in(&receipt).await).await?;
        Ok(Attempt::Ended(Box::new(self.ended(&asked).await?)))
    }

    /// The request at its end.
    pub(super) async fn ended(&self, asked: &Asked) -> Result<ConsentRequest> {
        self.stage
            .recovers("the request ends", async || {
                let request = asked.now().await?;
                let phase = request.status.as_ref().and_then(|status| status.phase);
                Ok(phase.is_some_and(Phase::is_final).then_some(request))
            })
            .await
    }
}

/// The receipt, if the page leads home with one.
fn come_back_with(page: &Page) -> Result<Option<String>> {
    let Some(target) = page.leads_to()? else { return Ok(None) };
    let receipt =
        target.query_pairs().find(|(name, _)| name == "receipt").map(|(_, value)| value.into_owned());
    Ok(Some(receipt.context("receipt")?))
}

/// A condition's reason.
pub(super) fn reason(connection: &Connection, condition_type: ConditionType) -> String {
    let conditions = connection.status.clone().unwrap_or_default().conditions;
    conditions::find(&conditions, condition_type).map(|found| found.reason.clone()).unwrap_or_default()
}
