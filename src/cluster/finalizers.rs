//! Finalizers of any kind, added and taken away one at a time.

use std::fmt::Debug;

use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What became of a write.
pub(super) enum Write {
    /// It is written: the object's metadata as it is now.
    Done(Box<ObjectMeta>),
    /// The object is gone.
    Gone,
    /// Somebody else has changed the object, or made it anew.
    Conflict,
}

/// Adds a finalizer.
pub(super) async fn add<K>(api: &Api<K>, metadata: &ObjectMeta, finalizer: &str) -> Result<Write, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut finalizers = others(metadata, finalizer);
    finalizers.push(finalizer.to_owned());
    set(api, metadata, &finalizers).await
}

/// Takes a finalizer away.
pub(super) async fn remove<K>(
    api: &Api<K>,
    metadata: &ObjectMeta,
    finalizer: &str,
) -> Result<Write, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    set(api, metadata, &others(metadata, finalizer)).await
}

fn others(metadata: &ObjectMeta, finalizer: &str) -> Vec<String> {
    metadata.finalizers.iter().flatten().filter(|held| *held != finalizer).cloned().collect()
}

/// A merge patch that holds uid and resourceVersion: others' finalizers are kept, and a change since then is noticed.
async fn set<K>(api: &Api<K>, metadata: &ObjectMeta, finalizers: &[String]) -> Result<Write, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": finalizers,
    }});
    let name = metadata.name.as_deref().unwrap_or_default();
    match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(written) => Ok(Write::Done(Box::new(written.metadata))),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Write::Gone),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Write::Conflict),
        Err(error) => Err(error),
    }
}
