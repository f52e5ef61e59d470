//! Liaison on one machine: a real control plane, a real identity provider, the
//! operator, and the examples applied. `make demo` runs it; its help names the settings.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the demo talks to a person at a terminal")]

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod connections;
mod credentials;
mod roles;
mod settings;

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

use support::control_plane::{ControlPlane, Options, output_of};
use support::identity_provider::Zitadel;
use support::operator::{Operator, OperatorOptions, make_namespace};
use support::run_directory::RunDirectory;

/// The demo's tokens live for 299 seconds and are minted again before they end.
const BETWEEN_RENEWALS: Duration = Duration::from_mins(4);

/// Exit code where nobody was there to want the interruption.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let attended = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let attended = attended && support::environment("AUTO").is_none_or(|value| value != "1");
    // Dropping the unfinished demo stops its servers, the operator first.
    let outcome = tokio::select! {
        outcome = demo(attended) => outcome,
        () = asked_to_stop() => {
            println!("\nstopping");
            return if attended { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn asked_to_stop() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [interrupt, terminate, hangup] = signals.map(signal);
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (interrupt, terminate, hangup) else {
        // Without handlers the signals end us, and the guards stop the servers.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

async fn demo(attended: bool) -> Result<()> {
    let started = Instant::now();
    for folder in ["crds", "examples"] {
        ensure!(support::repository().join(folder).is_dir(), "the folder `{folder}` is missing");
    }
    say(if ControlPlane::will_be_own() {
        "starting etcd, kube-apiserver and kube-controller-manager, with our CRDs"
    } else {
        "adding our CRDs to the existing cluster"
    });
    let directory = RunDirectory::take_fixed("demo")?;
    let control_plane = ControlPlane::start(directory, &Options::with_crds()).await?;

    say("starting the identity provider");
    let port = Some(settings::IDENTITY_PROVIDER_PORT);
    let zitadel = Zitadel::start(control_plane.directory(), port, &[settings::REDIRECT_URI]).await?;

    say("starting the operator");
    let programs = support::build_folder()?;
    let operator_settings = settings::operator(&zitadel)?;
    make_namespace(&control_plane).await?;
    if control_plane.is_own() {
        operator_settings.admission.install_printed(&control_plane, &programs.join("liaison"))?;
        roles::apply(&control_plane).await?;
    }
    let options = OperatorOptions {
        program: &programs.join("liaison"),
        arguments: &operator_settings.arguments,
        environment: &[],
        ready_url: &operator_settings.ready_url,
    };
    let mut operator = Operator::start(&control_plane, &options).await?;

    let outcome = show(&control_plane, &zitadel, &programs, started, attended).await;
    if outcome.is_err() {
        eprintln!("\n{}", control_plane.run_kubectl(&["describe", "connections", "--all-namespaces"])?);
        eprintln!("the end of the operator's log:\n{}", operator.server().log_tail());
    }
    outcome?;
    if attended { stay(&control_plane, &zitadel).await } else { Ok(()) }
}

/// Applies the examples and waits until they are what they promise.
async fn show(
    control_plane: &ControlPlane,
    zitadel: &Zitadel,
    programs: &Path,
    started: Instant,
    attended: bool,
) -> Result<()> {
    say("applying examples/");
    let examples = support::repository().join("examples");
    control_plane.run_kubectl(&["apply", "--filename", &examples.to_string_lossy()])?;
    print_connections(control_plane)?;

    say("adding the credentials they wait for");
    credentials::apply(control_plane, zitadel).await?;
    let ready = connections::wait_ready(&control_plane.client().await?).await?;
    print_connections(control_plane)?;
    say(&format!("ready {:.1} s after the start", started.elapsed().as_secs_f32()));
    say("a process that consumes one of them");
    let all = ["processbindings", "--all", "--all-namespaces", "--timeout=30s"];
    control_plane.run_kubectl(&[&["wait", "--for=condition=Ready"][..], &all].concat())?;
    print!("{}", control_plane.run_kubectl(&["get", "processbindings", "--all-namespaces"])?);

    let [name, namespace] = ready;
    say(&format!("kubectl liaison verify {name} --namespace {namespace}"));
    let mut verify = plugin(control_plane, programs)?;
    verify.args(["verify", &name, "--namespace", &namespace]);
    print!("{}", output_of(&mut verify).context("verify")?);

    let connect = plugin(control_plane, programs)?;
    connect::run(connect, attended).await?;
    print_connections(control_plane)
}

/// `kubectl liaison`, found on the path as a person's own would be.
fn plugin(control_plane: &ControlPlane, programs: &Path) -> Result<Command> {
    let path = support::environment("PATH").unwrap_or_default();
    let folders = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    let mut command = control_plane.kubectl();
    command.arg("liaison").env("PATH", std::env::join_paths(folders)?);
    Ok(command)
}

async fn stay(control_plane: &ControlPlane, zitadel: &Zitadel) -> Result<()> {
    let kubeconfig = control_plane.kubeconfig();
    let here = std::env::current_dir()?;
    let shown = kubeconfig.strip_prefix(&here).unwrap_or(kubeconfig);
    println!("\nIn another terminal:\n\n    export KUBECONFIG={}\n", shown.display());
    println!("    kubectl get connections --all-namespaces\n\nCtrl-C stops everything.");
    let mut renewals = tokio::time::interval(BETWEEN_RENEWALS);
    renewals.tick().await;
    loop {
        renewals.tick().await;
        credentials::apply(control_plane, zitadel).await?;
    }
}

fn print_connections(control_plane: &ControlPlane) -> Result<()> {
    println!("{}", control_plane.run_kubectl(&["get", "connections", "--all-namespaces"])?);
    Ok(())
}

fn say(what: &str) {
    println!("==> {what}");
}
