//! A person who runs `kubectl liaison connect` beside the node, and walks where its link leads.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::release::{NAMESPACE, TEAM};
use crate::support::control_plane::{ControlPlane, output_of};
use crate::support::guarded::Guarded;
use crate::support::identity_provider::Zitadel;
use crate::support::installation::RELEASE;
use crate::support::repository;
use crate::support::waiting::{self, SOON};
use crate::support::walker::Walker;

/// Where the chart's defaults lead browsers.
pub(crate) const PUBLIC_URL: &str = "http://localhost:8400";
const NAME: &str = "ada";

/// Who uses the team's connections, and has no other rights than those that are given here.
pub(crate) struct Person<'a> {
    control_plane: &'a ControlPlane,
    kubeconfig: PathBuf,
}

impl<'a> Person<'a> {
    pub(crate) fn new(control_plane: &'a ControlPlane) -> Result<Self> {
        let mut kubeconfig: Value =
            serde_yaml::from_str(&std::fs::read_to_string(control_plane.kubeconfig())?)?;
        kubeconfig["users"][0]["user"]["as"] = json!(NAME);
        let path = control_plane.directory().join("ada.kubeconfig");
        std::fs::write(&path, serde_yaml::to_string(&kubeconfig)?)?;
        Ok(Self { control_plane, kubeconfig: path })
    }

    fn is_given(&self, rights: &str) -> Result<()> {
        let file = repository().join("tests/node").join(rights);
        self.control_plane.run_kubectl(&["apply", "--filename", &file.to_string_lossy()]).map(drop)
    }

    /// Before a browser opens, and with what to do.
    pub(crate) async fn is_told_what_stands_in_the_way(&self) -> Result<()> {
        self.is_given("people.yaml")?;
        let refused = self.connect("first", || Ok(())).await.map_err(|error| format!("{error:#}"));
        let refused = refused.err().context("nobody forwards without the right to")?;
        let expected = "works for trials by a caller who may list Pods and forward ports";
        ensure!(refused.contains(expected) && refused.contains("cannot list resource"), "{refused}");
        ensure!(!refused.contains("Authenticate"), "no link that leads nowhere: {refused}");

        self.is_given("forwarding.yaml")?;
        let _other = TcpListener::bind((Ipv4Addr::LOCALHOST, 8400))?;
        let refused = self.connect("first", || Ok(())).await.map_err(|error| format!("{error:#}"));
        let refused = refused.err().context("another program has the port")?;
        ensure!(refused.contains("it is not Liaison") && !refused.contains("?start="), "{refused}");
        Ok(())
    }

    /// Nothing listens at the public address: the plugin forwards the port to a Pod.
    pub(crate) async fn connects_through_a_port_that_the_plugin_forwards(&self) -> Result<()> {
        ensure!(!waiting::answers(PUBLIC_URL).await, "somebody listens at {PUBLIC_URL}");
        self.connects("first", || Ok(())).await?;
        ensure!(!waiting::answers(PUBLIC_URL).await, "the port is forwarded beyond the command's end");
        let requesters = "--output=jsonpath={.items[*].spec.requester.username}";
        let get = ["get", "consentrequests", "--namespace", TEAM, requesters];
        let requesters = self.control_plane.run_kubectl(&get)?;
        ensure!(
            !requesters.is_empty() && requesters.split(' ').all(|name| name == NAME),
            "the webhook stamps requests: {requesters}"
        );
        Ok(())
    }

    /// As the chart's notes say.
    pub(crate) async fn connects_while_the_port_is_forwarded_already(&self) -> Result<()> {
        let mut kubectl = self.control_plane.kubectl();
        kubectl.args(["port-forward", &format!("service/{RELEASE}"), "8400", "--namespace", NAMESPACE]);
        let mut forward = Guarded::spawn("port-forward", &kubectl, self.control_plane.directory())?;
        forward.wait_ready(SOON, async || waiting::answers(PUBLIC_URL).await).await?;
        self.connects("second", || Ok(())).await
    }

    /// The Pod that the plugin forwarded to is gone when the person comes back from the provider.
    pub(crate) async fn connects_though_the_pods_are_replaced_meanwhile(&self) -> Result<()> {
        let replace = || {
            let pods = "--selector=app.kubernetes.io/component=operator";
            self.control_plane.run_kubectl(&["delete", "pods", pods, "--namespace", NAMESPACE])?;
            let rollout = ["rollout", "status", "deployment", RELEASE, "--namespace", NAMESPACE];
            self.control_plane.run_kubectl(&[&rollout[..], &["--timeout=1m"]].concat()).map(drop)
        };
        self.connects("first", replace).await
    }

    pub(crate) fn verifies(&self, connection: &str) -> Result<()> {
        let verified = output_of(&mut self.plugin(&["verify", connection])?)?;
        ensure!(verified.trim_end().ends_with("Succeeded"), "{verified}");
        Ok(())
    }

    async fn connects(&self, connection: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        let output = self.connect(connection, meanwhile).await?;
        std::fs::write(self.control_plane.directory().join(format!("connect-{connection}.txt")), &output)?;
        let connected = format!("Connected \"{connection}\" as test-user@example.com.");
        ensure!(output.contains(&connected), "{output}");
        let name = format!("connection/{connection}");
        let wait = ["wait", "--for=condition=Ready", "--timeout=30s", "--namespace", TEAM, &name];
        self.control_plane.run_kubectl(&wait).map(drop)
    }

    /// Runs the command to its end while the person goes where its link leads; gives its output. Something may happen
    /// while they read the provider's page.
    async fn connect(&self, connection: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<String> {
        let mut command = self.plugin(&["connect", connection, "--wait", "2m"])?;
        // No window is to open where nobody looks.
        command.env("BROWSER", "true").stdout(Stdio::piped()).stderr(Stdio::piped());
        walk(command, meanwhile).await.with_context(|| format!("connect {connection}"))
    }

    /// `kubectl liaison`, for the team.
    fn plugin(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.control_plane.kubectl();
        command.env("KUBECONFIG", &self.kubeconfig);
        command.arg("liaison").args(arguments).args(["--namespace", TEAM]);
        let plugins =
            Path::new(env!("CARGO_BIN_EXE_kubectl-liaison")).parent().context("folder of the plugin")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(plugins.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path)?);
        Ok(command)
    }
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
