//! How often the endpoint may be asked, by each source and in total, and how often it may ask the API server for it.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Sources that are remembered; beyond it those that have been quiet are forgotten.
const SOURCES: usize = 10_000;

const fn quota(per_second: u32, burst: u32) -> Quota {
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Questions from one address, and from all.
const QUESTIONS: [Quota; 2] = [quota(200, 400), quota(2_000, 4_000)];

/// Tokens from one address, and from all, that the API server is asked about.
const TOKENS: [Quota; 2] = [quota(5, 20), quota(50, 100)];

/// Connections that the API server is asked about for one `ServiceAccount`, and for all.
const RIGHTS: [Quota; 2] = [quota(10, 50), quota(100, 200)];

/// A limit for each source, and one for all of them together.
pub(super) struct Limit<K: Clone + Eq + Hash> {
    each: RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>,
    total: DefaultDirectRateLimiter,
}

impl<K: Clone + Eq + Hash> Limit<K> {
    fn new([each, total]: [Quota; 2]) -> Self {
        Self { each: RateLimiter::keyed(each), total: RateLimiter::direct(total) }
    }

    /// Counts one more, or says after which time it is worth trying again. One that is over its own limit takes nothing
    /// of the others'.
    pub(super) fn check(&self, source: &K) -> Result<(), Duration> {
        if self.each.len() > SOURCES {
            self.each.retain_recent();
        }
        let now = DefaultClock::default().now();
        self.each.check_key(source).map_err(|until| until.wait_time_from(now))?;
        self.total.check().map_err(|until| until.wait_time_from(now))
    }
}

/// All limits of the endpoint.
pub(super) struct Limits {
    pub questions: Limit<IpAddr>,
    pub tokens: Limit<IpAddr>,
    pub rights: Limit<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { questions: Limit::new(QUESTIONS), tokens: Limit::new(TOKENS), rights: Limit::new(RIGHTS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
        let limit = Limit::new([quota(1, 3), quota(1, 5)]);
        let asked = |source, times| (0..times).filter(|_| limit.check(&source).is_ok()).count();
        assert_eq!(asked("greedy", 10), 3);
        assert!(limit.check(&"greedy").unwrap_err() > Duration::ZERO);
        assert_eq!(asked("modest", 1), 1);
        assert_eq!(asked("third", 10), 1, "all together have a limit too");
    }
}
