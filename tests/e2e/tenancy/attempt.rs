//! What an attacker tries: a request to the API server in somebody's name, and what has to come of it.

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::fixtures::HEALS;
use crate::support::waiting::eventually;

const CLUSTER_WIDE: [&str; 9] = [
    "Namespace",
    "Folder",
    "Connector",
    "ConnectionPolicy",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// One request.
#[derive(Clone)]
pub(super) struct Deed {
    client: Client,
    object: Value,
    how: How,
    dry_run: bool,
}

#[derive(Clone)]
enum How {
    Create,
    Apply,
    Replace,
    Merge(Value),
    Json(Value),
    Status(Value),
    Delete,
}

impl Deed {
    fn new(client: &Client, object: &Value, how: How) -> Self {
        Self { client: client.clone(), object: object.clone(), how, dry_run: false }
    }

    pub(super) fn create(client: &Client, object: &Value) -> Self {
        Self::new(client, object, How::Create)
    }

    /// Server-side, as `kubectl apply --server-side` and Flux do.
    pub(super) fn apply(client: &Client, object: &Value) -> Self {
        Self::new(client, object, How::Apply)
    }

    /// The whole object as it shall be, over the one that is there.
    pub(super) fn replace(client: &Client, object: &Value) -> Self {
        Self::new(client, object, How::Replace)
    }

    pub(super) fn merge(client: &Client, object: &Value, change: Value) -> Self {
        Self::new(client, object, How::Merge(change))
    }

    /// A JSON patch.
    pub(super) fn json(client: &Client, object: &Value, operations: Value) -> Self {
        Self::new(client, object, How::Json(operations))
    }

    /// A merge patch at the subresource `status`.
    pub(super) fn status(client: &Client, object: &Value, status: &Value) -> Self {
        Self::new(client, object, How::Status(json!({ "status": status })))
    }

    pub(super) fn delete(client: &Client, object: &Value) -> Self {
        Self::new(client, object, How::Delete)
    }

    pub(super) fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Does it; what the API server answers, as far as it has an object.
    pub(super) async fn perform(&self) -> kube::Result<Option<DynamicObject>> {
        let Ok(api) = api_of(&self.client, &self.object) else { return Ok(None) };
        let name = self.object["metadata"]["name"].as_str().unwrap_or_default();
        let patching = PatchParams { dry_run: self.dry_run, ..PatchParams::default() };
        let posting = PostParams { dry_run: self.dry_run, ..PostParams::default() };
        match &self.how {
            How::Create => api.create(&posting, &parsed(&self.object)?).await,
            How::Apply => {
                let parameters =
                    PatchParams { force: true, field_manager: Some("attempt".to_owned()), ..patching };
                api.patch(name, &parameters, &Patch::Apply(&self.object)).await
            }
            How::Replace => {
                let mut whole = self.object.clone();
                let seen = api.get(name).await?;
                whole["metadata"]["resourceVersion"] = json!(seen.metadata.resource_version);
                api.replace(name, &posting, &parsed(&whole)?).await
            }
            How::Merge(change) => api.patch(name, &patching, &Patch::Merge(change)).await,
            How::Json(operations) => {
                let operations =
                    serde_json::from_value(operations.clone()).map_err(kube::Error::SerdeError)?;
                api.patch(name, &patching, &Patch::<()>::Json(operations)).await
            }
            How::Status(change) => api.patch_status(name, &patching, &Patch::Merge(change)).await,
            How::Delete => {
                let answer = api.delete(name, &DeleteParams::default()).await?;
                return Ok(answer.left());
            }
        }
        .map(Some)
    }
}

fn parsed(object: &Value) -> kube::Result<DynamicObject> {
    serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)
}

/// Where objects of this kind and namespace are.
pub(super) fn api_of(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned).context("a kind");
    let (version, kind) = (text(&object["apiVersion"])?, text(&object["kind"])?);
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    if CLUSTER_WIDE.contains(&kind.as_str()) {
        return Ok(Api::all_with(client.clone(), &resource));
    }
    let namespace = object["metadata"]["namespace"].as_str().context("a namespace")?;
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// What has to come of it.
#[derive(Clone)]
pub(super) enum Fate {
    /// It is refused in these words, by a rule or for want of a right.
    Refused(String),
    /// It is stored, and a condition says why nothing comes of it.
    Says { condition: &'static str, reason: &'static str, words: String },
    /// It is stored, and at this place of what is stored stands this all the same.
    Stands { at: &'static str, value: Value },
}

/// Refused in these words.
pub(super) fn refused(words: impl Into<String>) -> Fate {
    Fate::Refused(words.into())
}

/// Refused by RBAC, as somebody who may not do this to that resource.
pub(super) fn forbidden(verb: &str, resource: &str) -> Fate {
    Fate::Refused(format!("cannot {verb} resource \"{resource}\""))
}

/// Stored, and Ready says why nothing comes of it.
pub(super) fn says(reason: &'static str, words: impl Into<String>) -> Fate {
    Fate::Says { condition: "Ready", reason, words: words.into() }
}

/// Stored without what was wanted.
pub(super) fn stands(at: &'static str, value: Value) -> Fate {
    Fate::Stands { at, value }
}

/// Something that somebody tries.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) name: String,
    deed: Deed,
    fate: Fate,
}

/// A row of a table of attempts.
pub(super) fn attempt(name: impl Into<String>, deed: Deed, fate: Fate) -> Attempt {
    Attempt { name: name.into(), deed, fate }
}

impl Attempt {
    /// Tries it; an error says that it did not come to what it has to.
    pub(super) async fn run(&self, administrator: &Client) -> Result<()> {
        let answer = self.deed.perform().await;
        let words = match (&self.fate, answer) {
            (Fate::Refused(words), answer) => return is_refused(answer, words),
            (_, Err(error)) => bail!("refused, where it has to be stored and without effect: {error}"),
            (Fate::Stands { at, value }, Ok(answer)) => {
                let answer = serde_json::to_value(answer.context("an object")?)?;
                let found = answer.pointer(at).unwrap_or(&Value::Null);
                ensure!(found == value, "at {at} stands {found}");
                let (at, value) = (*at, value.clone());
                return self.holds(administrator, at, &value).await;
            }
            (Fate::Says { words, .. }, Ok(_)) => words,
        };
        let Fate::Says { condition, reason, .. } = &self.fate else { return Ok(()) };
        let api = api_of(administrator, &self.deed.object)?;
        let name = self.deed.object["metadata"]["name"].as_str().unwrap_or_default();
        eventually(&format!("{condition}=False/{reason}"), HEALS, async || {
            let object = api.get(name).await?;
            let said = condition_of(&object, condition);
            ensure!(
                said["status"] == "False" && said["reason"] == *reason && text_of(&said).contains(words),
                "{}/{}: {}",
                said["status"],
                said["reason"],
                said["message"]
            );
            Ok(Some(()))
        })
        .await
    }

    /// The same stands in what is stored, once the operator has looked.
    async fn holds(&self, administrator: &Client, at: &str, value: &Value) -> Result<()> {
        if self.deed.dry_run {
            return Ok(());
        }
        let object = &self.deed.object;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let Some(stored) = api_of(administrator, object)?.get_opt(name).await? else { return Ok(()) };
        let stored = serde_json::to_value(stored)?;
        let found = stored.pointer(at).unwrap_or(&Value::Null);
        ensure!(found == value, "stored: at {at} stands {found}");
        Ok(())
    }
}

fn text_of(condition: &Value) -> &str {
    condition["message"].as_str().unwrap_or_default()
}

/// A condition of an object of any kind; null where it has none of this type.
pub(super) fn condition_of(object: &DynamicObject, condition_type: &str) -> Value {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == condition_type);
    found.cloned().unwrap_or_default()
}

/// Insists on a refusal by a rule or for want of a right, in these words.
pub(super) fn is_refused<T>(answer: kube::Result<T>, words: &str) -> Result<()> {
    let status = match answer {
        Ok(_) => bail!("it was not refused: {words}"),
        Err(kube::Error::Api(status)) => status,
        Err(other) => bail!("no answer of the API server: {other}"),
    };
    ensure!([400, 403, 422].contains(&status.code), "{}: {}", status.code, status.message);
    ensure!(status.message.contains(words), "refused in other words than \"{words}\": {}", status.message);
    Ok(())
}
