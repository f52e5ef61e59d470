//! Listeners of every replica that speak TLS with certificates of our own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::certificates::{Keeper, Listener, Publication, Standing};
use crate::domain::authorities::Lifetimes;
use crate::envelope::Keyring;
use crate::ports::{CertificateHolder, Clock, Telemetry};
use crate::web::tls::{ServingCertificate, serve};

/// What all of them are made with.
pub(super) struct Means {
    pub client: Client,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<dyn Telemetry>,
    /// The operator's own namespace.
    pub namespace: String,
}

/// Listeners at work. Dropping it ends them.
#[derive(Default)]
pub(super) struct Served {
    listeners: JoinSet<anyhow::Result<()>>,
    pub tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// How a listener is shown to be ours.
pub(super) struct Shown {
    pub listener: Listener,
    pub publication: Box<dyn Publication>,
    pub hosts: Vec<String>,
    pub lifetimes: Lifetimes,
    /// Is told whether callers can reach the listener and trust it.
    pub standing: watch::Sender<Standing>,
}

impl Served {
    /// Begins to serve. A certificate is shown once `filled` says that there is something to answer with.
    pub(super) fn begin(
        &mut self,
        means: &Means,
        (address, routes): (SocketAddr, Router),
        shown: Shown,
        filled: impl Future<Output = bool> + Send + 'static,
    ) {
        let Shown { listener, publication, hosts, lifetimes, standing } = shown;
        let certificate = Arc::new(ServingCertificate::default());
        let keeper = Keeper {
            client: means.client.clone(),
            namespace: means.namespace.clone(),
            listener,
            publication,
            hosts,
            clock: Arc::clone(&means.clock),
            lifetimes,
            holder: Arc::clone(&certificate) as Arc<dyn CertificateHolder>,
            standing,
        };
        self.tasks.spawn(async move {
            if filled.await {
                keeper.keep().await;
            }
        });
        let stopped = self.stop.clone();
        let purpose = listener.purpose;
        self.listeners.spawn(async move {
            serve(address, routes, certificate, stopped)
                .await
                .with_context(|| format!("serve {purpose} on {address}"))
        });
    }

    /// Ends them after what is under way.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while self.listeners.join_next().await.is_some() {}
    }

    /// Waits until one has ended, which it does by itself only by a fault.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.listeners.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(_) => anyhow::anyhow!("a listener has ended"),
            None => std::future::pending().await,
        }
    }
}
