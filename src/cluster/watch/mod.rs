//! Watches: one stream per kind feeds both a store to read from and the passes that it causes. An object that does
//! not fit its kind is kept as such and never stops the others.

mod concerned;
mod followed;
mod merged;
mod written;

use std::fmt::Debug;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::core::{ClusterResourceScope, DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Config};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::names::{BINDING_LABEL, CREDENTIALS_LABEL, FOLDER_LABEL, TOKEN_LABEL};
use crate::domain::folder::Territory;

use merged::merged;

pub use concerned::*;
pub use followed::{Follow, followed, only_followed};
pub(super) use merged::is_forbidden;
pub use written::written;

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

/// Where a kind is watched.
pub(super) enum Places<K> {
    /// By one watch.
    All(Box<Api<K>>),
    /// By a watch each.
    Each(Vec<Api<K>>),
}

impl<K> Places<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    /// The namespaces that the operator works in.
    pub(super) fn of(client: &Client, territory: &Territory) -> Self {
        Self::with(client, territory, None)
    }

    /// Each of them.
    pub(super) fn apis(self) -> Vec<Api<K>> {
        match self {
            Self::All(api) => vec![*api],
            Self::Each(apis) => apis,
        }
    }

    fn with(client: &Client, territory: &Territory, more: Option<&str>) -> Self {
        match &territory.namespaces {
            None => Self::All(Box::new(Api::all(client.clone()))),
            Some(namespaces) => {
                let names = namespaces.iter().map(String::as_str).chain(more);
                Self::Each(names.map(|name| Api::namespaced(client.clone(), name)).collect())
            }
        }
    }
}

/// Everything that happens in all places; the store is the one that is filled by it.
fn events<K>(
    places: Places<K>,
    config: &Config,
    store: &Store<K>,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let one = |api: Api<K>| watch(api, config.clone()).default_backoff().boxed();
    let events = match places {
        Places::All(api) => one(*api),
        Places::Each(apis) => merged(apis.into_iter().map(one).collect(), store.clone()).boxed(),
    };
    events.modify(|object: &mut K| object.managed_fields_mut().clear())
}

/// A store with the events that fill it, which are told which one that is.
fn stored<K, S>(events: impl FnOnce(&Store<K>) -> S) -> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    let (store, writer) = store();
    let changes = events(&store).reflect(writer).touched_objects().boxed();
    Watched { store, changes }
}

fn watched<K>(places: Places<K>, config: &Config) -> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    stored(|store| events(places, config, store))
}

/// Watches a kind of ours that is for the whole cluster.
pub fn objects<K>(api: Api<Guarded<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watched(Places::All(Box::new(api)), &config())
}

/// Watches a kind of ours in the namespaces that the operator works in.
pub fn objects_in<K>(client: &Client, territory: &Territory) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watched(Places::of(client, territory), &config())
}

/// The same with less of each object kept.
pub fn reduced_in<K>(
    client: &Client,
    territory: &Territory,
    reduce: impl Fn(&mut K) + Clone + Send + 'static,
) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let reduced = move |object: &mut Guarded<K>| {
        if let Ok(object) = &mut object.0 {
            reduce(object);
        }
    };
    stored(|store| events(Places::of(client, territory), &config(), store).modify(reduced))
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

/// Watches Secrets with a label in the namespaces that the operator works in and in its own, as metadata only: bodies
/// are neither sent nor kept.
pub fn secrets(client: &Client, territory: &Territory, selector: &str) -> Watched<PartialObjectMeta<Secret>> {
    let places = Places::with(client, territory, Some(&territory.operator_namespace));
    watched(places, &config().labels(selector))
}

/// Watches the namespaces of folders, as metadata only.
pub fn namespaces(client: &Client, territory: &Territory) -> Watched<PartialObjectMeta<Namespace>> {
    let api = || Api::all(client.clone());
    let Some(names) = &territory.namespaces else {
        return watched(Places::All(Box::new(api())), &config().labels(FOLDER_LABEL));
    };
    let each = names.iter().map(|name| watch(api(), only(name)).default_backoff().boxed()).collect();
    let bare = |object: &mut PartialObjectMeta<Namespace>| object.managed_fields_mut().clear();
    stored(|store| merged(each, store.clone()).modify(bare))
}

/// Watches the object of one name of a kind that is for the whole cluster, as metadata only.
pub fn named<K>(client: &Client, name: &str) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + Debug + Send + Sync + 'static,
{
    watched(Places::All(Box::new(Api::all(client.clone()))), &only(name))
}

/// The same in the namespaces that the operator works in.
pub fn named_in<K>(client: &Client, territory: &Territory, name: &str) -> Watched<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + Send + Sync + 'static,
{
    watched(Places::of(client, territory), &only(name))
}

/// By its name, for which RBAC can allow it.
fn only(name: &str) -> Config {
    config().fields(&format!("metadata.name={name}"))
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

/// Reads a watch whose follower keeps what is needed.
pub(super) fn drained<K: Send + 'static>(mut changes: Changes<K>, tasks: &mut JoinSet<()>) {
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
