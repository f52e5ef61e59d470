//! The finalizer of a Connection whose token is to be revoked.

use std::time::Instant;

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::api::Connection;
use crate::api::names::REVOKE_FINALIZER;
use crate::cluster::{Context, Error};
use crate::domain::connection::{Observed, Outcome};

/// Others may change the Connection at the same time; then it is read again, this many times.
const ATTEMPTS: usize = 5;

/// Adds the finalizer, if the Connection is still the one that was seen.
pub(in crate::cluster) async fn hold(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let mut finalizers = observed.connection.finalizers().to_vec();
    finalizers.push(REVOKE_FINALIZER.to_owned());
    let Some(held) = set(context, &observed.connection, &finalizers).await? else {
        return Ok(Outcome::Superseded);
    };
    context.written.note(&observed.connection, held, Instant::now());
    Ok(Outcome::Held)
}

/// Takes the finalizer away. Nothing else wakes a Connection that is being deleted, so a conflict is met here.
pub(in crate::cluster) async fn let_go(context: &Context, observed: &Observed) -> Result<(), Error> {
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    let mut connection = observed.connection.clone();
    for _ in 0..ATTEMPTS {
        let mut finalizers = connection.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != REVOKE_FINALIZER);
        if set(context, &connection, &finalizers).await?.is_some() {
            return Ok(());
        }
        let current =
            api.get_metadata_opt(observed.name()).await.map_err(Error::api("read the Connection"))?;
        let same = current.filter(|current| current.metadata.uid == connection.metadata.uid);
        let Some(current) = same else { return Ok(()) };
        connection.metadata = current.metadata;
    }
    Err(Error::Contended)
}

/// A merge patch that holds the resourceVersion: others' finalizers are kept, and a change since then is noticed.
/// Gives the Connection as it is then, or nothing where it has changed or gone.
async fn set(
    context: &Context,
    connection: &Connection,
    finalizers: &[String],
) -> Result<Option<Connection>, Error> {
    let metadata = &connection.metadata;
    let api: Api<Connection> =
        Api::namespaced(context.client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let patch = json!({ "metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": finalizers,
    }});
    match api.patch_metadata(&connection.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        // Nothing else changed, or the resourceVersion would have.
        Ok(written) => Ok(Some(Connection { metadata: written.metadata, ..connection.clone() })),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(None),
        Err(error) => Err(Error::api("set finalizers")(error)),
    }
}
