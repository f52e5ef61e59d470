//! The only place that knows everything: settings, logs, leadership, listeners, wiring and shutdown.

mod admission;
mod chart;
mod controllers;
pub mod generate;
mod leadership;
pub mod manifests;
mod metrics;
mod reference;
mod served;
mod settings;
mod telemetry;
mod tokens;
pub mod uninstall;
mod yaml;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::certificates::Standing;
use crate::cluster::consent::{Desk, Snapshots};
use crate::cluster::load_or_create_keyring;
use crate::domain::connection;
use crate::envelope::Keyring;
use crate::ports::{CallObserver, Clock, Leadership, SelfReport, Telemetry};
use crate::provider::{EgressPolicy, HostAndPort, HttpProvider, ProviderSettings};
use crate::web;

use leadership::Candidate;
use metrics::Metrics;
use served::{Means, Served};

pub use settings::Settings;

/// The machine's clock.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
        Timestamp::now()
    }
}

/// Runs the operator until it is told to stop, or stops leading.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::start(&settings.log, settings.log_json)?;
    // Only the first caller in a process sets it; a library that was faster has set the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    anyhow::ensure!(
        settings.provider_timeout < Duration::from_secs(settings.lease_seconds),
        "--provider-timeout ({:?}) must be shorter than --lease-seconds ({}): a request has to end while this replica leads",
        settings.provider_timeout,
        settings.lease_seconds
    );
    let metrics = Arc::new(Metrics::default());
    let provider = Arc::new(provider(&settings, Arc::clone(&metrics) as Arc<dyn CallObserver>)?);
    let client = connect().await?;

    let closing = CancellationToken::new();
    let mut listeners = JoinSet::new();
    let (admission, admission_stands) = watch::channel(Err("waiting for admission to begin".to_owned()));
    let (tokens, tokens_stand) = watch::channel(Err("waiting for the token endpoint to begin".to_owned()));
    let standings = vec![admission_stands, tokens_stand];
    let report = Report { metrics: Arc::clone(&metrics), ready: std::sync::OnceLock::new(), standings };
    let report = Arc::new(report);
    let internal = web::internal::router(Arc::clone(&report) as Arc<dyn SelfReport>);
    listeners.spawn(serve(settings.internal_address, internal, closing.clone()));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let keyring = Arc::new(load_or_create_keyring(&client, &settings.namespace).await?);
    let decisions = Arc::new(decisions(&settings));
    let snapshots =
        Snapshots::new(client.clone(), Arc::clone(&keyring), Arc::clone(&decisions), &settings.namespace);
    let desk = Arc::new(Desk::new(snapshots.clone(), Arc::clone(&clock)));
    let public = web::public::router(desk, &settings.public_url);
    listeners.spawn(serve(settings.public_address, public, closing.clone()));

    let parts = Acting { client, provider, metrics, clock, keyring, decisions, snapshots };
    let outcome = tokio::select! {
        outcome = act(&settings, parts, report, [admission, tokens]) => outcome,
        ended = listeners.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(anyhow::anyhow!("a listener has ended")),
        },
    };
    closing.cancel();
    while listeners.join_next().await.is_some() {}
    outcome
}

/// Connects to the API server, in the cluster or by KUBECONFIG.
async fn connect() -> anyhow::Result<Client> {
    let mut config =
        kube::Config::infer().await.context("find the API server (in the cluster, or by KUBECONFIG)")?;
    let agent = concat!("liaison/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    Client::try_from(config).context("connect to the API server")
}

/// What a replica needs once it leads.
struct Acting {
    client: Client,
    provider: Arc<HttpProvider>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    keyring: Arc<Keyring>,
    decisions: Arc<connection::Settings>,
    snapshots: Snapshots,
}

async fn act(
    settings: &Settings,
    parts: Acting,
    report: Arc<Report>,
    standings: [watch::Sender<Standing>; 2],
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut served = serve_callers(settings, &parts, standings);
    let Acting { client, provider, metrics, clock, keyring, decisions, snapshots } = parts;
    let candidate = Candidate::stand(&client, settings, Arc::clone(&clock)).await?;
    let _ = report.ready.set(());
    let mut terminated = std::pin::pin!(terminated());
    tracing::info!(identity = settings.identity, "standing for leadership");
    tokio::select! {
        led = candidate.until(true) => led?,
        error = served.ended() => return Err(error),
        () = &mut terminated => {
            candidate.resign().await;
            served.close().await;
            return Ok(());
        }
    }

    tracing::info!(identity = settings.identity, "leading");
    let parts = controllers::Parts {
        client,
        provider,
        clock,
        leadership: Arc::clone(&candidate.clock) as Arc<dyn Leadership>,
        metrics,
        keyring,
        decisions,
        snapshots,
    };
    let working = controllers::run(parts, settings, stop.clone());
    let mut working = std::pin::pin!(working);
    let lost = tokio::select! {
        () = &mut working => true,
        _ = candidate.until(false) => true,
        () = &mut terminated => false,
        error = served.ended() => {
            tracing::error!(%error, "a listener has ended");
            true
        }
    };
    tracing::info!(lost, "stopping; what is under way is finished first");
    stop.cancel();
    let finished = tokio::time::timeout(settings.provider_timeout * 2, working).await;
    candidate.resign().await;
    served.close().await;
    if finished.is_err() {
        tracing::warn!("a pass did not end in time");
    }
    anyhow::ensure!(!lost, "leadership was lost; a new process stands for it again");
    Ok(())
}

/// Begins what every replica answers, whether it leads or not: the API server, and workloads.
fn serve_callers(
    settings: &Settings,
    parts: &Acting,
    [admission, tokens]: [watch::Sender<Standing>; 2],
) -> Served {
    let means = Means {
        client: parts.client.clone(),
        keyring: Arc::clone(&parts.keyring),
        clock: Arc::clone(&parts.clock),
        telemetry: Arc::clone(&parts.metrics) as Arc<dyn Telemetry>,
        namespace: settings.namespace.clone(),
    };
    let mut served = Served::default();
    admission::start(settings, &means, &mut served, admission);
    tokens::start(settings, &means, &mut served, tokens);
    served
}

fn decisions(settings: &Settings) -> connection::Settings {
    connection::Settings {
        refresh_fraction: settings.refresh_fraction,
        verify_interval: settings.verify_interval,
        egress_exceptions: settings.egress_exceptions.iter().map(HostAndPort::parts).collect(),
        egress_addresses: settings.egress_addresses.clone(),
        public_url: settings.public_url.to_string(),
    }
}

fn provider(settings: &Settings, observer: Arc<dyn CallObserver>) -> anyhow::Result<HttpProvider> {
    let extra_ca_pem = match &settings.provider_ca_file {
        Some(path) => std::fs::read(path).with_context(|| format!("read {}", path.display()))?,
        None => Vec::new(),
    };
    let settings = ProviderSettings {
        request_timeout: settings.provider_timeout,
        per_host_concurrency: settings.provider_concurrency,
        per_host_rate: settings.provider_rate,
        egress: EgressPolicy {
            exceptions: settings.egress_exceptions.clone(),
            denied_networks: settings.egress_denied_networks.clone(),
        },
        extra_ca_pem,
        ..ProviderSettings::default()
    };
    HttpProvider::new(settings, observer).context("set up requests to providers")
}

async fn serve(address: SocketAddr, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.context("serve")
}

/// Resolves on SIGTERM, as Kubernetes sends it, and on Ctrl-C.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupted => {} }
        }
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}

struct Report {
    metrics: Arc<Metrics>,
    ready: std::sync::OnceLock<()>,
    /// How the listeners stand that callers have to trust.
    standings: Vec<watch::Receiver<Standing>>,
}

impl SelfReport for Report {
    fn ready(&self) -> Result<(), String> {
        self.ready
            .get()
            .copied()
            .ok_or_else(|| "waiting for the API server, the keyring and the lease\n".to_owned())?;
        for standing in &self.standings {
            standing.borrow().clone().map_err(|cause| format!("{cause}\n"))?;
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        self.metrics.text()
    }
}
