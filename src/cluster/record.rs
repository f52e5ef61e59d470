//! Records a decision: the status where it differs, then Events.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::domain::decision;
use crate::domain::folder::Territory;

use super::Error;

/// What became of a status.
pub(super) enum Recorded<K> {
    /// It is as it should be already.
    Unchanged,
    /// It is written: the object as it is now.
    Written(Box<K>),
    /// Somebody else has written the status, or the object is gone or made anew: decide again.
    Superseded,
}

/// After this a decision that came too late is made again; by then the watch has mostly told what happened.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How often a write is tried that others' changes of labels and the like come before.
const TRIES: usize = 3;

/// Writes a status with server-side apply, where it differs from the one that is there, and only over the one that
/// the decision was made from: a replica that was frozen must not undo what another one has recorded meanwhile. The
/// uid goes with it, so that an object of the same name made meanwhile is left alone.
pub(super) async fn status<K>(
    api: &Api<K>,
    object: &K,
    new: &K::Status,
    manager: &str,
) -> Result<Recorded<K>, Error>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + Debug + DeserializeOwned,
    K::Status: Serialize + PartialEq,
{
    if object.status() == Some(new) {
        return Ok(Recorded::Unchanged);
    }
    let name = object.name_any();
    let mut version = object.resource_version();
    for _ in 0..TRIES {
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {
                "name": name, "namespace": object.namespace(), "uid": object.uid(), "resourceVersion": version,
            },
            "status": new,
        });
        match api.patch_status(&name, &PatchParams::apply(manager).force(), &Patch::Apply(patch)).await {
            Ok(written) => return Ok(Recorded::Written(Box::new(written))),
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Recorded::Superseded),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(Error::api("write status")(error)),
        }
        let current = api.get_opt(&name).await.map_err(Error::api("read what a status is written over"))?;
        let same = |current: &K| current.uid() == object.uid() && current.status() == object.status();
        let Some(current) = current.filter(same) else { return Ok(Recorded::Superseded) };
        version = current.resource_version();
    }
    Ok(Recorded::Superseded)
}

/// Publishes Events.
pub struct Publisher {
    recorder: Recorder,
    /// Events about objects of the whole cluster are in a namespace of their own, `default`.
    of_the_cluster: bool,
}

impl Publisher {
    /// Publishes by this recorder. An operator that works in some namespaces only publishes nothing about objects of the
    /// whole cluster.
    pub fn new(recorder: Recorder, territory: &Territory) -> Self {
        Self { recorder, of_the_cluster: territory.namespaces.is_none() }
    }
}

/// Publishes Events. One that cannot be published is logged and not tried again: the condition holds the fact.
pub(super) async fn events(publisher: &Publisher, object: &ObjectReference, events: &[decision::Event]) {
    if object.namespace.is_none() && !publisher.of_the_cluster {
        return;
    }
    for event in events {
        let outcome = publisher
            .recorder
            .publish(
                &Event {
                    type_: match event.kind {
                        decision::EventKind::Normal => EventType::Normal,
                        decision::EventKind::Warning => EventType::Warning,
                    },
                    reason: event.reason.to_string(),
                    note: Some(event.reason.note().to_owned()),
                    action: event.reason.to_string(),
                    secondary: None,
                },
                object,
            )
            .await;
        if let Err(error) = outcome {
            tracing::warn!(reason = %event.reason, %error, "cannot publish an Event");
        }
    }
}
