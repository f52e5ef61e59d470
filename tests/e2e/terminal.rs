//! `kubectl liaison` at a terminal: the program that people run, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::control_plane::ControlPlane;
use crate::support::waiting::SOON;

/// A command that has been started.
pub(crate) struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub output: String,
    pub complaint: String,
}

impl Terminal {
    /// Starts a command. It opens no window; the browser is the test's part.
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_with(kubeconfig, arguments, Stdio::piped())
    }

    fn start_with(kubeconfig: &Path, arguments: &[&str], input: Stdio) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-liaison"));
        command.args(arguments).env("KUBECONFIG", kubeconfig).env("BROWSER", "true").kill_on_drop(true);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("kubectl liaison")?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let input = child.stdin.take();
        Ok(Self { child, input, lines, said: Vec::new() })
    }

    /// Runs a command to its end, with what a person types.
    pub(crate) async fn typing(kubeconfig: &Path, arguments: &[&str], typed: &str) -> Result<Ended> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-liaison"));
        command.args(arguments).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("kubectl liaison")?;
        child.stdin.take().context("its input")?.write_all(typed.as_bytes()).await?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Self { child, input: None, lines, said: Vec::new() }.end().await
    }

    /// Runs a command to its end.
    pub(crate) async fn run(kubeconfig: &Path, arguments: &[&str]) -> Result<Ended> {
        Self::start_with(kubeconfig, arguments, Stdio::null())?.end().await
    }

    /// Types a line.
    pub(crate) async fn enter(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it takes no input")?;
        input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(input.flush().await?)
    }

    /// Waits until it says this.
    pub(crate) async fn until_says(&mut self, words: &str) -> Result<()> {
        let found = tokio::time::timeout(SOON, async {
            while let Some(line) = self.lines.next_line().await? {
                let said = line.contains(words);
                self.said.push(line);
                if said {
                    return Ok(());
                }
            }
            anyhow::bail!("it ended without \"{words}\": {:?}", self.said)
        });
        found.await.with_context(|| format!("it does not say \"{words}\""))?
    }

    /// The link that it prints.
    pub(crate) async fn link(&mut self) -> Result<String> {
        let found = tokio::time::timeout(SOON, async {
            while let Some(line) = self.lines.next_line().await? {
                let link = line.trim().to_owned();
                self.said.push(line);
                if link.starts_with("http") {
                    return Ok(link);
                }
            }
            anyhow::bail!("it ended without a link: {:?}", self.said)
        });
        found.await.context("no link")?
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let id = self.child.id().context("it has ended already")?.to_string();
        let done = std::process::Command::new("kill").args(["-INT", &id]).status()?;
        ensure!(done.success(), "no signal was sent");
        Ok(())
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Result<Ended> {
        let ended = tokio::time::timeout(SOON, async {
            while let Some(line) = self.lines.next_line().await? {
                self.said.push(line);
            }
            let mut complaint = String::new();
            self.child.stderr.take().context("its complaints")?.read_to_string(&mut complaint).await?;
            Ok(Ended { code: self.child.wait().await?.code(), output: self.said.join("\n"), complaint })
        });
        ended.await.context("it does not end")?
    }
}

/// A kubeconfig of this user, with a context that names this namespace or none.
pub(crate) fn kubeconfig_of(
    control_plane: &ControlPlane,
    user: Option<&str>,
    namespace: Option<&str>,
) -> Result<PathBuf> {
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(control_plane.kubeconfig())?)?;
    if let Some(user) = user {
        kubeconfig["users"][0]["user"]["as"] = json!(user);
    }
    if let Some(namespace) = namespace {
        kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
    }
    let name = format!("{}-in-{}.kubeconfig", user.unwrap_or("administrator"), namespace.unwrap_or("none"));
    let path = control_plane.directory().join(name);
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig)?)?;
    Ok(path)
}
