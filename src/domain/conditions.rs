//! Conditions: the one place that makes and merges them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reason::{Progress, Reason};

/// The types of conditions that Liaison's kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Connection: the provider accepted the credential, and it has not been lost since.
    Authenticated,
    /// Connection: the last verification.
    Healthy,
    /// Connection: no policy speaks against it.
    PolicyAllowed,
    /// Connection: all scopes asked for are granted.
    ScopesSatisfied,
    /// Connection: `spec.default` has the effect that it asks for.
    DefaultApplied,
    /// Connection: no older one of its folder bears its display name. Only there while one does.
    DisplayNameUnique,
    /// Connection, Folder, ProcessBinding: it can be used.
    Ready,
    /// Connector, ConnectionPolicy: the description has no faults.
    Valid,
    /// Folder: its owner has access to its namespace.
    OwnerBound,
    /// For tools that wait: it may become right by itself.
    Reconciling,
    /// For tools that wait: only a change can help.
    Stalled,
}

impl ConditionType {
    /// The word in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "Authenticated",
            Self::Healthy => "Healthy",
            Self::PolicyAllowed => "PolicyAllowed",
            Self::ScopesSatisfied => "ScopesSatisfied",
            Self::DefaultApplied => "DefaultApplied",
            Self::DisplayNameUnique => "DisplayNameUnique",
            Self::Ready => "Ready",
            Self::Valid => "Valid",
            Self::OwnerBound => "OwnerBound",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// The value of a condition's `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

impl Status {
    /// The word in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says, without its type and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub status: Status,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people: what, where, and the next step.
    pub message: String,
}

impl Verdict {
    /// It holds.
    pub fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::True, reason, message: bounded(message.into()) }
    }

    /// It does not hold.
    pub fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::False, reason, message: bounded(message.into()) }
    }

    /// It is not known.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::Unknown, reason, message: bounded(message.into()) }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.status == Status::True
    }
}

/// Longest message of a condition, in characters. The API allows 32768; people read one screen.
const MESSAGE_LIMIT: usize = 1024;

/// A message at its bound, which status fields with messages of their own have too.
pub(super) fn bounded(message: String) -> String {
    if message.chars().count() <= MESSAGE_LIMIT {
        return message;
    }
    message.chars().take(MESSAGE_LIMIT - 1).chain(std::iter::once('…')).collect()
}

/// `Reconciling` and `Stalled`, which tools that wait read (kstatus), as they follow from `Ready`.
pub fn progress_of(ready: &Verdict) -> [(ConditionType, Verdict); 2] {
    let progress = if ready.holds() { Progress::Settled } else { ready.reason.progress() };
    let verdict = |holds: bool| Verdict {
        status: if holds { Status::True } else { Status::False },
        reason: ready.reason,
        message: if holds { ready.message.clone() } else { String::new() },
    };
    [
        (ConditionType::Reconciling, verdict(progress == Progress::Waiting)),
        (ConditionType::Stalled, verdict(progress == Progress::Stuck)),
    ]
}

/// New conditions over old ones: the time moves only when the status does (API conventions,
/// `lastTransitionTime`); types that are not named stay as they are.
pub fn merge(
    old: &[Condition],
    verdicts: impl IntoIterator<Item = (ConditionType, Verdict)>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut merged = old.to_vec();
    for (condition_type, verdict) in verdicts {
        let condition_type = condition_type.as_str();
        let position = merged.iter().position(|condition| condition.type_ == condition_type);
        let unflipped = position
            .map(|position| &merged[position])
            .filter(|condition| condition.status == verdict.status.as_str())
            .map(|condition| condition.last_transition_time.clone());
        let condition = Condition {
            type_: condition_type.to_owned(),
            status: verdict.status.as_str().to_owned(),
            reason: verdict.reason.to_string(),
            message: verdict.message,
            observed_generation: generation,
            last_transition_time: unflipped.unwrap_or_else(|| whole_seconds(now)),
        };
        match position {
            Some(position) => merged[position] = condition,
            None => merged.push(condition),
        }
    }
    merged
}

/// The condition of a type, if it is there.
pub fn find(conditions: &[Condition], condition_type: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == condition_type.as_str())
}

/// A time as the API server stores it, without fractions, so that what is read back equals what was written.
pub fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let ready = |verdict: Verdict| [(ConditionType::Ready, verdict)];
        let first = merge(&[], ready(Verdict::no(Reason::ConnectorNotFound, "a")), Some(1), at(100));
        let same = merge(&first, ready(Verdict::no(Reason::FolderNotFound, "b")), Some(2), at(200));
        assert_eq!(same[0].last_transition_time, whole_seconds(at(100)));
        assert_eq!((same[0].reason.as_str(), same[0].observed_generation), ("FolderNotFound", Some(2)));

        let flipped = merge(&same, ready(Verdict::yes(Reason::Ready, "")), Some(2), at(300));
        assert_eq!(flipped[0].last_transition_time, whole_seconds(at(300)));
    }

    #[test]
    fn a_second_merge_of_the_same_verdicts_changes_nothing() {
        let verdicts = || {
            let ready = Verdict::no(Reason::CredentialsRejected, "no");
            [(ConditionType::Ready, ready.clone())].into_iter().chain(progress_of(&ready))
        };
        let first = merge(&[], verdicts(), Some(1), at(100));
        assert_eq!(merge(&first, verdicts(), Some(1), at(999)), first);
    }

    #[test]
    fn waiting_tools_see_reconciling_stalled_or_neither() {
        let cases = [
            (Reason::ConnectorNotFound, "True", "False"),
            (Reason::CredentialsRejected, "False", "True"),
            (Reason::AwaitingAuthentication, "False", "False"),
        ];
        for (reason, reconciling, stalled) in cases {
            let merged = merge(&[], progress_of(&Verdict::no(reason, "x")), None, at(0));
            assert_eq!(
                (merged[0].status.as_str(), merged[1].status.as_str()),
                (reconciling, stalled),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_long_message_is_cut_at_its_bound() {
        let verdict = Verdict::no(Reason::ConnectorInvalid, "é".repeat(5000));
        assert_eq!(verdict.message.chars().count(), MESSAGE_LIMIT);
    }
}
