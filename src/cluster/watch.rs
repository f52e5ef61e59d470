//! Watches: one stream per kind feeds both a store to read from and the passes that it causes. An object that does
//! not fit its kind is kept as such and never stops the others.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{Lookup, ObjectRef, Store, store};
use kube::runtime::watcher::{self, Config};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::api::connection_policy::ConnectorDefaults;
use crate::api::consent_request::Phase;
use crate::api::names::{CREDENTIALS_LABEL, TOKEN_LABEL};
use crate::api::{Connection, ConnectionPolicy, ConsentRequest, Folder, ProcessBinding};
use crate::domain::connection::refers_to_secret;
use crate::domain::policy;

/// An object of a kind, or the reason why what is stored does not fit it.
pub type Guarded<K> = DeserializeGuard<K>;

/// Objects that appeared, changed or went.
pub type Changes<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// A kind that is watched.
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    /// The objects, as last seen. It fills while `changes` is read.
    pub store: Store<K>,
    /// What happens to them.
    pub changes: Changes<K>,
}

/// Objects per page of the first list; bounds memory while many are read.
const PAGE_SIZE: u32 = 100;

fn config() -> Config {
    Config::default().page_size(PAGE_SIZE)
}

/// Watches a kind of ours.
pub fn objects<K>(api: Api<Guarded<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = store();
    let changes = watch(api, config())
        .modify(|object: &mut Guarded<K>| object.managed_fields_mut().clear())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .boxed();
    Watched { store, changes }
}

/// Only changes that a decision can depend on: the spec, annotations, finalizers and deletion; not a status that we
/// wrote ourselves.
pub fn relevant<K>(
    changes: Changes<Guarded<K>>,
) -> impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    use predicates::{annotations, finalizers, generation};
    changes.predicate_filter(generation.combine(annotations).combine(finalizers), PredicateConfig::default())
}

/// Watches objects of any kind with a label, as metadata only: bodies are neither sent nor kept.
pub fn metadata<K>(api: Api<PartialObjectMeta<K>>, selector: &str) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
{
    let (store, writer) = store();
    let changes = watch(api, config().labels(selector))
        .modify(|object: &mut PartialObjectMeta<K>| object.managed_fields_mut().clear())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .boxed();
    Watched { store, changes }
}

/// How many pending passes a watch may cause before it waits; bounds memory in a storm of changes.
const PENDING: usize = 1024;

/// Reads a watch to its end in a task of its own, and sends whom each change concerns. So a store fills whether or
/// not the passes that it causes have begun.
pub fn forward<K, T>(
    mut changes: Changes<K>,
    concerned: impl Fn(&K) -> Concerned<T> + Send + 'static,
) -> BoxStream<'static, ObjectRef<Guarded<T>>>
where
    K: Send + 'static,
    T: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(PENDING);
    tokio::spawn(async move {
        while let Some(touched) = changes.next().await {
            match touched {
                Ok(object) => {
                    for reference in concerned(&object) {
                        if sender.send(reference).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "a watch was interrupted and is begun again"),
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|reference| (reference, receiver))
    })
    .boxed()
}

/// Selects the Secrets whose owners allow their use.
pub fn credentials_selector() -> String {
    format!("{CREDENTIALS_LABEL}=true")
}

/// Selects the Secrets that hold token records.
pub fn tokens_selector() -> String {
    TOKEN_LABEL.to_owned()
}

/// Names of objects that a change of another object concerns.
pub type Concerned<K> = Vec<ObjectRef<Guarded<K>>>;

fn connections_where(
    connections: &Store<Guarded<Connection>>,
    concerned: impl Fn(&Connection) -> bool,
) -> Concerned<Connection> {
    connections
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(&concerned))
        .map(|object| object.to_object_ref(()))
        .collect()
}

/// Connections that use a Connector.
pub fn connections_of_connector(
    connections: &Store<Guarded<Connection>>,
    connector: &str,
) -> Concerned<Connection> {
    connections_where(connections, |connection| connection.spec.connector_ref.name == connector)
}

/// Connections in the namespace that a Folder asks for; where there are policies, also those of the folders below it,
/// because these are selected by what stands above.
pub fn connections_of_folder(
    connections: &Store<Guarded<Connection>>,
    folders: &Store<Guarded<Folder>>,
    policies: &Store<Guarded<ConnectionPolicy>>,
    folder: &Guarded<Folder>,
) -> Concerned<Connection> {
    let name = folder.name_any();
    let mut namespaces: BTreeSet<String> =
        folder.0.iter().map(|folder| folder.namespace_name().to_owned()).collect();
    if !policies.state().is_empty() {
        let folders = folders.state();
        let folders: Vec<&Folder> = folders.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        let below = policy::below(&name, &folders);
        namespaces.extend(below.iter().map(|folder| folder.namespace_name().to_owned()));
    }
    connections_where(connections, |connection| {
        connection.metadata.namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace))
    })
}

/// Connections that read a Secret: those that name it themselves, and where it lies in the operator's namespace, those on
/// the Connectors that a policy lends it to.
pub fn connections_of_secret(
    connections: &Store<Guarded<Connection>>,
    policies: &Store<Guarded<ConnectionPolicy>>,
    operator_namespace: &str,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<Connection> {
    let (name, namespace) = (secret.name_any(), secret.meta().namespace.clone());
    let lent_to = if namespace.as_deref() == Some(operator_namespace) {
        policies
            .state()
            .iter()
            .filter_map(|object| object.0.as_ref().ok())
            .flat_map(|policy| lent_to(policy, &name))
            .collect()
    } else {
        BTreeSet::new()
    };
    connections_where(connections, |connection| {
        let names_it = connection.metadata.namespace == namespace && refers_to_secret(connection, &name);
        names_it || lent_to.contains(&connection.spec.connector_ref.name)
    })
}

/// Connectors to which a policy lends a Secret.
fn lent_to(policy: &ConnectionPolicy, secret: &str) -> Vec<String> {
    let names_it = |entry: &&ConnectorDefaults| entry.secrets().any(|name| name == secret);
    policy.spec.defaults.iter().filter(names_it).map(|entry| entry.connector.clone()).collect()
}

/// The Connection whose token record a Secret holds.
pub fn connection_of_token(
    connections: &Store<Guarded<Connection>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<Connection> {
    let owner = secret.labels().get(TOKEN_LABEL);
    let namespace = secret.meta().namespace.clone();
    connections_where(connections, |connection| {
        connection.metadata.namespace == namespace && connection.metadata.uid.as_ref() == owner
    })
}

/// The Connection whose consent came to nothing. What a consent brings about otherwise shows in the token's Secret.
pub fn connection_of_consent(
    connections: &Store<Guarded<Connection>>,
    request: &Guarded<ConsentRequest>,
) -> Concerned<Connection> {
    let Ok(request) = &request.0 else { return Vec::new() };
    if request.status.as_ref().and_then(|status| status.phase) != Some(Phase::Failed) {
        return Vec::new();
    }
    connections_where(connections, |connection| {
        connection.metadata.namespace == request.metadata.namespace
            && connection.metadata.uid.as_ref() == Some(&request.spec.connection_ref.uid)
    })
}

/// All Connections: which of them a policy governs depends on the folder tree.
pub fn all_connections(connections: &Store<Guarded<Connection>>) -> Concerned<Connection> {
    connections_where(connections, |_| true)
}

/// The Connection that a `ProcessBinding` has bound.
pub fn connections_of_binding(
    connections: &Store<Guarded<Connection>>,
    binding: &Guarded<ProcessBinding>,
) -> Concerned<Connection> {
    let bound = binding.0.as_ref().ok().and_then(|binding| binding.status.as_ref()?.connection.as_ref());
    let Some(bound) = bound else { return Vec::new() };
    vec![ObjectRef::new(&bound.name).within(&bound.namespace)]
        .into_iter()
        .filter(|reference| connections.get(reference).is_some())
        .collect()
}

/// All policies: what they name are folders, Connectors and Secrets.
pub fn all_policies(policies: &Store<Guarded<ConnectionPolicy>>) -> Concerned<ConnectionPolicy> {
    policies.state().iter().map(|object| object.to_object_ref(())).collect()
}

/// All folders; a folder's path and its claim to a namespace depend on the others.
pub fn all_folders(folders: &Store<Guarded<Folder>>) -> Concerned<Folder> {
    folders.state().iter().map(|object| object.to_object_ref(())).collect()
}

/// Folders that ask for a namespace.
pub fn folders_of_namespace(folders: &Store<Guarded<Folder>>, namespace: &str) -> Concerned<Folder> {
    folders
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(|folder| folder.namespace_name() == namespace))
        .map(|object| object.to_object_ref(()))
        .collect()
}
