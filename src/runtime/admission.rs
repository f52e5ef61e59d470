//! Admission, on every replica: the desk and its listener.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::admission::Desk;
use crate::cluster::certificates::{ADMISSION, Standing, TrustedWebhooks};
use crate::domain::authorities::Lifetimes;
use crate::ports::AdmissionDesk;
use crate::web::admission::router;

use super::served::{Means, Served, Shown};
use super::settings::Settings;

/// Begins to serve, where a webhook configuration is named. `standing` is told whether the API server can ask.
pub(super) fn start(
    settings: &Settings,
    means: &Means,
    served: &mut Served,
    standing: watch::Sender<Standing>,
) {
    if settings.admission_configuration.is_empty() {
        let _ = standing.send_replace(Ok(()));
        return;
    }
    let desk = Arc::new(Desk::open(
        &means.client,
        Arc::clone(&means.keyring),
        settings.territory(),
        Arc::clone(&means.clock),
        &mut served.tasks,
    ));
    let shown = Shown {
        listener: ADMISSION,
        publication: Box::new(TrustedWebhooks {
            client: means.client.clone(),
            configuration: settings.admission_configuration.clone(),
        }),
        hosts: settings.admission_hosts(),
        lifetimes: Lifetimes::TOLD,
        standing,
    };
    let filled = Arc::clone(&desk);
    let routes = router(desk as Arc<dyn AdmissionDesk>, Arc::clone(&means.telemetry));
    let filled = async move { filled.filled().await };
    served.begin(means, (settings.admission_address, routes), shown, filled);
}
