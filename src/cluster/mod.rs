//! The Kubernetes adapter. For each kind: observe (reads), act (writes), and what is watched.

pub mod access;
pub mod admission;
pub mod connection;
pub mod connector;
pub mod consent;
mod effects;
mod finalizers;
pub mod folder;
mod keyring;
mod own_writes;
pub mod policy;
mod record;
mod review;
mod secrets;
mod token_store;
pub mod uninstall;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;

use crate::api::{Connection, ConnectionPolicy, Connector, ConsentRequest, Folder, ProcessBinding};
use crate::domain::connection::Settings;
use crate::envelope::Keyring;
use crate::ports::{Clock, Leadership, ProviderClient, Telemetry};

pub use keyring::{KeyringSetupFault, load_or_create as load_or_create_keyring};
pub use own_writes::OwnWrites;
pub use secrets::Secrets;
pub use token_store::KnownRecords;
pub use watch::Guarded;

/// Everything that passes over objects share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Where provider requests go out.
    pub provider: Arc<dyn ProviderClient>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether this replica acts.
    pub leadership: Arc<dyn Leadership>,
    /// What is worth counting.
    pub telemetry: Arc<dyn Telemetry>,
    /// Keys of token records.
    pub keyring: Arc<Keyring>,
    /// Publishes Events.
    pub recorder: Recorder,
    /// Settings that decisions depend on.
    pub settings: Arc<Settings>,
    /// How long a provider request may take; no token is asked for closer to the end of leadership.
    pub provider_timeout: Duration,
    /// The operator's own namespace.
    pub operator_namespace: String,
    /// Connectors, as last seen.
    pub connectors: Store<Guarded<Connector>>,
    /// Checked descriptions, made once per generation.
    pub definitions: connector::Definitions,
    /// Folders, as last seen.
    pub folders: Store<Guarded<Folder>>,
    /// Connections, as last seen.
    pub connections: Store<Guarded<Connection>>,
    /// `ConnectionPolicies`, as last seen.
    pub policies: Store<Guarded<ConnectionPolicy>>,
    /// `ProcessBindings`, as last seen.
    pub bindings: Store<Guarded<ProcessBinding>>,
    /// ConsentRequests, as last seen.
    pub consents: Store<Guarded<ConsentRequest>>,
    /// Connections as they are this moment, for consents.
    pub snapshots: consent::Snapshots,
    /// Connections as this process left them, until the watch shows it.
    pub written: OwnWrites<Connection>,
    /// Secrets, as metadata; bodies are read by name when needed.
    pub secrets: Secrets,
    /// Facts about token records that were opened before.
    pub records: KnownRecords,
}

/// Why a pass could not be completed: the API server's fault or ours, never a user's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The stored object does not fit its kind.
    #[error("the stored object cannot be read: {0}")]
    Malformed(String),
    /// Others kept changing the object.
    #[error("the object kept changing while it was written")]
    Contended,
    /// A token record could not be sealed.
    #[error("seal the token record: {0}")]
    Seal(#[from] crate::envelope::SealFault),
}

impl Error {
    fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { action, source: Box::new(source) }
    }
}

/// When a pass is to be made again, if nothing changes before.
fn again_at(now: Timestamp, next: Option<Timestamp>) -> Action {
    let Some(next) = next else { return Action::await_change() };
    let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
    // Just after the moment, so that it has come whatever a clock's grain is.
    Action::requeue(wait + Duration::from_millis(5))
}
