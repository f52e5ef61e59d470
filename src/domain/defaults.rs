//! Which of a folder's connections for one application is taken where the default is asked for.

use jiff::Timestamp;

use crate::api::Connection;

use super::conditions::{Verdict, whole_seconds};
use super::reason::Reason;

/// What counts of a Connection where a default is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Whether spec.default is set.
    pub flagged: bool,
    /// Since when, where that is recorded.
    pub since: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl Candidate {
    /// What counts of a Connection; nothing where it is being deleted, because it can no longer be chosen.
    pub fn of(connection: &Connection) -> Option<Self> {
        let metadata = &connection.metadata;
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let since = connection.status.as_ref().and_then(|status| status.default_since.as_ref());
        Some(Self {
            name: metadata.name.clone().unwrap_or_default(),
            flagged: connection.spec.default,
            since: since.filter(|_| connection.spec.default).map(|time| time.0),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        })
    }

    fn rank(&self, unrecorded: Timestamp) -> (Timestamp, Option<Timestamp>, &str) {
        (self.since.unwrap_or(unrecorded), self.created, &self.name)
    }
}

/// The one whose flag was set last; at the same second the one made last, then the last by name. A flag that is not
/// recorded yet has been set since `unrecorded`.
pub fn flagged_last<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
    unrecorded: Timestamp,
) -> Option<&'a Candidate> {
    let flagged = candidates.into_iter().filter(|candidate| candidate.flagged);
    flagged.max_by(|one, other| one.rank(unrecorded).cmp(&other.rank(unrecorded)))
}

/// The choice among all connections of a folder for one application: the only one, else the one whose flag was set
/// last.
pub fn choice(candidates: &[Candidate], unrecorded: Timestamp) -> Option<&Candidate> {
    match candidates {
        [only] => Some(only),
        several => flagged_last(several, unrecorded),
    }
}

/// Where a Connection stands beside the others of its folder for the same application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Since when it asks to be the default.
    pub since: Option<Timestamp>,
    /// Whether it is the one that is taken; nothing where there are several and none is the default.
    pub effective: Option<bool>,
    /// What becomes of its own wish to be the default, if it has one.
    pub applied: Option<Verdict>,
}

/// What is said about the place where a default counts.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The folder, as people call it in commands.
    pub folder: &'a str,
    /// The application.
    pub connector: &'a str,
}

/// Places a Connection: `alone` says that there is no other for its application, and `rivals` are those of the others
/// that ask to be the default.
pub fn stand(
    own: &Candidate,
    alone: bool,
    rivals: &[Candidate],
    place: Place<'_>,
    now: Timestamp,
) -> Standing {
    // As it is stored, so that what was just set ties with what was set in the same second.
    let now = whole_seconds(now).0;
    let since = own.flagged.then(|| own.since.unwrap_or(now));
    let own = Candidate { since, ..own.clone() };
    let chosen = if alone { Some(&own) } else { flagged_last(rivals.iter().chain([&own]), now) };
    let effective = chosen.map(|chosen| chosen.name == own.name);
    let applied = own.flagged.then(|| match chosen {
        _ if alone => Verdict::no(Reason::OnlyConnection, only_one(&own.name, place)),
        Some(winner) if winner.name != own.name => Verdict::no(
            Reason::Superseded,
            format!(
                "connection \"{}\" was made the default later and is the one that is taken; `kubectl liaison set-default \
                 {} -n {}` makes this one the default again, spec.default: false gives the wish up",
                winner.name, own.name, place.namespace
            ),
        ),
        _ => Verdict::yes(Reason::DefaultApplied, ""),
    });
    Standing { since, effective, applied }
}

/// Why a Connection is not made the default: there is no other to prefer it to.
pub fn only_one(name: &str, place: Place<'_>) -> String {
    format!(
        "connection \"{name}\" is the only one for connector \"{}\" in folder \"{}\"; a default needs at least two",
        place.connector, place.folder
    )
}

#[cfg(test)]
#[path = "tests/defaults.rs"]
mod tests;
