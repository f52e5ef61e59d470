//! A person who runs `kubectl liaison connect` beside the node, and walks where its link leads.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::node;
use crate::release::{NAMESPACE, TEAM};
use crate::support::control_plane::ControlPlane;
use crate::support::guarded::Guarded;
use crate::support::identity_provider::Zitadel;
use crate::support::installation::RELEASE;
use crate::support::waiting::{self, SOON};
use crate::support::walker::Walker;

/// Where the chart's defaults lead browsers.
const PUBLIC_URL: &str = "http://localhost:8400";

/// The example identity provider. It names itself `localhost`, where a Pod finds nobody but itself; Pods reach it at the
/// node's address.
pub(crate) struct Provider {
    server: Zitadel,
}

impl Provider {
    pub(crate) async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let callback = format!("{PUBLIC_URL}/callback/identity");
        Ok(Self { server: Zitadel::start(control_plane.directory(), None, &[&callback]).await? })
    }

    fn reached_at(&self) -> String {
        self.server.authority().replace("localhost", node::ADDRESS)
    }

    /// The chart's value that exempts it from the egress guard.
    pub(crate) fn exception(&self) -> String {
        format!("provider.egressExceptions={{{},{}}}", self.reached_at(), self.server.authority())
    }

    /// Objects of a team that uses it.
    pub(crate) fn team(&self) -> String {
        let name = self.server.authority();
        include_str!("team.yaml").replace("REACHED-AT", &self.reached_at()).replace("ITS-NAME", &name)
    }
}

/// Nothing listens at the public address: the plugin forwards the port to a Pod.
pub(crate) async fn connects_through_a_port_that_the_plugin_forwards(
    control_plane: &ControlPlane,
) -> Result<()> {
    ensure!(!waiting::answers(PUBLIC_URL).await, "somebody listens at {PUBLIC_URL}");
    let output = connect(control_plane, "first", || Ok(())).await?;
    ensure!(output.contains("Connected \"first\" as test-user@example.com."), "{output}");
    ensure!(!waiting::answers(PUBLIC_URL).await, "the port is forwarded beyond the command's end");
    is_ready(control_plane, "first")?;
    let requester = "--output=jsonpath={.items[0].spec.requester.username}";
    let requester = control_plane.run_kubectl(&["get", "consentrequests", "--namespace", TEAM, requester])?;
    ensure!(requester == "administrator", "the request is stamped by the webhook: {requester}");
    Ok(())
}

/// As the chart's notes advise.
pub(crate) async fn connects_while_the_port_is_forwarded_by_somebody_else(
    control_plane: &ControlPlane,
) -> Result<()> {
    let mut kubectl = control_plane.kubectl();
    kubectl.args(["port-forward", &format!("service/{RELEASE}"), "8400", "--namespace", NAMESPACE]);
    let mut forward = Guarded::spawn("port-forward", &kubectl, control_plane.directory())?;
    forward.wait_ready(SOON, async || waiting::answers(PUBLIC_URL).await).await?;
    let output = connect(control_plane, "second", || Ok(())).await?;
    ensure!(output.contains("Connected \"second\" as test-user@example.com."), "{output}");
    is_ready(control_plane, "second")
}

/// The plugin forwards to a Pod that is gone before the person comes back from the provider.
pub(crate) async fn connects_though_the_pods_are_replaced_meanwhile(
    control_plane: &ControlPlane,
) -> Result<()> {
    let replace = || {
        let pods =
            ["delete", "pods", "--selector=app.kubernetes.io/component=operator", "--namespace", NAMESPACE];
        control_plane.run_kubectl(&pods)?;
        let rollout = ["rollout", "status", "deployment", RELEASE, "--namespace", NAMESPACE, "--timeout=1m"];
        control_plane.run_kubectl(&rollout).map(drop)
    };
    let output = connect(control_plane, "first", replace).await?;
    ensure!(output.contains("Connected \"first\" as test-user@example.com."), "{output}");
    is_ready(control_plane, "first")
}

fn is_ready(control_plane: &ControlPlane, connection: &str) -> Result<()> {
    let connection = format!("connection/{connection}");
    let wait = ["wait", "--for=condition=Ready", "--timeout=30s", "--namespace", TEAM, &connection];
    control_plane.run_kubectl(&wait).map(drop)
}

/// `kubectl liaison`, for the team.
pub(crate) fn plugin(control_plane: &ControlPlane, arguments: &[&str]) -> Result<Command> {
    let mut command = control_plane.kubectl();
    command.arg("liaison").args(arguments).args(["--namespace", TEAM]);
    let plugins =
        Path::new(env!("CARGO_BIN_EXE_kubectl-liaison")).parent().context("folder of the plugin")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(plugins.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path)?);
    Ok(command)
}

/// Runs the command to its end while a person goes where its link leads; gives its output. Something may happen while
/// the person reads the provider's page.
async fn connect(
    control_plane: &ControlPlane,
    connection: &str,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<String> {
    let mut command = plugin(control_plane, &["connect", connection, "--wait", "2m"])?;
    // No window is to open where nobody looks.
    command.env("BROWSER", "true").stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = walk(command, meanwhile).await.with_context(|| format!("connect {connection}"))?;
    std::fs::write(control_plane.directory().join(format!("connect-{connection}.txt")), &output)?;
    Ok(output)
}

async fn walk(command: Command, meanwhile: impl FnOnce() -> Result<()>) -> Result<String> {
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut complaints = child.stderr.take().context("standard error")?;
    let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
    let mut output = String::new();
    let mut meanwhile = Some(meanwhile);
    while let Some(line) = lines.next_line().await? {
        output = format!("{output}{line}\n");
        if let Some(meanwhile) = meanwhile.take_if(|_| line.trim().starts_with("http")) {
            let mut walker = Walker::new();
            let login = Zitadel::leave(&mut walker, line.trim()).await?;
            meanwhile()?;
            let page = Zitadel::sign_in(&mut walker, &login).await?;
            output = format!("{output}the browser ends at: {}\n", page.text());
        }
    }
    complaints.read_to_string(&mut output).await?;
    let status = tokio::time::timeout(Duration::from_mins(1), child.wait()).await??;
    ensure!(status.success(), "{status}: {output}");
    Ok(output)
}
