//! Who stands beside whom: what the connections of a folder mean for each other, and whom a change of one concerns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::api::Connection;
use crate::api::connection::ConsumersStatus;

use super::defaults::{Candidate, flagged_last};

/// An object's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the other objects around a Connection mean for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Whether it has company: others of its folder for the same application.
    pub company: bool,
    /// Those of them that ask to be the default.
    pub rivals: Vec<Candidate>,
    /// Whether an older one of its folder bears its display name.
    pub name_taken: bool,
    /// The processes that use it.
    pub consumers: Option<ConsumersStatus>,
}

/// What counts of one Connection for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    connector: String,
    display_name: Option<String>,
    uid: String,
    candidate: Candidate,
}

impl Known {
    fn of(connection: &Connection) -> Option<Self> {
        Some(Self {
            candidate: Candidate::of(connection)?,
            connector: connection.spec.connector_ref.name.clone(),
            display_name: connection.spec.display_name.clone(),
            uid: connection.metadata.uid.clone().unwrap_or_default(),
        })
    }

    /// The younger one yields.
    fn age(&self) -> (Option<Timestamp>, &str) {
        (self.candidate.created, &self.uid)
    }
}

/// The connections of one folder for one application.
#[derive(Debug, Default)]
struct Company {
    members: BTreeSet<String>,
    flagged: BTreeMap<String, Candidate>,
}

/// What the members of a company see of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outlook {
    choice: Option<String>,
    alone: bool,
}

impl Company {
    fn outlook(&self) -> Outlook {
        let alone = self.members.len() == 1;
        let only = self.members.first().filter(|_| alone).cloned();
        let chosen = || flagged_last(self.flagged.values(), Timestamp::MAX).map(|chosen| chosen.name.clone());
        Outlook { choice: only.or_else(chosen), alone }
    }

    /// Whom it concerns that it was seen like this before: everybody where there is a choice now and was none, or the
    /// other way round; else those who ask to be the default, the choice that was and the one that is.
    fn concerned(&self, was: Outlook, flags_changed: bool) -> BTreeSet<String> {
        let is = self.outlook();
        if was.choice.is_some() != is.choice.is_some() {
            return self.members.clone();
        }
        if was == is && !flags_changed {
            return BTreeSet::new();
        }
        let choices = was.choice.into_iter().chain(is.choice).filter(|name| self.members.contains(name));
        self.flagged.keys().cloned().chain(choices).collect()
    }
}

/// All connections, by what they share with others.
#[derive(Debug, Default)]
pub struct Neighbourhood {
    known: HashMap<Key, Known>,
    companies: HashMap<(String, String), Company>,
    namesakes: HashMap<(String, String), BTreeSet<String>>,
}

impl Neighbourhood {
    /// Takes note of a Connection as it is now, or that it is gone. One that is being deleted is as good as gone. Says
    /// which others are to be looked at again.
    pub fn see(&mut self, key: &Key, connection: Option<&Connection>) -> Vec<Key> {
        let (before, now) = (self.known.remove(key), connection.and_then(Known::of));
        let mut concerned = BTreeSet::new();
        if before != now {
            concerned.extend(self.leave(key, before.as_ref(), now.as_ref()));
            concerned.extend(self.join(key, before.as_ref(), now.as_ref()));
            concerned.remove(&key.name);
        }
        if let Some(now) = now {
            self.known.insert(key.clone(), now);
        }
        let beside = |name| Key { namespace: key.namespace.clone(), name };
        concerned.into_iter().map(beside).collect()
    }

    /// Takes note that there are these connections and no others.
    pub fn keep(&mut self, listed: &HashSet<Key>) -> Vec<Key> {
        let gone: Vec<_> = self.known.keys().filter(|key| !listed.contains(key)).cloned().collect();
        gone.iter().flat_map(|key| self.see(key, None)).collect()
    }

    /// The companies and namesakes that are left for others, or for none.
    fn leave(&mut self, key: &Key, before: Option<&Known>, now: Option<&Known>) -> BTreeSet<String> {
        let Some(before) = before else { return BTreeSet::new() };
        let mut concerned = BTreeSet::new();
        if now.is_none_or(|now| now.connector != before.connector) {
            let group = (key.namespace.clone(), before.connector.clone());
            let company = self.companies.entry(group.clone()).or_default();
            let was = company.outlook();
            company.members.remove(&key.name);
            let flags_changed = company.flagged.remove(&key.name).is_some();
            concerned = company.concerned(was, flags_changed);
            if company.members.is_empty() {
                self.companies.remove(&group);
            }
        }
        if let Some(name) = &before.display_name
            && now.is_none_or(|now| now.display_name.as_ref() != Some(name))
        {
            let group = (key.namespace.clone(), name.clone());
            let namesakes = self.namesakes.entry(group.clone()).or_default();
            namesakes.remove(&key.name);
            concerned.extend(namesakes.iter().cloned());
            if namesakes.is_empty() {
                self.namesakes.remove(&group);
            }
        }
        concerned
    }

    /// The companies and namesakes that it is in now.
    fn join(&mut self, key: &Key, before: Option<&Known>, now: Option<&Known>) -> BTreeSet<String> {
        let Some(now) = now else { return BTreeSet::new() };
        let mut concerned = BTreeSet::new();
        if before.is_none_or(|before| before.connector != now.connector || before.candidate != now.candidate)
        {
            let company = self.companies.entry((key.namespace.clone(), now.connector.clone())).or_default();
            let was = company.outlook();
            company.members.insert(key.name.clone());
            let flag = company.flagged.remove(&key.name);
            if now.candidate.flagged {
                company.flagged.insert(key.name.clone(), now.candidate.clone());
            }
            let flags_changed = flag.as_ref() != company.flagged.get(&key.name);
            concerned = company.concerned(was, flags_changed);
        }
        if let Some(name) = &now.display_name
            && before.is_none_or(|before| before.display_name.as_ref() != Some(name))
        {
            let namesakes = self.namesakes.entry((key.namespace.clone(), name.clone())).or_default();
            namesakes.insert(key.name.clone());
            concerned.extend(namesakes.iter().cloned());
        }
        concerned
    }

    /// What the others mean for a Connection.
    pub fn of(&self, connection: &Connection) -> Neighbours {
        let Some(own) = Known::of(connection) else { return Neighbours::default() };
        let namespace = connection.metadata.namespace.clone().unwrap_or_default();
        let company = self.companies.get(&(namespace.clone(), own.connector.clone()));
        let others = |names: &BTreeSet<String>| names.iter().any(|name| *name != own.candidate.name);
        let rivals = company.iter().flat_map(|company| company.flagged.values());
        Neighbours {
            company: company.is_some_and(|company| others(&company.members)),
            rivals: rivals.filter(|rival| rival.name != own.candidate.name).cloned().collect(),
            name_taken: self.elder_namesake(&namespace, &own),
            consumers: None,
        }
    }

    fn elder_namesake(&self, namespace: &str, own: &Known) -> bool {
        let Some(display_name) = &own.display_name else { return false };
        self.bearers(namespace, display_name)
            .any(|(name, other)| *name != own.candidate.name && other.age() < own.age())
    }

    /// Whether a Connection of the namespace other than `name` bears the display name.
    pub fn is_named(&self, namespace: &str, display_name: &str, name: &str) -> bool {
        self.bearers(namespace, display_name).any(|(bearer, _)| bearer != name)
    }

    fn bearers(&self, namespace: &str, display_name: &str) -> impl Iterator<Item = (&String, &Known)> {
        let names = self.namesakes.get(&(namespace.to_owned(), display_name.to_owned()));
        let namespace = namespace.to_owned();
        names.into_iter().flatten().filter_map(move |name| {
            let key = Key { namespace: namespace.clone(), name: name.clone() };
            self.known.get(&key).map(|known| (name, known))
        })
    }
}

#[cfg(test)]
#[path = "tests/neighbours.rs"]
mod tests;
