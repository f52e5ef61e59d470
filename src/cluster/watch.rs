//! Watches: one stream per kind feeds both a store to read from and the passes that it causes. An object that does
//! not fit its kind is kept as such and never stops the others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

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
use tokio::task::JoinSet;

use crate::api::consent_request::Phase;
use crate::api::names::{BINDING_LABEL, CREDENTIALS_LABEL, TOKEN_LABEL};
use crate::api::{Connection, ConsentRequest, Folder, ProcessBinding};
use crate::domain::binding;
use crate::domain::connection::refers_to_secret;
use crate::domain::neighbours::Key;

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
pub(super) const PAGE_SIZE: u32 = 100;

fn config() -> Config {
    Config::default().page_size(PAGE_SIZE)
}

/// Watches a kind of ours.
pub fn objects<K>(api: Api<Guarded<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    reduced(api, |_| {})
}

/// The same with less of each object kept.
pub fn reduced<K>(
    api: Api<Guarded<K>>,
    reduce: impl Fn(&mut K) + Clone + Send + 'static,
) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = store();
    let changes = watch(api, config())
        .modify(move |object: &mut Guarded<K>| {
            object.managed_fields_mut().clear();
            if let Ok(object) = &mut object.0 {
                reduce(object);
            }
        })
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .boxed();
    Watched { store, changes }
}

/// Who keeps something of every object of a kind.
pub trait Follow<K>: Send + Sync + 'static {
    /// The object is like this now; nothing where it is gone, or does not fit its kind.
    fn see(&self, key: &Key, object: Option<&K>);
    /// There are these objects and no others, after a time in which the watch saw nothing.
    fn keep(&self, listed: &HashSet<Key>);
}

/// Watches a kind of ours like `objects`. The follower sees each object before the passes that it causes.
pub fn followed<K>(api: Api<Guarded<K>>, follower: Arc<impl Follow<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = store();
    let mut listed = HashSet::new();
    let changes = watch(api, config())
        .modify(|object: &mut Guarded<K>| object.managed_fields_mut().clear())
        .default_backoff()
        .reflect(writer)
        .inspect(move |event| {
            if let Ok(event) = event {
                follow(&*follower, event, &mut listed);
            }
        })
        .touched_objects()
        .boxed();
    Watched { store, changes }
}

fn follow<K>(follower: &impl Follow<K>, event: &watcher::Event<Guarded<K>>, listed: &mut HashSet<Key>)
where
    K: Resource<DynamicType = ()>,
{
    let key = |object: &Guarded<K>| Key {
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        name: object.meta().name.clone().unwrap_or_default(),
    };
    match event {
        watcher::Event::Init => listed.clear(),
        watcher::Event::InitApply(object) => {
            follower.see(&key(object), object.0.as_ref().ok());
            listed.insert(key(object));
        }
        watcher::Event::InitDone => follower.keep(&std::mem::take(listed)),
        watcher::Event::Apply(object) => follower.see(&key(object), object.0.as_ref().ok()),
        watcher::Event::Delete(object) => follower.see(&key(object), None),
    }
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
pub fn labelled<K>(api: Api<PartialObjectMeta<K>>, selector: &str) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
{
    metadata(api, config().labels(selector))
}

/// Watches the objects of one name, as metadata only; RBAC can allow it for that name.
pub fn named<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
{
    metadata(api, config().fields(&format!("metadata.name={name}")))
}

fn metadata<K>(api: Api<PartialObjectMeta<K>>, config: Config) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
{
    let (store, writer) = store();
    let changes = watch(api, config)
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

/// Reads a watch into its store for as long as the tasks live, and tells of each change, and whether the object is gone.
pub(super) fn kept<K>(
    watched: Watched<Guarded<K>>,
    tasks: &mut JoinSet<()>,
    tell: impl Fn(&Guarded<K>, bool) + Send + 'static,
) -> Store<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (mut changes, store) = (watched.changes, watched.store.clone());
    tasks.spawn(async move {
        while let Some(change) = changes.next().await {
            match change {
                Ok(object) => tell(&object, store.get(&ObjectRef::from_obj(&object)).is_none()),
                Err(error) => tracing::warn!(%error, "a watch was interrupted and is begun again"),
            }
        }
    });
    watched.store
}

/// Selects the Secrets whose owners allow their use.
pub fn credentials_selector() -> String {
    format!("{CREDENTIALS_LABEL}=true")
}

/// Selects the Secrets that hold token records.
pub fn tokens_selector() -> String {
    TOKEN_LABEL.to_owned()
}

/// Selects the Secrets that bindings made.
pub fn outputs_selector() -> String {
    BINDING_LABEL.to_owned()
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

/// Connections in the namespace that a Folder asks for.
pub fn connections_of_folder(
    connections: &Store<Guarded<Connection>>,
    folder: &Guarded<Folder>,
) -> Concerned<Connection> {
    let Ok(folder) = &folder.0 else { return Vec::new() };
    let namespace = Some(folder.namespace_name());
    connections_where(connections, |connection| connection.metadata.namespace.as_deref() == namespace)
}

/// Connections that read a Secret.
pub fn connections_of_secret(
    connections: &Store<Guarded<Connection>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<Connection> {
    let (name, namespace) = (secret.name_any(), secret.meta().namespace.clone());
    connections_where(connections, |connection| {
        connection.metadata.namespace == namespace && refers_to_secret(connection, &name)
    })
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

/// ProcessBindings for which `concerned` says yes.
pub fn bindings_where(
    bindings: &Store<Guarded<ProcessBinding>>,
    concerned: impl Fn(&ProcessBinding) -> bool,
) -> Concerned<ProcessBinding> {
    bindings
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(&concerned))
        .map(|object| object.to_object_ref(()))
        .collect()
}

/// ProcessBindings whose processes use a Connection, or might.
pub fn bindings_of_connection(
    bindings: &Store<Guarded<ProcessBinding>>,
    connection: &Guarded<Connection>,
) -> Concerned<ProcessBinding> {
    let Ok(connection) = &connection.0 else { return Vec::new() };
    bindings_where(bindings, |binding| binding::concerns(binding, connection))
}

/// ProcessBindings of connections that read a Secret.
pub fn bindings_of_credentials(
    bindings: &Store<Guarded<ProcessBinding>>,
    connections: &Store<Guarded<Connection>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<ProcessBinding> {
    let using = connections_of_secret(connections, secret);
    let using: Vec<_> = using.iter().filter_map(|reference| connections.get(reference)).collect();
    bindings_where(bindings, |one| {
        using.iter().any(|connection| {
            connection.0.as_ref().is_ok_and(|connection| binding::concerns(one, connection))
        })
    })
}

/// The ProcessBinding that made a Secret, and those that would have a Secret of its name.
pub fn bindings_of_output(
    bindings: &Store<Guarded<ProcessBinding>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<ProcessBinding> {
    let (maker, namespace, name) =
        (secret.labels().get(BINDING_LABEL), &secret.metadata.namespace, &secret.metadata.name);
    bindings_where(bindings, |binding| {
        binding.metadata.namespace == *namespace
            && (binding.metadata.uid.as_ref() == maker || binding.spec.secret_name == *name)
    })
}

/// ProcessBindings in the namespace that a Folder asks for.
pub fn bindings_of_folder(
    bindings: &Store<Guarded<ProcessBinding>>,
    folder: &Guarded<Folder>,
) -> Concerned<ProcessBinding> {
    let Ok(folder) = &folder.0 else { return Vec::new() };
    let namespace = Some(folder.namespace_name());
    bindings_where(bindings, |binding| binding.metadata.namespace.as_deref() == namespace)
}
