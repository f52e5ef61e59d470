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
    let (store, writer) = store();
    let changes = watch(api, config())
        .modify(|object: &mut Guarded<K>| object.managed_fields_mut().clear())
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
    /// All objects have been seen.
    fn complete(&self) {}
}

/// Watches a kind of ours like `objects`. The follower sees each object before the passes that it causes.
pub fn followed<K>(api: Api<Guarded<K>>, follower: Arc<impl Follow<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = store();
    let changes = watch(api, config())
        .modify(|object: &mut Guarded<K>| object.managed_fields_mut().clear())
        .default_backoff()
        .reflect(writer)
        .inspect(told_to(follower))
        .touched_objects()
        .boxed();
    Watched { store, changes }
}

/// The same without a store, where the follower keeps all that is needed.
pub fn only_followed<K>(api: Api<Guarded<K>>, follower: Arc<impl Follow<K>>) -> Changes<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watch(api, config()).default_backoff().inspect(told_to(follower)).touched_objects().boxed()
}

fn told_to<K>(
    follower: Arc<impl Follow<K>>,
) -> impl FnMut(&Result<watcher::Event<Guarded<K>>, watcher::Error>) + Send + 'static
where
    K: Resource<DynamicType = ()> + 'static,
{
    let mut known = Known::default();
    move |event| {
        if let Ok(event) = event {
            known.follow(&*follower, event);
        }
    }
}

/// What one watch has shown. A list after a break tells what went meanwhile only by what is not in it.
#[derive(Default)]
struct Known {
    keys: HashSet<Key>,
    listed: HashSet<Key>,
}

impl Known {
    fn follow<K>(&mut self, follower: &impl Follow<K>, event: &watcher::Event<Guarded<K>>)
    where
        K: Resource<DynamicType = ()>,
    {
        let key = |object: &Guarded<K>| Key {
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        };
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(object) => {
                follower.see(&key(object), object.0.as_ref().ok());
                self.listed.insert(key(object));
            }
            watcher::Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.keys.difference(&listed).for_each(|gone| follower.see(gone, None));
                self.keys = listed;
                follower.complete();
            }
            watcher::Event::Apply(object) => {
                follower.see(&key(object), object.0.as_ref().ok());
                self.keys.insert(key(object));
            }
            watcher::Event::Delete(object) => {
                follower.see(&key(object), None);
                self.keys.remove(&key(object));
            }
        }
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

/// Reads a watch into its store for as long as the tasks live, and tells what is gone.
pub(super) fn kept<K>(
    watched: Watched<Guarded<K>>,
    tasks: &mut JoinSet<()>,
    forget: impl Fn(&Guarded<K>) + Send + 'static,
) -> Store<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (mut changes, store) = (watched.changes, watched.store.clone());
    tasks.spawn(async move {
        while let Some(change) = changes.next().await {
            match change {
                Ok(object) if store.get(&ObjectRef::from_obj(&object)).is_none() => forget(&object),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a watch was interrupted and is begun again");
                }
            }
        }
    });
    watched.store
}

/// Reads a watch whose follower keeps what is needed.
pub fn drained<K: Send + 'static>(mut changes: Changes<K>, tasks: &mut JoinSet<()>) {
    tasks.spawn(async move {
        while let Some(change) = changes.next().await {
            if let Err(error) = change {
                tracing::warn!(%error, "a watch for admission was interrupted and is begun again");
            }
        }
    });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use kube::core::DeserializeGuard;

    use super::*;
    use crate::api::ConnectionSpec;

    #[derive(Default)]
    struct Notes(Mutex<BTreeMap<String, bool>>);

    impl Follow<Connection> for Notes {
        fn see(&self, key: &Key, object: Option<&Connection>) {
            self.0.lock().unwrap().insert(key.name.clone(), object.is_some());
        }
    }

    fn object(name: &str) -> Guarded<Connection> {
        DeserializeGuard(Ok(Connection::new(name, ConnectionSpec::default())))
    }

    #[test]
    fn a_follower_learns_what_went_while_the_watch_was_interrupted() {
        use watcher::Event;
        let (notes, mut known) = (Notes::default(), Known::default());
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(object("b")),
            Event::InitDone,
            Event::Apply(object("c")),
            Event::Apply(object("d")),
            Event::Delete(object("d")),
        ] {
            known.follow(&notes, &event);
        }
        let all = |notes: &Notes| notes.0.lock().unwrap().clone().into_iter().collect::<Vec<_>>();
        let expected =
            |names: [(&str, bool); 4]| names.map(|(name, there)| (name.to_owned(), there)).to_vec();
        assert_eq!(all(&notes), expected([("a", true), ("b", true), ("c", true), ("d", false)]));

        for event in [Event::Init, Event::InitApply(object("b")), Event::InitDone] {
            known.follow(&notes, &event);
        }
        assert_eq!(all(&notes), expected([("a", false), ("b", true), ("c", false), ("d", false)]));
    }
}
