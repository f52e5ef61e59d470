//! `kubectl liaison connect` as a process, and all that it prints.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::control_plane::ControlPlane;

/// A command that waits for its person.
pub(super) struct PluginRun {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: String,
    /// The link that it printed.
    pub(super) link: String,
}

impl PluginRun {
    /// Runs it until it has printed its link.
    pub(super) async fn connect(control_plane: &ControlPlane, namespace: &str, name: &str) -> Result<Self> {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_kubectl-liaison")));
        command
            .args(["connect", name, "--namespace", namespace])
            .env("KUBECONFIG", control_plane.kubeconfig())
            // No window is to open where nobody looks.
            .env("BROWSER", "true")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("kubectl liaison connect")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut printed = String::new();
        while let Some(line) = lines.next_line().await? {
            printed.extend([line.as_str(), "\n"]);
            if let Some(link) = line.trim().strip_prefix("http") {
                let link = format!("http{link}");
                return Ok(Self { child, lines, printed, link });
            }
        }
        anyhow::bail!("no link: {printed}")
    }

    /// Waits for its end; all that it printed.
    pub(super) async fn end(mut self) -> Result<String> {
        while let Some(line) = self.lines.next_line().await? {
            self.printed.extend([line.as_str(), "\n"]);
        }
        let mut complaints = self.child.stderr.take().context("its complaints")?;
        complaints.read_to_string(&mut self.printed).await?;
        self.child.wait().await?;
        Ok(self.printed)
    }
}
