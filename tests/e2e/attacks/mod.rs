//! Attacks on consents, against the real API server, the real operator and real identity providers. The attacker, Eve,
//! is a user of Ada's folder: she reads every object there, has a site and a provider of her own, and gets Ada to click
//! links.
//!
//! Whatever is tried, each test asks the same at its end: [`Scene::nothing_came_of_it`].

mod callbacks;
mod connectors;
mod edits;
mod links;
mod mix_up;
mod own_control_plane;
mod receipts;

use anyhow::{Result, ensure};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use liaison::api::{Connection, ConnectionSpec, ConsentRequest};
use liaison::domain::conditions::{self, ConditionType};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::fixtures::Ground;
use crate::person::{
    Asked, ask, come_back, leave, oidc_app, oidc_connector_for_people, sign_in, user, with_own_app,
    zitadel_app, zitadel_connector,
};
use crate::support::control_plane::ControlPlane;
use crate::support::installation::apply_rendered;
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::{Page, Walker};
use crate::world::World;

/// The Connection that is attacked.
const CRM: &str = "crm";

/// A folder with a Connection that waits for a person.
struct Scene {
    ground: Ground,
    connector: String,
}

impl Scene {
    /// At the certified provider, which is exact about everything and always says who it is.
    async fn new(name: &str) -> Result<Self> {
        Self::with(name, certified(name)).await
    }

    /// The same with another connector.
    async fn with(name: &str, connector: Value) -> Result<Self> {
        Self::at(name, connector, &oidc_app()).await
    }

    /// At the provider of which nobody ever gets a token.
    async fn at_zitadel(name: &str) -> Result<Self> {
        let world = World::shared();
        let spec = zitadel_connector(world).to_string();
        let spec = spec.replace(&world.zitadel.authority(), &world.untouched.authority());
        Self::at(name, serde_json::from_str(&spec)?, &zitadel_app()).await
    }

    async fn at(name: &str, spec: Value, app: &[(&str, &str)]) -> Result<Self> {
        let world = World::shared();
        admission_is_at_work(world.control_plane).await?;
        let ground = Ground::new(world.control_plane.client().await?, name).await?;
        let scene = Self { ground, connector: world.connector_for_people()? };
        scene.ground.connector(&scene.connector, spec).await?;
        scene.ground.secret("app", app).await?;
        scene.connection(CRM, &scene.connector).await?;
        Ok(scene)
    }

    /// Makes a Connection with the folder's app, and waits until it waits for a person.
    async fn connection(&self, name: &str, connector: &str) -> Result<()> {
        self.ground.connection(name, with_own_app(connector)).await?;
        self.ground.until(name, ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
        Ok(())
    }

    /// A user who may authenticate the folder's Connections.
    async fn person(&self, name: &str) -> Result<Client> {
        person(World::shared().control_plane, &self.ground, name, "liaison-connection-user").await
    }

    /// A request that somebody else made, with what `client` may do about it.
    fn seen_by(&self, client: &Client, asked: &Asked) -> Asked {
        Asked {
            requests: Api::namespaced(client.clone(), &self.ground.namespace),
            name: asked.name.clone(),
            start: asked.start.clone(),
            loopback_port: asked.loopback_port,
        }
    }

    /// Token requests of this folder at the certified provider, by the provider's own log.
    fn token_requests(&self) -> Result<usize> {
        World::shared().oidc.requests_with("POST", "token", &tag(&self.ground.namespace))
    }

    /// No provider was asked for a token, none is stored, and nothing is authenticated.
    async fn nothing_came_of_it(&self, hostile: &[&StrictProvider]) -> Result<()> {
        self.is_quiet().await?;
        let asked = self.token_requests()?;
        ensure!(asked == 0, "the certified provider was asked for a token {asked} times");
        let asked = World::shared().untouched.token_requests()?;
        ensure!(asked == 0, "Zitadel was asked for a token {asked} times");
        for provider in hostile {
            let posted = provider.received().into_iter().filter(|received| received.method == "POST");
            let posted: Vec<_> = posted.map(|received| received.path).collect();
            ensure!(posted.is_empty(), "the hostile provider was asked: {posted:?}");
        }
        nothing_is_stored(&self.ground).await
    }

    /// Waits until a request that somebody makes now is looked at: by then those before it have been.
    async fn is_quiet(&self) -> Result<()> {
        let witness = self.person("witness").await?;
        let asked = ask(&witness, &self.ground, CRM).await?;
        eventually("a later request is looked at", SOON, async || {
            Ok(asked.now().await?.status.and_then(|status| status.phase))
        })
        .await?;
        forget(&asked).await
    }
}

/// No token of the folder's Connections is stored, and none of them is authenticated.
async fn nothing_is_stored(ground: &Ground) -> Result<()> {
    let connections = ground.connections().list(&ListParams::default()).await?.items;
    ensure!(!connections.is_empty(), "there is something to attack");
    for connection in connections {
        let (name, uid) = (connection.name_any(), connection.uid().unwrap_or_default());
        let records = ListParams::default().labels(&format!("liaison.dev/token-of={uid}"));
        let records = ground.secrets().list(&records).await?.items.len();
        ensure!(records == 0, "{name} has {records} token Secrets");
        let status = connection.status.unwrap_or_default();
        let authenticated = conditions::find(&status.conditions, ConditionType::Authenticated);
        ensure!(authenticated.is_some_and(|found| found.status != "True"), "{name}: {authenticated:?}");
    }
    Ok(())
}

/// A connector for people at the certified provider, whose log tells this folder's token requests from others.
fn certified(folder: &str) -> Value {
    let world = World::shared();
    let mut spec = oidc_connector_for_people(world);
    let oauth2 = &mut spec["authMethods"][0]["oauth2"];
    oauth2["tokenURL"] = format!("{}?{}", world.oidc.endpoint("token"), tag(folder)).into();
    spec
}

fn tag(folder: &str) -> String {
    format!("of={folder}")
}

/// A user with a role of the chart in a folder, and nothing else.
async fn person(control_plane: &ControlPlane, ground: &Ground, name: &str, role: &str) -> Result<Client> {
    let name = format!("{name}-of-{}", ground.namespace);
    let client = user(control_plane, ground, &name, role).await?;
    let connections: Api<Connection> = Api::namespaced(client.clone(), &ground.namespace);
    eventually(&format!("the API server knows the rights of {name}"), SOON, async || {
        connections.list(&ListParams::default()).await?;
        Ok(Some(()))
    })
    .await?;
    Ok(client)
}

/// Waits for the chart's policies and applies its roles for users, once for the world of all tests.
pub(crate) async fn admission_is_at_work(control_plane: &ControlPlane) -> Result<()> {
    static AT_WORK: OnceCell<()> = OnceCell::const_new();
    AT_WORK.get_or_try_init(|| prepare(control_plane)).await.copied()
}

/// Waits for the chart's policies and applies its roles for users.
pub(crate) async fn prepare(control_plane: &ControlPlane) -> Result<()> {
    apply_rendered(control_plane, "user-roles", &["--show-only=templates/user-roles.yaml"])?;
    let connections: Api<Connection> = Api::namespaced(control_plane.client().await?, OPERATOR_NAMESPACE);
    let mut probe = Connection::new("probe", ConnectionSpec::default());
    "none".clone_into(&mut probe.spec.connector_ref.name);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policies are at work", SOON, async || {
        let answer = connections.create(&dry_run, &probe).await;
        Ok(answer.is_err_and(|error| error.to_string().contains("the operator's own")).then_some(()))
    })
    .await
}

/// A person who follows a link, signs in and consents; where the provider sends them.
async fn follow(walker: &mut Walker, link: &str) -> Result<Url> {
    let page = leave(walker, link).await?;
    sign_in(walker, page, &World::shared().public_url).await
}

/// The same to the end: what arrives at the person's own machine.
async fn follow_home(walker: &mut Walker, link: &str) -> Result<String> {
    let callback = follow(walker, link).await?;
    come_back(walker, &callback).await
}

/// Visits an address with these cookies of ours and no others.
async fn visit(method: Method, url: &Url, cookies: &[(String, String)]) -> Result<Page> {
    let mut walker = Walker::new();
    walker.cookies.insert("localhost".to_owned(), cookies.iter().cloned().collect());
    walker.once(method, url, None).await
}

/// The cookies of consents that a browser has.
fn sessions(walker: &Walker) -> Vec<(String, String)> {
    let cookies = walker.cookies.get("localhost").into_iter().flatten();
    let cookies = cookies.filter(|(name, _)| name.starts_with("liaison-consent-"));
    cookies.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An address with its query changed: a value, or without the parameter.
fn with_query(url: &Url, name: &str, value: Option<&str>) -> Url {
    let others: Vec<_> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(others).extend_pairs(value.map(|value| (name, value)));
    changed
}

/// The value of a parameter in an address's query.
fn query(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Insists that something was refused, in these words.
fn refused<T>(answer: Result<T>, words: &str) -> Result<()> {
    let Err(error) = answer else { anyhow::bail!("it was not refused: {words}") };
    let said = format!("{error:#}");
    ensure!(said.contains(words), "refused in other words than \"{words}\": {said}");
    Ok(())
}

/// Takes a request away, so that its requester may have another one.
async fn forget(asked: &Asked) -> Result<()> {
    asked.requests.delete(&asked.name, &DeleteParams::default()).await?;
    Ok(())
}

/// Changes a request's spec.
async fn change(asked: &Asked, spec: Value) -> Result<ConsentRequest> {
    let patch = kube::api::Patch::Merge(json!({ "spec": spec }));
    Ok(asked.requests.patch(&asked.name, &kube::api::PatchParams::default(), &patch).await?)
}
