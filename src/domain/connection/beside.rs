//! What the objects around a Connection mean for it: the folder's default, its name among others, and who uses it.
//! Nothing of this takes Ready away.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::connection::ConnectionStatus;
use crate::domain::conditions::{self, ConditionType, Status, Verdict, whole_seconds};
use crate::domain::decision::Event;
use crate::domain::defaults::{self, Candidate, Place};
use crate::domain::reason::Reason;

use super::observed::{FolderState, Observed};
use super::prepare::Blocked;

/// Records what the others mean. A condition that speaks of a wish is there as long as the wish is.
pub(super) fn describe(observed: &Observed, facts: &mut ConnectionStatus, now: Timestamp) {
    let neighbours = &observed.neighbours;
    facts.consumers.clone_from(&neighbours.consumers);
    let Some(own) = Candidate::of(&observed.connection) else { return };
    let place = Place {
        namespace: observed.namespace(),
        folder: folder_name(observed),
        connector: &observed.connection.spec.connector_ref.name,
    };
    let standing = defaults::stand(&own, !neighbours.company, &neighbours.rivals, place, now);
    facts.default_since = standing.since.map(whole_seconds);
    facts.effective_default = standing.effective;
    let generation = observed.connection.metadata.generation;
    let mut set = |condition_type, verdict: Option<Verdict>| match verdict {
        Some(verdict) => {
            let verdicts = [(condition_type, verdict)];
            facts.conditions = conditions::merge(&facts.conditions, verdicts, generation, now);
        }
        None => facts.conditions.retain(|condition| condition.type_ != condition_type.as_str()),
    };
    set(ConditionType::DefaultApplied, standing.applied);
    set(ConditionType::DisplayNameUnique, name_taken(observed));
}

fn name_taken(observed: &Observed) -> Option<Verdict> {
    let name = observed.connection.spec.display_name.as_ref().filter(|_| observed.neighbours.name_taken)?;
    let Blocked { reason, message } = display_name_taken(name, folder_name(observed));
    Some(Verdict::no(reason, message))
}

/// Another connection of the folder bears the name already.
pub fn display_name_taken(display_name: &str, folder: &str) -> Blocked {
    Blocked {
        reason: Reason::DisplayNameTaken,
        message: format!("display name \"{display_name}\" is already used in folder \"{folder}\""),
    }
}

/// The folder as commands name it; its namespace where there is none.
fn folder_name(observed: &Observed) -> &str {
    match &observed.folder {
        FolderState::Ready(name) | FolderState::NotReady(name, _) => name,
        FolderState::NotFound | FolderState::Settling | FolderState::Terminating => observed.namespace(),
    }
}

/// What people are told, once each: which connection became the default and which one no longer is, and that there is
/// none.
pub(super) fn events(old: &ConnectionStatus, new: &ConnectionStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let find = |status: &ConnectionStatus, condition_type| -> Option<Condition> {
        conditions::find(&status.conditions, condition_type).cloned()
    };
    let (before, after) =
        (find(old, ConditionType::DefaultApplied), find(new, ConditionType::DefaultApplied));
    if let Some(after) = after
        && before.is_none_or(|before| before.reason != after.reason)
    {
        let reason = after.reason.parse::<Reason>().unwrap_or(Reason::DefaultApplied);
        events.push(Event::normal(reason));
    }
    match (old.effective_default, new.effective_default) {
        // It was the only one, and nobody has chosen since it has company.
        (Some(true), None) if old.default_since.is_none() => {
            events.push(Event::warning(Reason::NoDefaultConnection));
        }
        (Some(_), None) => events.push(Event::warning(Reason::DefaultRemoved)),
        _ => {}
    }
    let taken = |status: &ConnectionStatus| {
        find(status, ConditionType::DisplayNameUnique)
            .is_some_and(|condition| condition.status == Status::False.as_str())
    };
    if taken(new) && !taken(old) {
        events.push(Event::warning(Reason::DisplayNameTaken));
    }
    events
}
