//! `liaison uninstall`: what the chart runs before the operator goes, and what a person can run where no chart does.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::cluster::uninstall::{Request, uninstall};

use super::leadership::LEASE;
use super::settings::namespace_name;

/// Settings of `liaison uninstall`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace
    #[arg(long, env = "LIAISON_NAMESPACE", default_value = "liaison-system")]
    pub namespace: String,

    /// Namespace that the operator works in; may be repeated. All of them where none is named
    #[arg(long = "namespaces", env = "LIAISON_NAMESPACES", value_delimiter = ',', value_parser = namespace_name)]
    pub namespaces: Vec<String>,

    /// The operator's Deployment, to scale it down first; without it, the operator must have stopped before
    #[arg(long)]
    pub deployment: Option<String>,

    /// How long to wait for the operator to stop, beside the time its lease lasts
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

/// Lets go of the cluster, and says what was done.
pub async fn run(settings: &Settings, output: &mut (impl Write + Send)) -> anyhow::Result<()> {
    // Only the first caller in a process sets it; a library that was faster has set the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = super::connect().await?;
    let request = Request {
        namespace: &settings.namespace,
        namespaces: &settings.namespaces,
        deployment: settings.deployment.as_deref(),
        lease: LEASE,
        patience: settings.wait,
    };
    // A reader that has gone away is no reason to stop halfway.
    let mut tell = |done| drop(writeln!(output, "{done}"));
    uninstall(&client, &request, &mut tell).await?;
    let kept =
        "nothing waits for the operator any more; connections, folders, connectors and Secrets are kept";
    writeln!(output, "{kept}").context("say what was done")
}
