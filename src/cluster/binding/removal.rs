//! Secrets of a binding that are deleted: one that it no longer names, and one that nobody can change any more.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PartialObjectMeta, Preconditions};
use kube::{Api, ResourceExt};

use crate::cluster::{Context, Error};
use crate::domain::binding::Outcome;
use crate::domain::connection::Blocked;
use crate::domain::reason::Reason;

use super::output::Seen;

type Metadata = PartialObjectMeta<Secret>;

/// What became of a deletion.
enum Deletion {
    Done,
    /// Somebody has changed the Secret since it was seen.
    Superseded,
    /// It is still there: why.
    Refused(String),
}

/// Deletes the binding's own Secret, if it is still the one that was seen. `None`: it has changed meanwhile.
pub(super) async fn discard(context: &Context, seen: &mut Seen) -> Result<Option<Outcome>, Error> {
    let Some(secret) = &seen.wanted else { return Ok(Some(Outcome::Discarded)) };
    let outcome = match delete(context, secret).await? {
        Deletion::Done => Outcome::Discarded,
        Deletion::Superseded => return Ok(None),
        Deletion::Refused(why) => {
            let name = secret.name_any();
            let message =
                format!("secret \"{name}\" is immutable and cannot be deleted to be made again: {why}");
            Outcome::Hindered(Blocked { reason: Reason::SecretWriteRefused, message })
        }
    };
    if outcome == Outcome::Discarded {
        seen.wanted = None;
    }
    Ok(Some(outcome))
}

/// Deletes the Secret that is no longer named, if it is still the one that was seen. `None`: it has changed meanwhile.
pub(super) async fn remove(context: &Context, seen: &mut Seen) -> Result<Option<Outcome>, Error> {
    let Some(secret) = &seen.outdated else { return Ok(Some(Outcome::Removed)) };
    Ok(match delete(context, secret).await? {
        Deletion::Done => {
            seen.outdated = None;
            Some(Outcome::Removed)
        }
        Deletion::Superseded => None,
        Deletion::Refused(message) => {
            Some(Outcome::Kept(Blocked { reason: Reason::SecretWriteRefused, message }))
        }
    })
}

async fn delete(context: &Context, secret: &Metadata) -> Result<Deletion, Error> {
    // Where finalizers hold it, the answer is the object; its body is nobody's to read here.
    let namespace = secret.namespace().unwrap_or_default();
    let api: Api<Metadata> = Api::namespaced(context.client.clone(), &namespace);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: secret.uid(), resource_version: secret.resource_version() }),
        ..DeleteParams::default()
    };
    match api.delete(&secret.name_any(), &parameters).await {
        Ok(answer) => Ok(answer.left().map_or(Deletion::Done, |still_there| held(&still_there))),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Deletion::Done),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Deletion::Superseded),
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {
            Ok(Deletion::Refused(status.message.clone()))
        }
        Err(error) => Err(Error::api("delete a Secret of the binding")(error)),
    }
}

/// A Secret that a deletion left until others let go of it.
fn held(secret: &Metadata) -> Deletion {
    match secret.finalizers() {
        [] => Deletion::Done,
        finalizers => Deletion::Refused(format!("finalizers hold it: {}", finalizers.join(", "))),
    }
}
