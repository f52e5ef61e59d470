//! Watches that tell what people write of a kind, and not the statuses that we write into it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::iter;
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::watcher::Event;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{Guarded, Places, Watched, config, events};

/// Watches a kind of ours that is for the whole cluster. Its store shows everything; its changes are objects that appear,
/// whose spec or labels change, or that go, each told once the store shows it.
pub fn written<K>(api: Api<Guarded<K>>) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut writer) = store();
    let (shown, mut news) = (store.clone(), News::default());
    let events = events(Places::All(Box::new(api)), &config(), &store);
    let changes = events.flat_map(move |told| {
        let told = told.map(|event| {
            let told = news.of(&event, |gone| shown.get(gone).map(Arc::unwrap_or_clone));
            writer.apply_watcher_event(&event);
            told
        });
        iter(match told {
            Ok(objects) => objects.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    });
    Watched { store, changes: changes.boxed() }
}

/// What a person writes of an object: which one it is, its spec, and its labels.
#[derive(Clone, PartialEq)]
struct Substance {
    uid: Option<String>,
    generation: Option<i64>,
    labels: Vec<(String, String)>,
}

impl Substance {
    fn of<K: Resource>(object: &K) -> Self {
        let labels = object.labels().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { uid: object.uid(), generation: object.meta().generation, labels }
    }
}

/// What one watch has told.
struct News<K: Resource<DynamicType = ()>> {
    known: HashMap<ObjectRef<K>, Substance>,
    /// The list that is being read.
    listed: HashMap<ObjectRef<K>, Substance>,
    /// What is new in it; the store shows none of it before the list is complete.
    held: Vec<K>,
}

impl<K: Resource<DynamicType = ()>> Default for News<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), listed: HashMap::new(), held: Vec::new() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> News<K> {
    /// The objects to tell of. `seen` gives one as it was before this event.
    fn of(&mut self, event: &Event<K>, seen: impl Fn(&ObjectRef<K>) -> Option<K>) -> Vec<K> {
        match event {
            Event::Init => {
                self.listed.clear();
                self.held.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (reference, substance) = (ObjectRef::from_obj(object), Substance::of(object));
                if self.known.get(&reference) != Some(&substance) {
                    self.held.push(object.clone());
                }
                self.listed.insert(reference, substance);
                Vec::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listed));
                // What went while the watch was interrupted shows only by not being in the list.
                let gone =
                    before.keys().filter(|reference| !self.known.contains_key(reference)).filter_map(seen);
                std::mem::take(&mut self.held).into_iter().chain(gone).collect()
            }
            Event::Apply(object) => {
                let (reference, substance) = (ObjectRef::from_obj(object), Substance::of(object));
                let before = self.known.insert(reference, substance.clone());
                if before.as_ref() == Some(&substance) { Vec::new() } else { vec![object.clone()] }
            }
            Event::Delete(object) => {
                self.known.remove(&ObjectRef::from_obj(object));
                vec![object.clone()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::connection_policy::{ConnectionPolicyStatus, Enforcement};
    use crate::api::{ConnectionPolicy, ConnectionPolicySpec};

    fn policy(name: &str, generation: i64) -> ConnectionPolicy {
        let mut policy = ConnectionPolicy::new(name, ConnectionPolicySpec::default());
        policy.metadata.uid = Some(format!("uid-{name}"));
        policy.metadata.generation = Some(generation);
        policy
    }

    fn with_status(mut policy: ConnectionPolicy, folders: i64) -> ConnectionPolicy {
        policy.status = Some(ConnectionPolicyStatus { folders: Some(folders), ..Default::default() });
        policy.metadata.resource_version = Some(folders.to_string());
        policy
    }

    /// Names of what is told of, event by event.
    fn told(news: &mut News<ConnectionPolicy>, events: &[Event<ConnectionPolicy>]) -> Vec<Vec<String>> {
        let seen = |reference: &ObjectRef<ConnectionPolicy>| Some(policy(&reference.name, 0));
        let told = |event: &Event<ConnectionPolicy>| {
            let mut names: Vec<_> = news.of(event, seen).iter().map(ResourceExt::name_any).collect();
            names.sort();
            names
        };
        events.iter().map(told).collect()
    }

    fn of(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn read(news: &mut News<ConnectionPolicy>) {
        let events = [
            Event::Init,
            Event::InitApply(policy("a", 1)),
            Event::InitApply(policy("b", 1)),
            Event::InitDone,
        ];
        let nobody = || of(&[]);
        assert_eq!(
            told(news, &events),
            [nobody(), nobody(), nobody(), of(&["a", "b"])],
            "once it is complete"
        );
    }

    #[test]
    fn a_status_that_is_written_is_not_told_of() {
        let mut news = News::default();
        read(&mut news);
        let events = [1, 2, 3].map(|folders| Event::Apply(with_status(policy("a", 1), folders)));
        assert_eq!(told(&mut news, &events), [of(&[]), of(&[]), of(&[])]);
    }

    #[test]
    fn a_spec_and_labels_that_change_and_what_comes_and_goes_are_told_of() {
        let mut news = News::default();
        read(&mut news);
        let mut changed = with_status(policy("a", 2), 1);
        changed.spec.enforcement = Some(Enforcement::Suspend);
        let mut labelled = changed.clone();
        labelled.metadata.labels = Some([("at".to_owned(), "x".to_owned())].into());
        let mut anew = policy("b", 1);
        anew.metadata.uid = Some("uid-anew".to_owned());
        let events = [
            Event::Apply(changed),
            Event::Apply(labelled.clone()),
            Event::Apply(labelled),
            Event::Delete(policy("b", 1)),
            Event::Apply(anew.clone()),
            Event::Apply(anew),
            Event::Apply(policy("c", 1)),
        ];
        let expected = [of(&["a"]), of(&["a"]), of(&[]), of(&["b"]), of(&["b"]), of(&[]), of(&["c"])];
        assert_eq!(told(&mut news, &events), expected);
    }

    #[test]
    fn what_changed_or_went_while_the_watch_was_interrupted_is_told_of_and_nothing_else() {
        let mut news = News::default();
        read(&mut news);
        told(&mut news, &[Event::Apply(policy("c", 1))]);
        let events = [
            Event::Init,
            Event::InitApply(policy("c", 1)),
            // The list breaks off, and is read anew.
            Event::Init,
            Event::InitApply(with_status(policy("a", 1), 7)),
            Event::InitApply(policy("c", 2)),
            Event::InitDone,
        ];
        let told = told(&mut news, &events);
        assert_eq!(told.last(), Some(&of(&["b", "c"])));
        assert!(told.iter().rev().skip(1).all(Vec::is_empty), "{told:?}");
    }
}
