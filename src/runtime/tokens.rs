//! The token endpoint, on every replica: the desk and its listener.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::certificates::{Standing, TOKENS, TrustedConfigMap};
use crate::cluster::token_endpoint::Desk;
use crate::domain::authorities::Lifetimes;
use crate::ports::TokenDesk;
use crate::web::tokens::router;

use super::served::{Means, Served, Shown};
use super::settings::Settings;

/// Begins to serve, where a host is named. `standing` is told whether workloads can ask.
pub(super) fn start(
    settings: &Settings,
    means: &Means,
    served: &mut Served,
    standing: watch::Sender<Standing>,
) {
    if settings.token_hosts.is_empty() {
        let _ = standing.send_replace(Ok(()));
        return;
    }
    let desk = Arc::new(Desk::open(
        &means.client,
        Arc::clone(&means.keyring),
        Arc::clone(&means.clock),
        (&settings.token_audience, &settings.identity),
        &settings.territory(),
        &mut served.tasks,
    ));
    let shown = Shown {
        listener: TOKENS,
        publication: Box::new(TrustedConfigMap {
            client: means.client.clone(),
            namespace: settings.namespace.clone(),
        }),
        hosts: settings.token_hosts.clone(),
        lifetimes: Lifetimes::READ,
        standing,
    };
    let filled = Arc::clone(&desk);
    let clock = Arc::clone(&means.clock);
    let routes = router(desk as Arc<dyn TokenDesk>, clock, Arc::clone(&means.telemetry));
    let filled = async move { filled.filled().await };
    served.begin(means, (settings.token_address, routes), shown, filled);
}
