//! How often the endpoint may be asked, and how often it may ask the API server for it.
//!
//! Who is not known is limited by the address, who is known by the namespace: names cannot be made up, and a team cannot
//! have more of them than it is given. Those who are known have budgets that nobody else can use up.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::standing::Standing;

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

/// What has come too often, and after which time it is worth another try.
type Checked = Result<(), Duration>;

/// A limit for each of many.
struct Each<K: Clone + Eq + Hash>(RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>);

impl<K: Clone + Eq + Hash> Each<K> {
    fn new(quota: Quota) -> Self {
        Self(RateLimiter::keyed(quota))
    }

    fn check(&self, source: &K) -> Checked {
        if self.0.len() > SOURCES {
            self.0.retain_recent();
        }
        self.0.check_key(source).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// A limit for all of them together. Asked last: one that is over its own limit takes nothing of the others'.
struct Total(DefaultDirectRateLimiter);

impl Total {
    fn new(quota: Quota) -> Self {
        Self(RateLimiter::direct(quota))
    }

    fn check(&self) -> Checked {
        self.0.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// All limits of the endpoint.
pub(super) struct Limits {
    questions: Each<IpAddr>,
    answers: (Each<String>, Total),
    new_tokens: Each<IpAddr>,
    standing: Standing,
    undoubted: Total,
    doubted: Total,
    known_tokens: (Each<String>, Total),
    new_rights: (Each<String>, Each<String>, Total),
    known_rights: (Each<String>, Total),
}

impl Default for Limits {
    fn default() -> Self {
        let known = || (Each::new(quota(100, 200)), Total::new(quota(200, 400)));
        Self {
            questions: Each::new(quota(200, 400)),
            answers: (Each::new(quota(1_000, 2_000)), Total::new(quota(5_000, 10_000))),
            new_tokens: Each::new(quota(5, 20)),
            standing: Standing::default(),
            undoubted: Total::new(quota(50, 100)),
            doubted: Total::new(quota(25, 50)),
            known_tokens: known(),
            new_rights: (Each::new(quota(10, 50)), Each::new(quota(30, 100)), Total::new(quota(100, 200))),
            known_rights: known(),
        }
    }
}

impl Limits {
    /// A question from an address, whoever asks.
    pub(super) fn question(&self, source: &IpAddr) -> Checked {
        self.questions.check(source)
    }

    /// A question of somebody who is known to be of that namespace.
    pub(super) fn answer(&self, namespace: &str) -> Checked {
        of_namespace(&self.answers, namespace)
    }

    /// A token that the API server is asked about for the first time, or that was not accepted lately.
    pub(super) fn new_token(&self, source: IpAddr, now: Instant) -> Checked {
        self.new_tokens.check(&source)?;
        let budget = |in_doubt| if in_doubt { self.doubted.check() } else { self.undoubted.check() };
        self.standing.take(source, now, budget)
    }

    /// A token from that address was accepted.
    pub(super) fn accepted(&self, source: IpAddr) {
        self.standing.accepted(source);
    }

    /// A token of that namespace that was accepted lately, and that the API server is asked about again.
    pub(super) fn known_token(&self, namespace: &str) -> Checked {
        of_namespace(&self.known_tokens, namespace)
    }

    /// A Connection that the API server is asked about for the first time for that `ServiceAccount`, or that it might not
    /// use lately.
    pub(super) fn new_right(&self, namespace: &str, service_account: &str) -> Checked {
        let (accounts, namespaces, total) = &self.new_rights;
        accounts.check(&format!("{namespace}/{service_account}"))?;
        namespaces.check(&namespace.to_owned())?;
        total.check()
    }

    /// A Connection that somebody of that namespace might use lately.
    pub(super) fn known_right(&self, namespace: &str) -> Checked {
        of_namespace(&self.known_rights, namespace)
    }
}

fn of_namespace((each, total): &(Each<String>, Total), namespace: &str) -> Checked {
    each.check(&namespace.to_owned())?;
    total.check()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(number))
    }

    /// How many of so many are let through.
    fn passed(times: u32, check: impl Fn(u32) -> Checked) -> u32 {
        (0..times).map(|number| u32::from(check(number).is_ok())).sum()
    }

    #[test]
    fn a_source_that_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
        let each = Each::new(quota(1, 3));
        assert_eq!(passed(10, |_| each.check(&"greedy")), 3);
        assert!(each.check(&"greedy").unwrap_err() > Duration::ZERO);
        assert_eq!(passed(1, |_| each.check(&"modest")), 1);
        let total = Total::new(quota(1, 5));
        assert_eq!(passed(10, |_| total.check()), 5);
    }

    #[test]
    fn forged_tokens_from_many_addresses_leave_room_for_new_tokens_and_for_known_ones() {
        let (limits, now) = (Limits::default(), Instant::now());
        let many = 40;
        let forged = passed(40 * many, |number| limits.new_token(address(number % many), now));
        // What each is given the benefit of the doubt for, what all that are in doubt have, and what comes back meanwhile.
        assert!((90..120).contains(&forged), "{forged}");

        assert_eq!(passed(10, |number| limits.new_token(address(1_000 + number), now)), 10);
        assert_eq!(passed(100, |_| limits.known_token("team")), 100);
    }

    #[test]
    fn good_tokens_from_one_address_do_not_fall_into_doubt() {
        let (limits, now) = (Limits::default(), Instant::now());
        passed(1_000, |number| limits.new_token(address(100 + number % 40), now));
        let accepted = passed(20, |_| {
            limits.new_token(address(1), now)?;
            limits.accepted(address(1));
            Ok(())
        });
        assert_eq!(accepted, 20);
    }

    #[test]
    fn a_namespace_does_not_use_up_what_others_have() {
        let limits = Limits::default();
        let greedy = [
            passed(10_000, |_| limits.known_token("greedy")),
            passed(10_000, |_| limits.known_right("greedy")),
            passed(10_000, |_| limits.answer("greedy")),
            passed(10_000, |number| limits.new_right("greedy", &number.to_string())),
        ];
        assert!(greedy.iter().all(|passed| *passed < 5_000), "{greedy:?}");
        assert!(limits.known_token("modest").is_ok() && limits.known_right("modest").is_ok());
        assert!(limits.answer("modest").is_ok() && limits.new_right("modest", "worker").is_ok());
    }
}
