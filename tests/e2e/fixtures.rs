//! Objects that tests apply, and what they wait for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use liaison::api::{Connection, Connector, Folder};
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use crate::support::waiting::eventually;

/// What heals, heals within this.
pub(crate) const HEALS: Duration = Duration::from_secs(10);

/// A folder of its own for one test.
pub(crate) struct Ground {
    pub client: Client,
    pub namespace: String,
}

impl Ground {
    /// Makes a folder, which makes its namespace, and waits until it is ready.
    pub(crate) async fn new(client: Client, name: &str) -> Result<Self> {
        Self::below(client, None, name).await
    }

    /// The same below another folder.
    pub(crate) async fn below(client: Client, parent: Option<&Self>, name: &str) -> Result<Self> {
        let ground = Self { client, namespace: name.to_owned() };
        let mut spec = json!({ "displayName": name, "type": "Shared" });
        if let Some(parent) = parent {
            spec["parentRef"] = json!({ "name": parent.namespace });
        }
        ground
            .apply(&json!({
                "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec,
            }))
            .await?;
        let folders: Api<Folder> = Api::all(ground.client.clone());
        eventually(&format!("folder {name} is ready"), HEALS, async || {
            let folder = folders.get(name).await?;
            let status = folder.status.unwrap_or_default();
            let ready = conditions::find(&status.conditions, ConditionType::Ready).cloned();
            Ok(ready.filter(|ready| ready.status == "True"))
        })
        .await?;
        Ok(ground)
    }

    /// Applies an object of any kind, in the test's namespace where the kind has one.
    pub(crate) async fn apply(&self, object: &Value) -> Result<()> {
        apply(&self.client, &self.namespace, object).await
    }

    /// A labelled Secret.
    pub(crate) async fn secret(&self, name: &str, values: &[(&str, &str)]) -> Result<()> {
        let data: serde_json::Map<_, _> =
            values.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "labels": { "liaison.dev/credentials": "true" } },
            "stringData": data,
        }))
        .await
    }

    pub(crate) async fn connector(&self, name: &str, spec: Value) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name }, "spec": spec,
        }))
        .await
    }

    pub(crate) async fn connection(&self, name: &str, spec: Value) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connection",
            "metadata": { "name": name }, "spec": spec,
        }))
        .await
    }

    /// What somebody is told who applies a Connection that cannot become right: at once where the API server asks the
    /// operator, else by the condition, in the same words.
    pub(crate) async fn told(&self, name: &str, spec: Value) -> Result<String> {
        if let Err(refused) = self.connection(name, spec).await {
            return Ok(format!("{refused:#}"));
        }
        let seen = |connection: &Connection| {
            connection.status.as_ref().is_some_and(|status| status.observed_generation.is_some())
        };
        let reported = self.until_is(name, "is reported", seen).await?;
        Ok(message(&reported, ConditionType::Ready))
    }

    pub(crate) fn connections(&self) -> Api<Connection> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn connectors(&self) -> Api<Connector> {
        Api::all(self.client.clone())
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn annotate(&self, connection: &str, key: &str, value: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.connections().patch(connection, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Changes a part of a Connection.
    pub(crate) async fn patch(&self, connection: &str, change: Value) -> Result<()> {
        self.connections().patch(connection, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    /// Waits until a condition has this status and reason, and gives the Connection.
    pub(crate) async fn until(
        &self,
        name: &str,
        condition_type: ConditionType,
        status: &str,
        reason: &str,
    ) -> Result<Connection> {
        let what = format!("{name}: {}={status}/{reason}", condition_type.as_str());
        let connections = self.connections();
        eventually(&what, HEALS, async || {
            let connection = connections.get(name).await?;
            let all = connection.status.clone().unwrap_or_default().conditions;
            let condition = conditions::find(&all, condition_type).context("no such condition")?;
            anyhow::ensure!(
                condition.status == status && condition.reason == reason,
                "{}/{}: {}",
                condition.status,
                condition.reason,
                condition.message
            );
            Ok(Some(connection))
        })
        .await
    }

    pub(crate) async fn until_ready(&self, name: &str) -> Result<Connection> {
        self.until(name, ConditionType::Ready, "True", "Ready").await
    }

    /// Waits until the Connection is as `wanted` says.
    pub(crate) async fn until_is(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<Connection> {
        let connections = self.connections();
        eventually(&format!("{name}: {what}"), Duration::from_secs(30), async || {
            let connection = connections.get(name).await?;
            Ok(Some(connection).filter(|connection| wanted(connection)))
        })
        .await
    }

    /// Reasons of the Events about an object.
    pub(crate) async fn events(&self, name: &str) -> Result<Vec<String>> {
        use k8s_openapi::api::events::v1::Event;
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = events.list(&kube::api::ListParams::default()).await?;
        Ok(events
            .items
            .into_iter()
            .filter(|event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name))
            .filter_map(|event| event.reason)
            .collect())
    }

    pub(crate) async fn until_event(&self, name: &str, reason: &str) -> Result<()> {
        eventually(&format!("{name}: event {reason}"), HEALS, async || {
            Ok(self.events(name).await?.contains(&reason.to_owned()).then_some(()))
        })
        .await
    }
}

/// The message of a condition.
pub(crate) fn message(connection: &Connection, condition_type: ConditionType) -> String {
    let status = connection.status.clone().unwrap_or_default();
    conditions::find(&status.conditions, condition_type)
        .map(|found| found.message.clone())
        .unwrap_or_default()
}

/// Applies an object as `kubectl apply --server-side` does.
pub(crate) async fn apply(client: &Client, namespace: &str, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.clone().context("an object has a kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let resource = ApiResource::from_gvk(&kind);
    let cluster_wide =
        ["Namespace", "Folder", "Connector", "ConnectionPolicy"].contains(&types.kind.as_str());
    let api: Api<DynamicObject> = if cluster_wide {
        Api::all_with(client.clone(), &resource)
    } else {
        let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    let name = object.metadata.name.clone().context("an object has a name")?;
    let applied = api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await;
    applied.with_context(|| format!("apply {} {name}", types.kind))?;
    Ok(())
}

/// A connector with OAuth client credentials at this provider.
pub(crate) fn client_credentials_connector(provider: &dyn Fn(&str) -> String) -> Value {
    json!({
        "displayName": "Scripted provider",
        "authMethods": [{
            "type": "OAuth2ClientCredentials",
            "oauth2": {
                "tokenURL": provider("/token"), "revokeURL": provider("/revoke"),
                "scopes": { "default": ["read"] },
            },
        }],
        "account": { "url": provider("/me"), "idPath": "/id", "namePath": "/name" },
        "verify": { "url": provider("/me"), "success": "response.status == 200 && has(response.body.id)" },
    })
}

/// A connector with a token that a person made.
pub(crate) fn token_connector(provider: &dyn Fn(&str) -> String) -> Value {
    json!({
        "displayName": "Scripted provider",
        "authMethods": [{
            "type": "PersonalAccessToken",
            "request": { "headers": { "Authorization": "Bearer {token}" } },
            "parameters": [{ "name": "token", "secret": true, "required": true }],
        }],
        "account": { "url": provider("/me"), "idPath": "/id", "namePath": "/name" },
        "verify": { "url": provider("/me"), "success": "response.status == 200 && has(response.body.id)" },
    })
}
