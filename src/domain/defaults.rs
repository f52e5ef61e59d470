//! Which of a folder's connections for one application is taken where the default is asked for.

use jiff::Timestamp;

use crate::api::Connection;

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
        Some(Self {
            name: metadata.name.clone().unwrap_or_default(),
            flagged: connection.spec.default,
            since: connection
                .status
                .as_ref()
                .and_then(|status| status.default_since.as_ref())
                .map(|time| time.0),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        })
    }

    /// Of several, the last in this order is the default. A flag that is not recorded yet has been set since
    /// `unrecorded`.
    fn rank(&self, unrecorded: Timestamp) -> (Timestamp, Option<Timestamp>, &str) {
        (self.since.unwrap_or(unrecorded), self.created, &self.name)
    }
}

/// The choice among all connections of a folder for one application: the only one, else the one whose flag was set
/// last; at the same second the one made last, then the last by name.
pub fn choice(candidates: &[Candidate], unrecorded: Timestamp) -> Option<&Candidate> {
    if let [only] = candidates {
        return Some(only);
    }
    let flagged = candidates.iter().filter(|candidate| candidate.flagged);
    flagged.max_by_key(|candidate| candidate.rank(unrecorded))
}
