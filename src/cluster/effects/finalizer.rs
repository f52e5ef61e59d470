//! The finalizer of a Connection whose token is to be revoked.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::Connection;
use crate::api::names::REVOKE_FINALIZER;
use crate::domain::connection::{Observed, Outcome};

use crate::cluster::{Context, Error};

/// Adds the finalizer, if the Connection is still the one that was seen.
pub(in crate::cluster) async fn hold(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let mut finalizers = observed.connection.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(REVOKE_FINALIZER.to_owned());
    Ok(if set_finalizers(context, observed, &finalizers).await? {
        Outcome::Held
    } else {
        Outcome::Superseded
    })
}

/// Takes the finalizer away.
pub(in crate::cluster) async fn let_go(context: &Context, observed: &Observed) -> Result<(), Error> {
    let mut finalizers = observed.connection.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != REVOKE_FINALIZER);
    set_finalizers(context, observed, &finalizers).await.map(|_| ())
}

/// A merge patch that holds the resourceVersion: others' finalizers are kept, and a change since then is noticed.
async fn set_finalizers(
    context: &Context,
    observed: &Observed,
    finalizers: &[String],
) -> Result<bool, Error> {
    let metadata = &observed.connection.metadata;
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    let patch = json!({ "metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": finalizers,
    }});
    match api.patch_metadata(observed.name(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(Error::api("set finalizers")(error)),
    }
}
