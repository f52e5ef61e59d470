//! When the certificate authority of a listener is replaced.
//!
//! ```text
//! new authority ──settle──► leaves are issued from it ──leaf──► the last leaf of the old one has ended ──settle──► the old one goes
//! ```
//! All authorities that are there are trusted, so that at no moment a leaf is served that a caller does not know
//! who has read them since the last one was added.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authority's age at which a new one is made. Its certificate is valid for twice as long.
    pub authority: Duration,
    /// How long a leaf is valid; it is replaced after half of that.
    pub leaf: Duration,
    /// How long a new authority is only trusted, before leaves are issued from it.
    pub settle: Duration,
}

impl Lifetimes {
    /// For callers that are told at once, as the API server is.
    pub const TOLD: Self = Self {
        authority: Duration::from_hours(180 * 24),
        leaf: Duration::from_hours(10 * 24),
        settle: Duration::from_mins(30),
    };

    /// For callers that read now and then whom to trust, such as a process at its start.
    pub const READ: Self = Self {
        authority: Duration::from_hours(730 * 24),
        leaf: Duration::from_hours(10 * 24),
        settle: Duration::from_hours(90 * 24),
    };
}

/// What to do about the authorities that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Make a new one.
    pub add: bool,
    /// How many of the eldest go.
    pub drop: usize,
    /// The one that leaves are issued from, counted from the eldest; `None` while there is none.
    pub issuer: Option<usize>,
}

/// Decides from the times at which the authorities were made, the eldest first.
pub fn plan(made: &[Timestamp], now: Timestamp, lifetimes: &Lifetimes) -> Plan {
    // One from the future, by a clock that was wrong, counts as new.
    let age = |made: Timestamp| now.duration_since(made).max(SignedDuration::ZERO);
    let reached = |made: Timestamp, limit: Duration| {
        SignedDuration::try_from(limit).is_ok_and(|limit| age(made) >= limit)
    };
    let settled = made.iter().rposition(|made| reached(*made, lifetimes.settle));
    let ended = |index: &usize| made.get(*index).is_some_and(|made| reached(*made, 2 * lifetimes.authority));
    let over = lifetimes.settle + lifetimes.leaf + lifetimes.settle;
    let drop = made.iter().rposition(|made| reached(*made, over)).unwrap_or_default();
    Plan {
        add: made.last().is_none_or(|newest| reached(*newest, lifetimes.authority)),
        drop,
        issuer: settled.filter(|index| !ended(index)).or_else(|| made.len().checked_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        authority: Duration::from_secs(1000),
        leaf: Duration::from_secs(100),
        settle: Duration::from_secs(10),
    };

    fn decided(made: &[i64], now: i64) -> (bool, usize, Option<usize>) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let made: Vec<_> = made.iter().map(|second| at(*second)).collect();
        let plan = plan(&made, at(now), &LIFETIMES);
        (plan.add, plan.drop, plan.issuer)
    }

    #[test]
    fn the_first_authority_issues_at_once() {
        assert_eq!(decided(&[], 0), (true, 0, None));
        assert_eq!(decided(&[0], 0), (false, 0, Some(0)));
        assert_eq!(decided(&[0], 999), (false, 0, Some(0)));
    }

    #[test]
    fn a_new_one_is_trusted_before_it_issues_and_the_old_one_stays_while_its_leaves_last() {
        assert_eq!(decided(&[0], 1000), (true, 0, Some(0)));
        assert_eq!(decided(&[0, 1000], 1009), (false, 0, Some(0)));
        assert_eq!(decided(&[0, 1000], 1010), (false, 0, Some(1)));
        // A leaf of the old one may have been issued just before, and lasts for 100 s.
        assert_eq!(decided(&[0, 1000], 1119), (false, 0, Some(1)));
        assert_eq!(decided(&[0, 1000], 1120), (false, 1, Some(1)));
    }

    #[test]
    fn after_a_long_pause_what_is_there_is_used_until_something_newer_has_settled() {
        assert_eq!(decided(&[0], 1999), (true, 0, Some(0)));
        assert_eq!(decided(&[0, 1999], 1999), (false, 0, Some(0)));
        // One that is no longer valid helps nobody.
        assert_eq!(decided(&[0, 50_000], 50_000), (false, 0, Some(1)));
        assert_eq!(decided(&[0, 1000, 2000], 2500), (false, 2, Some(2)));
    }

    #[test]
    fn an_authority_of_a_clock_that_was_ahead_is_not_waited_for() {
        assert_eq!(decided(&[500], 0), (false, 0, Some(0)));
    }
}
