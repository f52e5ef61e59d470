//! Addresses from which no token of late has turned out to be good. What they bring next is looked at from a budget of
//! their own, so that forged tokens do not use up what new workloads have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an address is in doubt after a token of it that was not accepted.
const DOUBT: Duration = Duration::from_mins(5);

/// Addresses that are in doubt at most. Beyond it all that are not among them are too, until some are forgotten.
const LIMIT: usize = 10_000;

/// Which addresses are in doubt, and since when.
#[derive(Default)]
pub(super) struct Standing(Mutex<HashMap<IpAddr, Instant>>);

impl Standing {
    /// Takes a new token of this address from a budget: `take` is told whether the address is in doubt. Where it is taken,
    /// the address is in doubt until a token of it is accepted, so that many that come before the first is judged do not
    /// all have the benefit of the doubt.
    pub(super) fn take<E>(
        &self,
        source: IpAddr,
        now: Instant,
        take: impl FnOnce(bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut doubted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |since: &Instant| now.duration_since(*since) < DOUBT;
        if doubted.len() >= LIMIT {
            doubted.retain(|_, since| lasts(since));
        }
        let is_full = doubted.len() >= LIMIT && !doubted.contains_key(&source);
        take(is_full || doubted.get(&source).is_some_and(lasts))?;
        if !is_full {
            doubted.insert(source, now);
        }
        Ok(())
    }

    /// A token from this address is good.
    pub(super) fn accepted(&self, source: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&source);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap()))
    }

    /// Whether a token of the address is taken as one that is in doubt.
    fn in_doubt(standing: &Standing, source: IpAddr, now: Instant) -> bool {
        let mut found = false;
        let taken = standing.take(source, now, |in_doubt| {
            found = in_doubt;
            Ok::<_, ()>(())
        });
        taken.unwrap();
        found
    }

    #[test]
    fn an_address_is_in_doubt_until_a_token_of_it_is_accepted_or_it_was_quiet_for_long() {
        let (standing, start) = (Standing::default(), Instant::now());
        assert!(!in_doubt(&standing, address(1), start));
        assert!(in_doubt(&standing, address(1), start));
        assert!(!in_doubt(&standing, address(2), start), "others are not");
        standing.accepted(address(1));
        assert!(!in_doubt(&standing, address(1), start));
        let later = start + DOUBT.mul_f64(0.999);
        assert!(in_doubt(&standing, address(1), later));
        assert!(!in_doubt(&standing, address(1), later + DOUBT));
    }

    #[test]
    fn a_token_that_is_not_looked_at_casts_no_doubt() {
        let (standing, start) = (Standing::default(), Instant::now());
        assert_eq!(standing.take(address(1), start, |_| Err(())), Err(()));
        assert!(!in_doubt(&standing, address(1), start));
    }

    #[test]
    fn addresses_do_not_fill_memory() {
        let (standing, start) = (Standing::default(), Instant::now());
        for number in 0..LIMIT {
            assert!(!in_doubt(&standing, address(number), start));
        }
        assert!(in_doubt(&standing, address(LIMIT), start), "too many are in doubt to trust one more");
        assert_eq!(standing.0.lock().unwrap().len(), LIMIT);
        assert!(!in_doubt(&standing, address(LIMIT), start + DOUBT));
        assert_eq!(standing.0.lock().unwrap().len(), 1);
    }
}
