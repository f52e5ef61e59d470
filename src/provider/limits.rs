//! Limits per host: how many requests at the same time, and how many in a second.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many hosts are remembered; beyond it the one that was not used for the longest time is forgotten.
const MAXIMUM_HOSTS: usize = 4096;

/// Our own limits leave no room for a request in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

/// A place among the requests to one host; it is free again when dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    // Keeps the host from being forgotten, which would give its places away twice.
    _host: Arc<HostLimit>,
}

struct HostLimit {
    places: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
}

struct Remembered {
    limit: Arc<HostLimit>,
    last_used: Instant,
}

/// The limits of all hosts, each with its own count.
pub(super) struct HostLimits {
    concurrency: usize,
    quota: Quota,
    maximum_hosts: usize,
    hosts: Mutex<HashMap<String, Remembered>>,
}

impl HostLimits {
    /// `concurrency` requests at the same time and `rate` in a second (as a burst too), for each host.
    pub(super) fn new(concurrency: usize, rate: NonZeroU32) -> Self {
        Self {
            concurrency: concurrency.min(Semaphore::MAX_PERMITS),
            quota: Quota::per_second(rate),
            maximum_hosts: MAXIMUM_HOSTS,
            hosts: Mutex::default(),
        }
    }

    /// Waits for a place and for the rate, at most until `give_up`; at once where the rate cannot allow it by then.
    pub(super) async fn acquire(&self, host: &str, give_up: Instant) -> Result<Place, NoPlace> {
        let limit = self.of_host(host)?;
        let places = Arc::clone(&limit.places).acquire_owned();
        let permit = tokio::time::timeout_at(give_up.into(), places).await.map_err(|_| NoPlace)?;
        let permit = permit.map_err(|_| NoPlace)?;
        while let Err(not_until) = limit.rate.check() {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            if Instant::now() + wait > give_up {
                return Err(NoPlace);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(Place { _permit: permit, _host: limit })
    }

    fn of_host(&self, host: &str) -> Result<Arc<HostLimit>, NoPlace> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = hosts.get_mut(host) {
            remembered.last_used = Instant::now();
            return Ok(Arc::clone(&remembered.limit));
        }
        if hosts.len() >= self.maximum_hosts {
            forget_one(&mut hosts)?;
        }
        let limit = Arc::new(HostLimit {
            places: Arc::new(Semaphore::new(self.concurrency)),
            rate: RateLimiter::direct(self.quota),
        });
        let remembered = Remembered { limit: Arc::clone(&limit), last_used: Instant::now() };
        hosts.insert(host.to_owned(), remembered);
        Ok(limit)
    }
}

fn forget_one(hosts: &mut HashMap<String, Remembered>) -> Result<(), NoPlace> {
    let idle = hosts.iter().filter(|(_, remembered)| Arc::strong_count(&remembered.limit) == 1);
    let oldest = idle.min_by_key(|(_, remembered)| remembered.last_used).map(|(host, _)| host.clone());
    hosts.remove(&oldest.ok_or(NoPlace)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(concurrency: usize, rate: u32) -> HostLimits {
        HostLimits::new(concurrency, NonZeroU32::new(rate).unwrap())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_it_is_dropped() {
        let limits = limits(1, 100);
        let place = limits.acquire("one:443", soon()).await.unwrap();
        assert!(limits.acquire("one:443", Instant::now()).await.is_err());
        assert!(limits.acquire("two:443", Instant::now()).await.is_ok());
        drop(place);
        assert!(limits.acquire("one:443", Instant::now()).await.is_ok());
    }

    #[tokio::test]
    async fn a_rate_that_cannot_allow_it_in_time_refuses_at_once() {
        let limits = limits(10, 2);
        for _ in 0..2 {
            limits.acquire("one:443", soon()).await.unwrap();
        }
        let started = Instant::now();
        assert!(limits.acquire("one:443", started + Duration::from_millis(400)).await.is_err());
        assert!(started.elapsed() < Duration::from_millis(400));
    }

    #[tokio::test]
    async fn a_request_waits_for_the_rate_when_there_is_time() {
        let limits = limits(10, 20);
        let started = Instant::now();
        for _ in 0..22 {
            limits.acquire("one:443", soon()).await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(95));
    }

    #[tokio::test]
    async fn the_map_forgets_idle_hosts_and_never_one_in_use() {
        let limits = HostLimits { maximum_hosts: 2, ..limits(1, 100) };
        let place = limits.acquire("busy:443", soon()).await.unwrap();
        for index in 0..10 {
            limits.acquire(&format!("idle-{index}:443"), soon()).await.unwrap();
        }
        assert_eq!(limits.hosts.lock().unwrap().len(), 2);
        assert!(limits.acquire("busy:443", Instant::now()).await.is_err());

        let other = limits.acquire("idle-9:443", soon()).await.unwrap();
        assert!(limits.acquire("third:443", soon()).await.is_err());
        drop((place, other));
        assert!(limits.acquire("third:443", soon()).await.is_ok());
    }
}
