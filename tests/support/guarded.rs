//! Child processes that never outlive us: see `guard.sh`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::waiting;

const GUARD: &str = include_str!("guard.sh");
const QUOTED_LINES: usize = 20;

/// A running server. Dropping it stops it and waits until it is gone.
pub struct Guarded {
    name: String,
    guard: Child,
    /// Closed when we let go of it or die: then the guard stops the server.
    orders: Option<ChildStdin>,
    process_id: u32,
    log: PathBuf,
}

impl Guarded {
    /// Starts `command` in a process group of its own, so that Ctrl-C in a terminal
    /// reaches us alone and we decide the order of stopping. Its output goes to
    /// `<directory>/<name>.log`.
    pub fn spawn(name: &str, command: &Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let log_file = File::options().create(true).append(true).open(&log)?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, name]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(key, value),
                None => guard.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guard.current_dir(folder);
        }
        guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_file).process_group(0);
        let mut guard = guard.spawn().with_context(|| format!("start the guard of {name}"))?;
        let orders = guard.stdin.take();
        let mut first_line = String::new();
        if let Some(output) = guard.stdout.take() {
            BufReader::new(output).read_line(&mut first_line)?;
        }
        let process_id = first_line.trim().parse().with_context(|| format!("process id of {name}"))?;
        Ok(Self { name: name.to_owned(), guard, orders, process_id, log })
    }

    /// The server's own process id, not the guard's.
    pub fn id(&self) -> u32 {
        self.process_id
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log, for error messages.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.guard.try_wait(), Ok(None))
    }

    /// Waits until `ready` says so. A server that ends before is an error at once,
    /// with the end of its log.
    pub async fn wait_ready(
        &mut self,
        deadline: Duration,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let end = Instant::now() + deadline;
        while !ready().await {
            let name = &self.name;
            if let Some(status) = self.guard.try_wait()? {
                bail!("{name} ended early ({status}); the end of its log:\n{}", self.log_tail());
            }
            if Instant::now() >= end {
                bail!("{name} is not ready after {deadline:?}; the end of its log:\n{}", self.log_tail());
            }
            waiting::pause().await;
        }
        Ok(())
    }

    /// Sends a signal by its name, for example `STOP` and `CONT` for a freeze.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        self.order(signal)
    }

    /// Keeps this server up until the other one is gone, also when we get killed.
    pub fn outlive(&mut self, other: &Self) -> Result<()> {
        self.order(&format!("AFTER {}", other.process_id))
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().with_context(|| format!("{} was stopped", self.name))?;
        writeln!(orders, "{order}").with_context(|| format!("send {order} to {}", self.name))
    }

    /// SIGKILL: the server gets no chance to finish anything. Returns when it is gone.
    pub fn kill_now(&mut self) -> Result<()> {
        self.signal("KILL")?;
        self.guard.wait()?;
        Ok(())
    }

    /// Waits for the server to end by itself or by a signal sent before.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let Self { name, guard, .. } = self;
        waiting::eventually(&format!("{name} ends"), deadline, async || Ok(guard.try_wait()?)).await
    }

    /// TERM, five seconds of grace, KILL; returns when it is gone.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.finish().with_context(|| format!("stop {}", self.name))
    }

    fn finish(&mut self) -> Result<ExitStatus> {
        drop(self.orders.take());
        Ok(self.guard.wait()?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Nothing to do about a failure here; the guard acts on its own.
        let _ = self.finish();
    }
}
