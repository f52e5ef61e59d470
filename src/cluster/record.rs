//! Records a decision: the status where it differs, then Events.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::domain::decision;

use super::Error;

/// Writes a status with server-side apply, where it differs from the one that is there. The uid goes with it, so
/// that an object of the same name made meanwhile is left alone. Gives the object as it is
/// after a write.
pub(super) async fn status<K, Status>(
    api: &Api<K>,
    object: &K,
    old: Option<&Status>,
    new: &Status,
    manager: &str,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    Status: Serialize + PartialEq,
{
    if old == Some(new) {
        return Ok(None);
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "namespace": object.namespace(), "uid": object.uid() },
        "status": new,
    });
    let parameters = PatchParams::apply(manager).force();
    match api.patch_status(&object.name_any(), &parameters, &Patch::Apply(patch)).await {
        Ok(written) => Ok(Some(written)),
        // Deleted, or made anew under the same name: whoever comes next is decided about in a pass of its own.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            tracing::debug!(name = object.name_any(), cause = status.message, "the status is not written");
            Ok(None)
        }
        Err(error) => Err(Error::api("write status")(error)),
    }
}

/// Publishes Events. One that cannot be published is logged and not tried again: the condition holds the fact.
pub(super) async fn events(recorder: &Recorder, object: &ObjectReference, events: &[decision::Event]) {
    for event in events {
        let published = recorder
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
        if let Err(error) = published {
            tracing::warn!(reason = %event.reason, %error, "cannot publish an Event");
        }
    }
}
