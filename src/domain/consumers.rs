//! The processes that use a Connection, and what its deletion would mean for them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::api::ProcessBinding;
use crate::api::connection::ConsumersStatus;
use crate::api::names::CONFIRM_DELETE_ANNOTATION;

use super::conditions::{self, ConditionType};
use super::neighbours::Key;
use super::reason::Reason;

/// Most names that a status lists.
const LISTED: usize = 16;

/// The Connection that a process uses: its key and uid.
type Used = (Key, String);

/// All processes that use connections.
#[derive(Debug, Default)]
pub struct Consumers {
    uses: HashMap<Key, Used>,
    users: HashMap<Key, BTreeMap<Key, String>>,
}

impl Consumers {
    /// Takes note of a binding as it is now, or that it is gone. Says which connections are to be looked at again.
    pub fn see(&mut self, key: &Key, binding: Option<&ProcessBinding>) -> Vec<Key> {
        let now = binding.and_then(used_by);
        let before = self.uses.get(key).cloned();
        if before == now {
            return Vec::new();
        }
        let mut concerned = BTreeSet::new();
        if let Some((connection, _)) = before {
            self.uses.remove(key);
            if let Some(users) = self.users.get_mut(&connection) {
                users.remove(key);
                if users.is_empty() {
                    self.users.remove(&connection);
                }
            }
            concerned.insert(connection);
        }
        if let Some((connection, uid)) = now {
            self.uses.insert(key.clone(), (connection.clone(), uid.clone()));
            self.users.entry(connection.clone()).or_default().insert(key.clone(), uid);
            concerned.insert(connection);
        }
        concerned.into_iter().collect()
    }

    /// Takes note that there are these bindings and no others.
    pub fn keep(&mut self, listed: &HashSet<Key>) -> Vec<Key> {
        let gone: Vec<_> = self.uses.keys().filter(|key| !listed.contains(key)).cloned().collect();
        gone.iter().flat_map(|key| self.see(key, None)).collect()
    }

    /// The processes that use a Connection, as its status tells them: those of its own namespace by name, others as a
    /// count, because whoever reads the Connection need not see what is elsewhere.
    pub fn of(&self, connection: &Key, uid: &str) -> Option<ConsumersStatus> {
        let users = self.users.get(connection)?.iter().filter(|(_, of)| *of == uid).map(|(user, _)| user);
        let (here, elsewhere): (Vec<&Key>, Vec<&Key>) =
            users.partition(|user| user.namespace == connection.namespace);
        let number = |keys: &[&Key]| i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let count = number(&here).saturating_add(number(&elsewhere));
        (count > 0).then(|| ConsumersStatus {
            count,
            names: here.iter().take(LISTED).map(|key| key.name.clone()).collect(),
            elsewhere: number(&elsewhere),
        })
    }
}

/// What a binding uses. One whose ServiceAccount may not use the Connection uses nothing, and cannot hold it up.
fn used_by(binding: &ProcessBinding) -> Option<Used> {
    let status = binding.status.as_ref()?;
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    let denied = ready.is_some_and(|ready| ready.reason == Reason::PermissionDenied.as_str());
    if binding.metadata.deletion_timestamp.is_some() || denied {
        return None;
    }
    let bound = status.connection.as_ref()?;
    Some((Key { namespace: bound.namespace.clone(), name: bound.name.clone() }, bound.uid.clone()))
}

/// Who uses a Connection, in one phrase; nothing where nobody does.
pub fn told(consumers: Option<&ConsumersStatus>) -> Option<String> {
    let consumers = consumers.filter(|consumers| consumers.count > 0)?;
    let unnamed = consumers.count - consumers.elsewhere - i64::try_from(consumers.names.len()).unwrap_or(0);
    let named = consumers.names.iter().map(|name| format!("\"{name}\""));
    let more = (unnamed > 0).then(|| format!("{unnamed} more of this folder"));
    let others = (consumers.elsewhere > 0).then(|| format!("{} of other folders", consumers.elsewhere));
    Some(named.chain(more).chain(others).collect::<Vec<_>>().join(", "))
}

/// Why a Connection that processes use is not deleted, and how to delete it all the same. The admission policy says
/// this.
pub fn deletion_refused(namespace: &str, name: &str, consumers: Option<&ConsumersStatus>) -> Option<String> {
    let users = told(consumers)?;
    Some(format!(
        "connection \"{name}\" is used by processes that would stop working: {users}; to delete it all the same: kubectl \
         annotate connection {name} -n {namespace} {CONFIRM_DELETE_ANNOTATION}={name}, and delete it again"
    ))
}

#[cfg(test)]
#[path = "tests/consumers.rs"]
mod tests;
