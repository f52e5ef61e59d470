//! When to try, refresh and verify again. Spread by a hash of the uid, never by chance.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use crate::api::connection::FailureStatus;

/// A failing Connection tries again after this, then twice as long each time, …
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(5);

/// … up to this: 144 tries a day, below the 300 requests a day that a failing Connection may make.
const LONGEST_RETRY: Duration = Duration::from_mins(10);

/// A provider's wish to be left alone is honoured up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Longest time between two verifications, whatever the operator's settings say.
const LONGEST_INTERVAL: Duration = Duration::from_hours(24 * 365);

/// Two verifications of one Connection are at least ten seconds apart, whatever asks for them. One more, because
/// times are recorded without their fractions.
const VERIFICATION_GAP: Duration = Duration::from_secs(11);

/// Over a day, requests of one kind for one Connection are at least this far apart on average: 288 a day.
const PACE: Duration = Duration::from_mins(5);

/// Requests that may come at once before the pace is held.
const BURST: u32 = 12;

/// A number from 0 to 1 that is always the same for one Connection and one purpose.
pub fn share(uid: &str, purpose: &str) -> f64 {
    // The hasher's keys are fixed; across releases of the standard library it may change, which moves a refresh
    // by a few percent of its lifetime and nothing else.
    let mut hasher = DefaultHasher::new();
    (uid, purpose).hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// The time plus a duration, or the last time there is.
pub fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// When a token is to be refreshed: at a fraction of its lifetime, up to a tenth of the lifetime earlier.
/// `None` where it does not expire.
pub fn refresh_at(
    uid: &str,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    fraction: f64,
) -> Option<Timestamp> {
    let lifetime = expires_at?.duration_since(issued_at).as_secs_f64().max(0.0);
    let fraction = (fraction * (1.0 - 0.1 * share(uid, "refresh"))).clamp(0.0, 1.0);
    Some(later(issued_at, Duration::from_secs_f64(lifetime * fraction)))
}

/// When to try again after `count` failures in a row. What the provider asks for is honoured up to an hour.
pub fn retry_at(uid: &str, now: Timestamp, count: i64, retry_after: Option<Duration>) -> Timestamp {
    let doublings = u32::try_from(count.clamp(1, 16) - 1).unwrap_or_default();
    let pause = (FIRST_RETRY * 2_u32.pow(doublings)).min(LONGEST_RETRY);
    let pause = pause.mul_f64(1.0 + 0.1 * share(uid, "retry"));
    later(now, pause.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)))
}

/// Until when requests are paid for after one more is made now: a leaky bucket that holds [`BURST`] and leaks one
/// every [`PACE`].
pub fn paid_until(now: Timestamp, before: Option<Timestamp>) -> Timestamp {
    later(before.unwrap_or(now).max(now), PACE)
}

/// When the pace allows one more.
fn paced(paid_until: Timestamp) -> Timestamp {
    paid_until.checked_sub(PACE * (BURST - 1)).unwrap_or(Timestamp::MIN)
}

/// The same as [`paid_until`] where the provider asks to wait: so much is paid that nothing may be sent before.
pub fn paid_until_after(
    now: Timestamp,
    before: Option<Timestamp>,
    retry_after: Option<Duration>,
) -> Timestamp {
    let asked = retry_after.map(|wait| later(now, wait.min(LONGEST_RETRY_AFTER) + PACE * (BURST - 1)));
    paid_until(now, before).max(asked.unwrap_or(Timestamp::MIN))
}

/// When to try again after a failure whose causes have changed since: soon, but not at any pace.
pub fn retry_after_change_at(failure: &FailureStatus) -> Timestamp {
    let soon = later(failure.time.0, FIRST_RETRY);
    let paced = failure.paid_until.as_ref().map_or(Timestamp::MIN, |paid_until| paced(paid_until.0));
    failure.retry_at.0.min(soon).max(paced)
}

/// When the next verification may be made at the earliest, given the last one and until when they are paid for.
pub fn verification_allowed_at(last: Timestamp, paid_until: Timestamp) -> Timestamp {
    paced(paid_until).max(later(last, VERIFICATION_GAP))
}

/// When a Connection is next verified without being asked to, a tenth earlier or later.
pub fn verification_due_at(uid: &str, last: Timestamp, interval: Duration) -> Timestamp {
    later(last, interval.min(LONGEST_INTERVAL).mul_f64(0.9 + 0.2 * share(uid, "verify")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_refresh_is_due_at_a_fraction_of_the_lifetime_whatever_its_length() {
        for lifetime in [4_u32, 300, 3600, 86_400] {
            for uid in ["a", "b", "c"] {
                let due = refresh_at(uid, at(1000), Some(at(1000 + i64::from(lifetime))), 0.8).unwrap();
                let share = due.duration_since(at(1000)).as_secs_f64() / f64::from(lifetime);
                assert!((0.72..=0.8).contains(&share), "{share} of {lifetime}");
            }
        }
        assert_eq!(refresh_at("a", at(0), None, 0.8), None);
    }

    #[test]
    fn a_connection_that_always_fails_tries_at_most_300_times_a_day() {
        for uid in ["a", "b", "c", "d"] {
            let (mut now, mut count) = (at(0), 0);
            while now < at(86_400) {
                count += 1;
                now = retry_at(uid, now, count, None);
            }
            assert!(count <= 300, "{count}");
        }
    }

    #[test]
    fn what_the_provider_asks_for_is_honoured_up_to_an_hour() {
        assert_eq!(retry_at("a", at(0), 1, Some(Duration::from_mins(20))), at(1200));
        assert_eq!(retry_at("a", at(0), 1, Some(Duration::from_hours(20))), at(3600));
    }

    #[test]
    fn verifications_are_ten_seconds_apart_and_at_most_300_a_day() {
        let (mut now, mut paid_until, mut count) = (at(0), None, 0);
        while now < at(86_400) {
            count += 1;
            let paid = super::paid_until(now, paid_until);
            let next = verification_allowed_at(now, paid);
            assert!(next.duration_since(now).as_secs() >= 10);
            (now, paid_until) = (next, Some(paid));
        }
        assert!((250..=300).contains(&count), "{count}");
    }
}
