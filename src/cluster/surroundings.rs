//! What stands around each Connection, kept from the watches, so that no pass has to search through all objects.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::api::{Connection, ProcessBinding};
use crate::domain::consumers::Consumers;
use crate::domain::neighbours::{Key, Neighbourhood, Neighbours};

use super::Guarded;
use super::watch::Follow;

/// Concerned connections that are taken together; each of them is looked at once.
const TOGETHER: usize = 1024;

/// What stands around each Connection.
pub struct Surroundings {
    connections: Mutex<Neighbourhood>,
    consumers: Mutex<Consumers>,
    concerned: mpsc::UnboundedSender<Key>,
}

impl Surroundings {
    /// Nothing is known yet. The stream names connections whose surroundings have changed. It takes no more memory than
    /// there are changes that nobody has looked at, and the passes take them as they come.
    pub fn new() -> (Arc<Self>, BoxStream<'static, ObjectRef<Guarded<Connection>>>) {
        let (concerned, receiver) = mpsc::unbounded_channel();
        let surroundings = Self { connections: Mutex::default(), consumers: Mutex::default(), concerned };
        let changed = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|key: Key| (key, receiver))
        })
        .ready_chunks(TOGETHER)
        .flat_map(|keys| {
            let keys: BTreeSet<_> = keys.into_iter().collect();
            stream::iter(keys.into_iter().map(|key| ObjectRef::new(&key.name).within(&key.namespace)))
        });
        (Arc::new(surroundings), changed.boxed())
    }

    /// What the objects around a Connection mean for it.
    pub(super) fn of(&self, connection: &Connection) -> Neighbours {
        let neighbours = locked(&self.connections).of(connection);
        let key = Key { namespace: connection.namespace().unwrap_or_default(), name: connection.name_any() };
        let uid = connection.metadata.uid.as_deref().unwrap_or_default();
        Neighbours { consumers: locked(&self.consumers).of(&key, uid), ..neighbours }
    }

    fn tell(&self, concerned: Vec<Key>) {
        for key in concerned {
            // Nobody listens any more while everything stops.
            let _ = self.concerned.send(key);
        }
    }
}

impl Follow<Connection> for Surroundings {
    fn see(&self, key: &Key, connection: Option<&Connection>) {
        let concerned = locked(&self.connections).see(key, connection);
        self.tell(concerned);
    }

    fn keep(&self, listed: &HashSet<Key>) {
        let concerned = locked(&self.connections).keep(listed);
        self.tell(concerned);
    }
}

impl Follow<ProcessBinding> for Surroundings {
    fn see(&self, key: &Key, binding: Option<&ProcessBinding>) {
        let concerned = locked(&self.consumers).see(key, binding);
        self.tell(concerned);
    }

    fn keep(&self, listed: &HashSet<Key>) {
        let concerned = locked(&self.consumers).keep(listed);
        self.tell(concerned);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
