//! Which replica acts. A lease says so; how long it says so is known by this process's own monotonic clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ports::{Clock, Leadership};

use super::settings::Settings;

/// Name of the lease in the operator's namespace.
pub(super) const LEASE: &str = "liaison-leader";

/// The lease's end as this process knows it. A frozen process that wakes up finds it passed.
#[derive(Default)]
pub struct LeaseClock(Mutex<Option<Held>>);

#[derive(Clone, Copy)]
struct Held {
    since: Instant,
    until: Instant,
}

impl Leadership for LeaseClock {
    fn leads_until(&self) -> Option<Instant> {
        self.held().map(|held| held.until)
    }

    fn leads_since(&self) -> Option<Instant> {
        self.held().map(|held| held.since)
    }
}

impl LeaseClock {
    fn held(&self) -> Option<Held> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the lease as it stands: who holds it, and when that was last said.
    fn note(&self, lease: &Lease, identity: &str, duration: Duration, now: Timestamp) {
        let spec = lease.spec.as_ref();
        let holds = spec.is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity));
        let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = renewed.filter(|_| holds).map(|renewed| {
            // The renewal's time is by this process's own wall clock; what has passed since counts.
            let passed = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
            let until = Instant::now() + duration.saturating_sub(passed);
            Held { since: held.map_or_else(Instant::now, |held| held.since), until }
        });
    }
}

/// A candidate for leadership.
pub struct Candidate {
    /// The lease's end, for whoever is about to act.
    pub clock: Arc<LeaseClock>,
    leading: watch::Receiver<bool>,
    manager: JoinHandle<Result<kube_lease_manager::LeaseManager, kube_lease_manager::LeaseManagerError>>,
    watcher: JoinHandle<()>,
}

impl Candidate {
    /// Stands for leadership.
    pub async fn stand(client: &Client, settings: &Settings, time: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let seconds = settings.lease_seconds;
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(&settings.namespace)
            .with_identity(&settings.identity)
            .with_duration(seconds)
            .with_grace(seconds.div_ceil(2))
            .with_field_manager("liaison-leader")
            .with_create_mode(LeaseCreateMode::AutoCreate)
            .build()
            .await
            .context("stand for leadership")?;
        let clock = Arc::new(LeaseClock::default());
        let watcher = tokio::spawn(follow(client.clone(), settings.clone(), Arc::clone(&clock), time));
        let (leading, manager) = manager.watch().await;
        Ok(Self { clock, leading, manager, watcher })
    }

    /// Waits until this replica leads, or does not.
    pub async fn until(&self, leads: bool) -> anyhow::Result<()> {
        let mut leading = self.leading.clone();
        leading.wait_for(|leading| *leading == leads).await.context("the lease's manager has ended")?;
        Ok(())
    }

    /// Gives leadership back, so that another replica need not wait.
    pub async fn resign(self) {
        drop(self.leading);
        let resigned = tokio::time::timeout(Duration::from_secs(2), self.manager).await;
        if !matches!(resigned, Ok(Ok(Ok(_)))) {
            tracing::warn!("the lease could not be given back; another replica takes over when it ends");
        }
        self.watcher.abort();
    }
}

async fn follow(client: Client, settings: Settings, clock: Arc<LeaseClock>, time: Arc<dyn Clock>) {
    let leases: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={LEASE}"));
    let mut seen = std::pin::pin!(watcher(leases, only).default_backoff().applied_objects());
    while let Some(lease) = seen.next().await {
        match lease {
            Ok(lease) => {
                let duration = Duration::from_secs(settings.lease_seconds);
                clock.note(&lease, &settings.identity, duration, time.now());
            }
            Err(error) => {
                tracing::debug!(%error, "the watch of the lease was interrupted and is begun again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    fn lease(holder: &str, renewed: i64) -> Lease {
        let renew_time = Some(MicroTime(Timestamp::from_second(renewed).unwrap()));
        let spec = LeaseSpec { holder_identity: Some(holder.to_owned()), renew_time, ..LeaseSpec::default() };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn leadership_ends_a_lease_after_the_last_renewal_whenever_that_is_noticed() {
        let clock = LeaseClock::default();
        let now = |second| Timestamp::from_second(second).unwrap();
        let duration = Duration::from_secs(15);
        clock.note(&lease("a", 1000), "a", duration, now(1005));
        let left = clock.leads_until().unwrap() - Instant::now();
        assert!(left <= Duration::from_secs(10) && left > Duration::from_secs(9));

        clock.note(&lease("a", 1000), "a", duration, now(1100));
        assert!(clock.leads_until().unwrap() <= Instant::now());

        clock.note(&lease("b", 1100), "a", duration, now(1100));
        assert_eq!(clock.leads_until(), None);
    }
}
