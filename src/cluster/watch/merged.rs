//! Watches of several namespaces as one: what comes out is what one watch of all of them would tell.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{BoxStream, iter, select_all};
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Error, Event};

/// What a watch tells.
type Told<K> = Result<Event<K>, Error>;

/// Merges watches; the store is the one that is filled by what comes out.
pub(super) fn merged<K>(
    watches: Vec<BoxStream<'static, Told<K>>>,
    store: Store<K>,
) -> impl Stream<Item = Told<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut merge = Merge::of(watches.len());
    let numbered =
        watches.into_iter().enumerate().map(|(source, watch)| watch.map(move |told| (source, told)).boxed());
    select_all(numbered).flat_map(move |(source, told)| {
        iter(merge.step(source, told, |gone| store.get(gone).map(Arc::unwrap_or_clone)))
    })
}

/// One namespace.
struct Source<K: Resource<DynamicType = ()>> {
    /// What is there.
    known: HashSet<ObjectRef<K>>,
    /// What the list that is being read has shown so far.
    listed: HashSet<ObjectRef<K>>,
    /// Whether it was read once, or cannot be read.
    settled: bool,
}

/// Until all namespaces have been read, their objects are gathered; then they come out as one list. A list that is read
/// anew later comes out as single changes, because the others' objects stay.
struct Merge<K: Resource<DynamicType = ()>> {
    sources: Vec<Source<K>>,
    gathered: Option<HashMap<ObjectRef<K>, K>>,
}

impl<K: Resource<DynamicType = ()> + Clone> Merge<K> {
    fn of(count: usize) -> Self {
        let source = || Source { known: HashSet::new(), listed: HashSet::new(), settled: false };
        Self { sources: (0..count).map(|_| source()).collect(), gathered: Some(HashMap::new()) }
    }

    /// What comes out for what one namespace tells. `seen` gives an object as it last came out.
    fn step(
        &mut self,
        source: usize,
        told: Told<K>,
        seen: impl Fn(&ObjectRef<K>) -> Option<K>,
    ) -> Vec<Told<K>> {
        let Some(from) = self.sources.get_mut(source) else { return Vec::new() };
        match told {
            Ok(Event::Init) => {
                from.listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                from.listed.insert(ObjectRef::from_obj(&object));
                from.known.insert(ObjectRef::from_obj(&object));
                self.appeared(object)
            }
            Ok(Event::InitDone) => {
                let gone: Vec<_> = from.known.difference(&from.listed).cloned().collect();
                from.known = std::mem::take(&mut from.listed);
                from.settled = true;
                let gone = gone.iter().filter_map(|gone| self.went(gone, &seen)).collect::<Vec<_>>();
                gone.into_iter().chain(self.complete()).collect()
            }
            Ok(Event::Apply(object)) => {
                from.known.insert(ObjectRef::from_obj(&object));
                self.appeared(object)
            }
            Ok(Event::Delete(object)) => {
                let reference = ObjectRef::from_obj(&object);
                from.known.remove(&reference);
                self.went(&reference, |_| Some(object.clone())).into_iter().collect()
            }
            Err(error) => {
                // Others do not wait for a namespace that is not there or that nobody has opened to the operator.
                from.settled |= is_forbidden(&error);
                self.complete().into_iter().chain([Err(error)]).collect()
            }
        }
    }

    fn appeared(&mut self, object: K) -> Vec<Told<K>> {
        match &mut self.gathered {
            Some(gathered) => {
                gathered.insert(ObjectRef::from_obj(&object), object);
                Vec::new()
            }
            None => vec![Ok(Event::Apply(object))],
        }
    }

    fn went(&mut self, gone: &ObjectRef<K>, seen: impl Fn(&ObjectRef<K>) -> Option<K>) -> Option<Told<K>> {
        match &mut self.gathered {
            Some(gathered) => {
                gathered.remove(gone);
                None
            }
            None => seen(gone).map(|object| Ok(Event::Delete(object))),
        }
    }

    /// The one list, as soon as every namespace was read.
    fn complete(&mut self) -> Vec<Told<K>> {
        if !self.sources.iter().all(|source| source.settled) {
            return Vec::new();
        }
        let Some(gathered) = self.gathered.take() else { return Vec::new() };
        let objects = gathered.into_values().map(|object| Ok(Event::InitApply(object)));
        [Ok(Event::Init)].into_iter().chain(objects).chain([Ok(Event::InitDone)]).collect()
    }
}

/// Whether a namespace is closed to the operator.
pub(in crate::cluster) fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use kube::core::Status;
    use kube::runtime::WatchStreamExt;
    use kube::runtime::reflector::store;
    use proptest::prelude::*;

    use super::*;

    fn secret(namespace: usize, name: &str) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some(format!("n{namespace}"));
        secret.metadata.name = Some(name.to_owned());
        secret
    }

    fn forbidden() -> Error {
        let status = Status::failure("no", "Forbidden").with_code(403);
        Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    /// What the store holds after these, and which objects were told of.
    fn after(told: Vec<Vec<Told<Secret>>>) -> (Store<Secret>, Vec<String>, bool) {
        let (read, writer) = store();
        // A watch does not end.
        let watches =
            told.into_iter().map(|told| iter(told).chain(futures::stream::pending()).boxed()).collect();
        let mut changes = merged(watches, read.clone()).reflect(writer).touched_objects().boxed();
        let mut touched = Vec::new();
        while let Some(change) = futures::FutureExt::now_or_never(changes.next()) {
            if let Some(Ok(object)) = change {
                touched.push(object.name_any());
            }
        }
        let ready = futures::FutureExt::now_or_never(read.wait_until_ready()).is_some();
        (read, touched, ready)
    }

    fn names(store: &Store<Secret>) -> Vec<String> {
        let names: BTreeSet<_> = store.state().iter().map(|object| object.name_any()).collect();
        names.into_iter().collect()
    }

    #[test]
    fn nothing_is_complete_before_every_namespace_was_read() {
        let read = |name| vec![Ok(Event::Init), Ok(Event::InitApply(secret(0, name))), Ok(Event::InitDone)];
        let (held, touched, ready) = after(vec![read("a"), vec![Ok(Event::Init)]]);
        assert_eq!((names(&held), touched, ready), (vec![], vec![], false));
        let (held, touched, ready) = after(vec![read("a"), read("b")]);
        assert_eq!((names(&held), touched.len(), ready), (vec!["a".to_owned(), "b".to_owned()], 2, true));
    }

    #[test]
    fn a_namespace_that_is_closed_to_the_operator_holds_nobody_up_and_follows_once_it_is_opened() {
        let read = vec![Ok(Event::Init), Ok(Event::InitApply(secret(0, "a"))), Ok(Event::InitDone)];
        let (held, _, ready) = after(vec![read.clone_told(), vec![Ok(Event::Init), Err(forbidden())]]);
        assert_eq!((names(&held), ready), (vec!["a".to_owned()], true));
        let later = vec![
            Ok(Event::Init),
            Err(forbidden()),
            Ok(Event::Init),
            Ok(Event::InitApply(secret(1, "b"))),
            Ok(Event::InitDone),
        ];
        let (held, touched, _) = after(vec![read.clone_told(), later]);
        assert_eq!(names(&held), ["a", "b"]);
        assert!(touched.contains(&"b".to_owned()));
        // Any other fault may be over in a moment.
        let failed =
            Error::InitialListFailed(kube::Error::Api(Box::new(Status::failure("no", "x").with_code(500))));
        assert!(!after(vec![read, vec![Ok(Event::Init), Err(failed)]]).2);
    }

    #[test]
    fn a_list_that_is_read_anew_tells_what_is_gone_and_leaves_the_others_alone() {
        let elsewhere = vec![Ok(Event::Init), Ok(Event::InitApply(secret(1, "b"))), Ok(Event::InitDone)];
        let here = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(secret(0, "a"))),
            Ok(Event::InitApply(secret(0, "gone"))),
            Ok(Event::InitDone),
            Ok(Event::Init),
            Ok(Event::InitApply(secret(0, "a"))),
            Ok(Event::InitApply(secret(0, "new"))),
            Ok(Event::InitDone),
        ];
        let (held, touched, _) = after(vec![elsewhere, here]);
        assert_eq!(names(&held), ["a", "b", "new"]);
        assert!(touched.contains(&"new".to_owned()), "{touched:?}");
    }

    trait CloneTold {
        fn clone_told(&self) -> Vec<Told<Secret>>;
    }

    impl CloneTold for Vec<Told<Secret>> {
        fn clone_told(&self) -> Vec<Told<Secret>> {
            self.iter().map(|told| Ok(told.as_ref().ok().cloned().unwrap_or(Event::Init))).collect()
        }
    }

    /// What one namespace goes through: each list is read to its end, then single changes follow.
    type History = Vec<(Vec<u8>, Vec<(bool, u8)>)>;

    fn histories() -> impl Strategy<Value = Vec<History>> {
        let list = prop::collection::vec(0_u8..4, 0..4);
        let changes = prop::collection::vec((any::<bool>(), 0_u8..4), 0..4);
        prop::collection::vec(prop::collection::vec((list, changes), 1..4), 1..4)
    }

    proptest! {
        #[test]
        fn the_store_holds_what_the_namespaces_hold(histories in histories()) {
            let mut expected = BTreeSet::new();
            let mut told = Vec::new();
            for (namespace, history) in histories.iter().enumerate() {
                let (mut held, mut events) = (BTreeSet::new(), Vec::new());
                for (list, changes) in history {
                    held = list.iter().copied().collect();
                    events.push(Ok(Event::Init));
                    events.extend(list.iter().map(|name| Ok(Event::InitApply(secret(namespace, &name.to_string())))));
                    events.push(Ok(Event::InitDone));
                    for (appears, name) in changes {
                        let object = secret(namespace, &name.to_string());
                        if *appears {
                            held.insert(*name);
                            events.push(Ok(Event::Apply(object)));
                        } else if held.remove(name) {
                            events.push(Ok(Event::Delete(object)));
                        }
                    }
                }
                expected.extend(held.into_iter().map(|name| (format!("n{namespace}"), name.to_string())));
                told.push(events);
            }
            let (held, _, ready) = after(told);
            let held: BTreeSet<_> = held
                .state()
                .iter()
                .map(|object| (object.namespace().unwrap_or_default(), object.name_any()))
                .collect();
            prop_assert!(ready);
            prop_assert_eq!(held, expected);
        }
    }
}
