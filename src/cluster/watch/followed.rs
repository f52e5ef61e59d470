//! Watches whose objects somebody else keeps something of.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::domain::folder::Territory;
use crate::domain::neighbours::Key;

use super::{Changes, Guarded, Places, Watched, config, events, stored};

/// Who keeps something of every object of a kind.
pub trait Follow<K>: Send + Sync + 'static {
    /// The object is like this now; nothing where it is gone, or does not fit its kind.
    fn see(&self, key: &Key, object: Option<&K>);
    /// All objects have been seen.
    fn complete(&self) {}
}

/// Watches a kind of ours like `objects_in`. The follower sees each object before the passes that it causes.
pub fn followed<K>(
    client: &Client,
    territory: &Territory,
    follower: Arc<impl Follow<K>>,
) -> Watched<Guarded<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    stored(|store| events(Places::of(client, territory), &config(), store).inspect(told_to(follower)))
}

/// The same without a store, where the follower keeps all that is needed. Watches of several namespaces need one.
pub fn only_followed<K>(
    client: &Client,
    territory: &Territory,
    follower: Arc<impl Follow<K>>,
) -> Changes<Guarded<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    if territory.namespaces.is_some() {
        return followed(client, territory, follower).changes;
    }
    let everywhere = watcher(Api::all(client.clone()), config()).default_backoff();
    everywhere.inspect(told_to(follower)).touched_objects().boxed()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use kube::core::DeserializeGuard;

    use super::*;
    use crate::api::{Connection, ConnectionSpec};

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
