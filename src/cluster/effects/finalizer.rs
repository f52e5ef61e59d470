//! The finalizer of a Connection whose token is to be revoked.

use std::time::Instant;

use kube::Api;

use crate::api::Connection;
use crate::api::names::REVOKE_FINALIZER;
use crate::cluster::finalizers::{self, Write};
use crate::cluster::{Context, Error};
use crate::domain::connection::{Observed, Outcome};

/// Others may change the Connection at the same time; then it is read again, this many times.
const ATTEMPTS: usize = 5;

/// Adds the finalizer, if the Connection is still the one that was seen.
pub(in crate::cluster) async fn hold(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let connection = &observed.connection;
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    let written = finalizers::add(&api, &connection.metadata, REVOKE_FINALIZER).await;
    let Write::Done(metadata) = written.map_err(Error::api("add a finalizer"))? else {
        return Ok(Outcome::Superseded);
    };
    // Nothing else changed, or the resourceVersion would have.
    let held = Connection { metadata: *metadata, ..connection.clone() };
    context.written.note(connection, held, Instant::now());
    Ok(Outcome::Held)
}

/// Takes the finalizer away. Nothing else wakes a Connection that is being deleted, so a conflict is met here.
pub(in crate::cluster) async fn let_go(context: &Context, observed: &Observed) -> Result<(), Error> {
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    let mut metadata = observed.connection.metadata.clone();
    for _ in 0..ATTEMPTS {
        let written = finalizers::remove(&api, &metadata, REVOKE_FINALIZER).await;
        match written.map_err(Error::api("take a finalizer away"))? {
            Write::Done(_) | Write::Gone => return Ok(()),
            Write::Conflict => {}
        }
        let current =
            api.get_metadata_opt(observed.name()).await.map_err(Error::api("read the Connection"))?;
        let same = current.filter(|current| current.metadata.uid == metadata.uid);
        let Some(current) = same else { return Ok(()) };
        metadata = current.metadata;
    }
    Err(Error::Contended)
}
