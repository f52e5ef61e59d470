//! Scenarios that can be cut at any of their boundaries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use liaison::api::names::{TOKEN_LABEL, token_secret};
use liaison::api::{Connection, Folder};
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use super::Stage;
use crate::fixtures::{Ground, HEALS, client_credentials_connector, token_connector};
use crate::support::boundaries::Cut;
use crate::support::fault_proxy::Forwarded;
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;

/// A run of a scenario: what it passed, and how all stood at its end.
pub(super) struct Run {
    pub(super) boundaries: Vec<String>,
    pub(super) reached: bool,
    pub(super) outcome: Value,
    pub(super) settled: Option<Settled>,
}

/// What must not be written to any more.
pub(super) struct Settled {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) mark: usize,
}

pub(super) struct Scene {
    pub(super) stage: Stage,
    ground: Ground,
    /// Where the proxy's record of the present run begins.
    begun: Arc<AtomicUsize>,
}

/// Lifetime of the first token of a run that is to see a refresh; every other token lives for an hour.
const SHORT: u32 = 5;

impl Scene {
    pub(super) async fn new() -> Result<Self> {
        let stage = Stage::new("crashes").await?;
        let ground = stage.ground("crashes").await?;
        let begun = Arc::new(AtomicUsize::new(usize::MAX));
        let (proxy, from, tokens) = (stage.proxy.clone(), Arc::clone(&begun), AtomicUsize::new(0));
        stage.script(move |request| {
            Some(match request.path.as_str() {
                "/token" => {
                    let number = tokens.fetch_add(1, Ordering::Relaxed);
                    let forwarded = proxy.forwarded();
                    let run = forwarded.get(from.load(Ordering::Relaxed)..);
                    let stored = |past: &Forwarded| past.changes_state() && past.what() == "POST secrets" && past.status == 201;
                    let first = run.is_some_and(|run| !run.iter().any(stored));
                    let lifetime = if first { SHORT } else { 3600 };
                    Answer::json(200, &json!({
                        "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": lifetime,
                    }))
                }
                "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
                "/revoke" => Answer::json(200, &json!({})),
                _ => return None,
            })
        });
        let endpoint = |path: &str| stage.provider.endpoint(path);
        ground.connector("client", client_credentials_connector(&endpoint)).await?;
        ground.connector("token", token_connector(&endpoint)).await?;
        for name in ["client", "token"] {
            valid(&ground, name).await?;
        }
        ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
        ground.secret("pat", &[("token", "made-by-a-person")]).await?;
        Ok(Self { stage, ground, begun })
    }

    pub(super) fn client_credentials() -> Value {
        json!({
            "connectorRef": { "name": "client" }, "authType": "OAuth2ClientCredentials",
            "oauthApp": { "secretRef": { "name": "app" } },
        })
    }

    pub(super) fn personal_access_token() -> Value {
        json!({
            "connectorRef": { "name": "token" }, "authType": "PersonalAccessToken",
            "credentials": { "secretRef": { "name": "pat" } },
        })
    }

    /// The same with a Connector of its own: what a Connection is among others depends on those for the same one.
    async fn apart(&self, name: &str, mut spec: Value) -> Result<Value> {
        let kind = spec["connectorRef"]["name"].as_str().context("a connector")?;
        let own = format!("{kind}-of-{name}");
        let connector = self.ground.connectors().get(kind).await?;
        self.ground.connector(&own, serde_json::to_value(connector.spec)?).await?;
        valid(&self.ground, &own).await?;
        spec["connectorRef"]["name"] = own.into();
        Ok(spec)
    }

    /// Waits until the Connection is Ready and its token, if it has one, at least the one of this number.
    async fn ready(&self, name: &str, sequence: i64) -> Result<Connection> {
        let connections = self.ground.connections();
        self.stage
            .recovers(&format!("{name} is Ready with token {sequence}"), async || {
                let connection = connections.get(name).await?;
                let status = connection.status.clone().unwrap_or_default();
                let ready = conditions::find(&status.conditions, ConditionType::Ready);
                let number = status.token.map_or(0, |token| token.sequence);
                let reached = ready.is_some_and(|ready| ready.status == "True") && number >= sequence;
                Ok(reached.then_some(connection))
            })
            .await
    }

    pub(super) async fn apply_to_ready(
        &self,
        name: &str,
        spec: Value,
        sequences: &[i64],
        cut: Option<Cut>,
    ) -> Result<Run> {
        let spec = self.apart(name, spec).await?;
        self.begun.store(self.stage.proxy.mark(), Ordering::Relaxed);
        self.stage.boundaries.begin(cut);
        self.ground.connection(name, spec).await?;
        let mut connection = self.ready(name, 0).await?;
        for sequence in sequences {
            connection = self.ready(name, *sequence).await?;
        }
        self.still_running().await?;
        let (boundaries, reached) = self.stage.boundaries.end();
        self.begun.store(usize::MAX, Ordering::Relaxed);
        let outcome = self.outcome(&connection).await?;
        let uid = connection.uid().context("uid")?;
        let settled = Some(Settled { name: name.to_owned(), uid, mark: self.stage.proxy.mark() });
        Ok(Run { boundaries, reached, outcome, settled })
    }

    /// Deletes a Connection that has a token; it and its Secret go, its token is revoked.
    pub(super) async fn deletion(&self, name: &str, cut: Option<Cut>) -> Result<Run> {
        let spec = self.apart(name, Self::client_credentials()).await?;
        self.ground.connection(name, spec).await?;
        let uid = self.ready(name, 1).await?.uid().context("uid")?;
        let revoked = self.stage.provider.count("/revoke");
        self.stage.boundaries.begin(cut);
        let connections = self.ground.connections();
        connections.delete(name, &DeleteParams::default()).await?;
        let secrets = self.ground.secrets();
        self.stage
            .recovers(&format!("{name} and its token Secret go"), async || {
                let gone = connections.get_opt(name).await?.is_none()
                    && secrets.get_metadata_opt(&token_secret(&uid)).await?.is_none();
                Ok(gone.then_some(()))
            })
            .await?;
        self.still_running().await?;
        let (boundaries, reached) = self.stage.boundaries.end();
        let outcome = json!({ "gone": true, "revoked": self.stage.provider.count("/revoke") > revoked });
        Ok(Run { boundaries, reached, outcome, settled: None })
    }

    /// A Folder from its manifest to its namespace, and away again with it.
    pub(super) async fn folder(&self, name: &str, cut: Option<Cut>) -> Result<Run> {
        let folders: Api<Folder> = Api::all(self.ground.client.clone());
        self.stage.boundaries.begin(cut);
        self.ground
            .apply(&json!({
                "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name },
                "spec": { "displayName": name, "type": "Shared" },
            }))
            .await?;
        let folder = self
            .stage
            .recovers(&format!("folder {name} is Ready"), async || {
                let folder = folders.get(name).await?;
                let status = folder.status.clone().unwrap_or_default();
                let ready = conditions::find(&status.conditions, ConditionType::Ready);
                Ok(ready.is_some_and(|ready| ready.status == "True").then_some(folder))
            })
            .await?;
        let outcome =
            json!({ "status": without_times(json!(folder.status)), "finalizers": folder.finalizers() });
        folders.delete(name, &DeleteParams::default()).await?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.ground.client.clone());
        self.stage
            .recovers(&format!("folder {name} and its namespace go"), async || {
                let gone =
                    folders.get_opt(name).await?.is_none() && namespaces.get_opt(name).await?.is_none();
                Ok(gone.then_some(()))
            })
            .await?;
        self.still_running().await?;
        let (boundaries, reached) = self.stage.boundaries.end();
        let outcome = serde_json::from_str(&outcome.to_string().replace(name, "<name>"))?;
        Ok(Run { boundaries, reached, outcome, settled: None })
    }

    /// A cut at the very last boundary leaves all as it should be: the operator is started again all the same.
    async fn still_running(&self) -> Result<()> {
        self.stage.operate().await
    }

    /// How a Connection stands, without what differs from run to run: times and names.
    async fn outcome(&self, connection: &Connection) -> Result<Value> {
        let uid = connection.uid().unwrap_or_default();
        let of_this = ListParams::default().labels(&format!("{TOKEN_LABEL}={uid}"));
        let secrets = self.ground.secrets().list_metadata(&of_this).await?;
        Ok(json!({
            "status": without_times(json!(connection.status)),
            "finalizers": connection.finalizers(),
            "tokenSecrets": secrets.items.len(),
        }))
    }

    pub(super) async fn no_orphans(&self) -> Result<()> {
        let connections = self.ground.connections().list(&ListParams::default()).await?;
        let known: Vec<_> = connections.iter().filter_map(ResourceExt::uid).collect();
        let secrets: Api<Secret> = Api::all(self.ground.client.clone());
        for secret in secrets.list_metadata(&ListParams::default().labels(TOKEN_LABEL)).await? {
            let owner = secret.labels().get(TOKEN_LABEL).cloned().unwrap_or_default();
            ensure!(known.contains(&owner), "the token Secret {} has no Connection", secret.name_any());
        }
        Ok(())
    }
}

pub(super) fn without_times(mut value: Value) -> Value {
    fn scrub(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_time = |key: &str| {
                    key == "time" || key == "paidUntil" || key.ends_with("Time") || key.ends_with("At")
                };
                fields.retain(|key, _| !is_time(key));
                fields.values_mut().for_each(scrub);
            }
            Value::Array(items) => items.iter_mut().for_each(scrub),
            _ => {}
        }
    }
    scrub(&mut value);
    value
}

async fn valid(ground: &Ground, connector: &str) -> Result<()> {
    eventually(&format!("connector {connector} is valid"), HEALS, async || {
        let status = ground.connectors().get(connector).await?.status.unwrap_or_default();
        let valid = conditions::find(&status.conditions, ConditionType::Valid);
        Ok(valid.filter(|valid| valid.status == "True").map(|_| ()))
    })
    .await
}
