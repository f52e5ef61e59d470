//! The Kubernetes adapter. For each kind: observe (reads), act (writes), and what is watched.

pub mod access;
pub mod admission;
pub mod binding;
mod calls;
pub mod certificates;
pub mod connection;
pub mod connector;
pub mod consent;
mod effects;
mod finalizers;
pub mod folder;
mod hand_out;
mod keyring;
mod own_writes;
pub mod policy;
mod record;
mod review;
mod rights;
mod secrets;
mod surroundings;
pub mod token_endpoint;
mod token_store;
pub mod uninstall;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Client;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;

use crate::api::{Connection, ConnectionPolicy, Connector, ConsentRequest, Folder, ProcessBinding};
use crate::domain::connection::Settings;
use crate::domain::folder::Territory;
use crate::envelope::Keyring;
use crate::ports::{Clock, Leadership, ProviderClient, Telemetry};

pub use calls::Calls;
pub use keyring::{KeyringSetupFault, load_or_create as load_or_create_keyring};
pub use own_writes::OwnWrites;
pub use record::Publisher;
pub use rights::Rights;
pub use secrets::Secrets;
pub use surroundings::Surroundings;
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
    pub recorder: Publisher,
    /// Settings that decisions depend on.
    pub settings: Arc<Settings>,
    /// How long a provider request may take; no token is asked for closer to the end of leadership.
    pub provider_timeout: Duration,
    /// The operator's own namespace.
    pub operator_namespace: String,
    /// Which namespaces folders may have.
    pub territory: Territory,
    /// Whether admission reviews who has a namespace adopted.
    pub adoptions_are_reviewed: bool,
    /// The role of owners of Personal folders, if it is installed.
    pub owner_role: Store<PartialObjectMeta<ClusterRole>>,
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
    /// What stands around each Connection.
    pub surroundings: Arc<Surroundings>,
    /// ConsentRequests, as last seen.
    pub consents: Store<Guarded<ConsentRequest>>,
    /// Connections as they are this moment, for consents.
    pub snapshots: consent::Snapshots,
    /// Connections as this process left them, until the watch shows it.
    pub written: OwnWrites<Connection>,
    /// Secrets, as metadata; bodies are read by name when needed.
    pub secrets: Secrets,
    /// What passes over ProcessBindings share.
    pub binding: binding::Shared,
    /// Facts about token records that were opened before.
    pub records: KnownRecords,
}

impl Context {
    /// Waits until everything that a Connection may refer to has been read once; before, all would seem to be missing.
    pub async fn is_read(&self) -> bool {
        tokio::try_join!(
            self.connectors.wait_until_ready(),
            self.folders.wait_until_ready(),
            self.secrets.wait_until_read(),
            self.consents.wait_until_ready(),
            self.policies.wait_until_ready(),
            self.bindings.wait_until_ready(),
        )
        .is_ok()
    }
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
