//! Admission, on every replica: the desk, its listener and its certificate.

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::admission::Desk;
use crate::cluster::admission::authority::{Keeper, Standing};
use crate::domain::admission::authorities::Lifetimes;
use crate::envelope::Keyring;
use crate::ports::{AdmissionDesk, CertificateHolder, Clock, Telemetry};
use crate::web::admission::{ServingCertificate, router, serve};

use super::settings::Settings;

/// Admission at work. Dropping it ends it.
pub(super) struct Admission {
    listener: JoinSet<anyhow::Result<()>>,
    _tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Admission {
    /// Begins to serve, where a webhook configuration is named. `standing` is told whether the API server can ask.
    pub(super) fn start(
        settings: &Settings,
        client: &Client,
        keyring: &Arc<Keyring>,
        clock: &Arc<dyn Clock>,
        telemetry: Arc<dyn Telemetry>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let (mut listener, mut tasks) = (JoinSet::new(), JoinSet::new());
        let stop = CancellationToken::new();
        if settings.admission_configuration.is_empty() {
            let _ = standing.send_replace(Ok(()));
            return Self { listener, _tasks: tasks, stop };
        }
        let desk = Arc::new(Desk::open(
            client,
            Arc::clone(keyring),
            settings.territory(),
            Arc::clone(clock),
            &mut tasks,
        ));
        let certificate = Arc::new(ServingCertificate::default());
        let keeper = Keeper {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            configuration: settings.admission_configuration.clone(),
            hosts: settings.admission_hosts(),
            clock: Arc::clone(clock),
            lifetimes: Lifetimes::default(),
            holder: Arc::clone(&certificate) as Arc<dyn CertificateHolder>,
            standing,
        };
        let filled = Arc::clone(&desk);
        tasks.spawn(async move {
            if filled.filled().await {
                keeper.keep().await;
            }
        });
        let routes = router(desk as Arc<dyn AdmissionDesk>, telemetry);
        let address = settings.admission_address;
        let stopped = stop.clone();
        listener.spawn(async move {
            serve(address, routes, certificate, stopped)
                .await
                .with_context(|| format!("serve admission on {address}"))
        });
        Self { listener, _tasks: tasks, stop }
    }

    /// Ends it after what is under way.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while self.listener.join_next().await.is_some() {}
    }

    /// Waits until the listener has ended, which it does by itself only by a fault.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.listener.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(_) => anyhow::anyhow!("the listener for admission has ended"),
            None => std::future::pending().await,
        }
    }
}
