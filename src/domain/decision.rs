//! What a decision is: the status to record, what to tell people, at most one effect, and when to look again.

use jiff::Timestamp;

use super::reason::Reason;

/// The outcome of deciding about one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<Status, Effect> {
    /// The complete status that the object should have. Equal to the present one: nothing is written.
    pub status: Status,
    /// What people should be told, each once.
    pub events: Vec<Event>,
    /// At most one thing to do outside; its facts are recorded, and the next decision follows from them.
    pub effect: Option<Effect>,
    /// When to decide again, if nothing changes before.
    pub next: Option<Timestamp>,
}

/// An Event to publish. Its note is the reason's fixed sentence; detail stands in the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a warning.
    pub kind: EventKind,
    /// Why, in one word.
    pub reason: Reason,
}

/// The two types of Events that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Event {
    /// As it should be.
    pub fn normal(reason: Reason) -> Self {
        Self { kind: EventKind::Normal, reason }
    }

    /// Somebody should look.
    pub fn warning(reason: Reason) -> Self {
        Self { kind: EventKind::Warning, reason }
    }
}

/// The sooner of two times, where no time means never.
pub fn sooner(first: Option<Timestamp>, second: Option<Timestamp>) -> Option<Timestamp> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (first, second) => first.or(second),
    }
}
