//! Nothing that the harness starts is ever left running.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::support::environment;
use crate::support::guarded::Guarded;
use crate::support::waiting::{SOON, eventually};

/// Set when this test binary is started again to play the process that gets killed.
const HELPER_FOLDER: &str = "LIAISON_TEST_GUARD_HELPER";

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn exists(process_id: u32) -> Result<bool> {
    let probe = shell(&format!("kill -s 0 {process_id}")).stderr(Stdio::null()).status()?;
    Ok(probe.success())
}

async fn gone(process_id: u32) -> Result<()> {
    eventually("the process is gone", SOON, async || Ok((!exists(process_id)?).then_some(()))).await
}

#[tokio::test]
async fn dropping_a_guarded_process_ends_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let guarded = Guarded::spawn("sleeper", &shell("exec sleep 600"), folder.path())?;
    let process_id = guarded.id();
    assert!(exists(process_id)?);

    drop(guarded);

    assert!(!exists(process_id)?);
    Ok(())
}

#[tokio::test]
async fn one_that_ignores_the_polite_signal_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stubborn = shell("trap '' TERM; echo deaf; while :; do sleep 0.1; done");
    let mut guarded = Guarded::spawn("stubborn", &stubborn, folder.path())?;
    let log = guarded.log().to_owned();
    guarded.wait_ready(SOON, async || std::fs::read(&log).is_ok_and(|text| !text.is_empty())).await?;
    let process_id = guarded.id();

    let status = guarded.stop()?;

    assert_eq!(status.code(), Some(128 + 9), "ended by KILL");
    assert!(!exists(process_id)?);
    Ok(())
}

#[tokio::test]
async fn a_signal_by_name_reaches_the_process_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut killed = Guarded::spawn("killed", &shell("exec sleep 600"), folder.path())?;
    killed.kill_now()?;
    assert!(!exists(killed.id())?);

    let mut asked = Guarded::spawn("asked", &shell("exec sleep 600"), folder.path())?;
    asked.signal("TERM")?;
    assert_eq!(asked.wait_exit(SOON).await?.code(), Some(128 + 15));
    Ok(())
}

#[tokio::test]
async fn an_early_end_is_an_error_that_quotes_the_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let failing = shell("echo 'address already in use' >&2; exit 3");
    let mut guarded = Guarded::spawn("failing", &failing, folder.path())?;

    let error = guarded.wait_ready(SOON, async || false).await.expect_err("it never gets ready");

    let message = error.to_string();
    assert!(message.contains("failing ended early (exit status: 3)"), "{message}");
    assert!(message.contains("address already in use"), "{message}");
    Ok(())
}

#[tokio::test]
async fn the_child_ends_when_its_owner_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--exact", "--nocapture", "harness_guard::owner_that_gets_killed"])
        .env(HELPER_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(owner.stdout.take().context("output of the owner")?);
    let id_of = |line: String| line.strip_prefix("child=").and_then(|id| id.parse().ok());
    let process_id = output.lines().map_while(std::io::Result::ok).find_map(id_of);
    let process_id = process_id.context("process id of the child")?;
    assert!(exists(process_id)?);

    owner.kill()?;
    owner.wait()?;

    gone(process_id).await
}

/// Does nothing by itself: the other half of the test above.
#[tokio::test]
async fn owner_that_gets_killed() -> Result<()> {
    let Some(folder) = environment(HELPER_FOLDER) else { return Ok(()) };
    let mut guarded = Guarded::spawn("orphan", &shell("exec sleep 600"), folder.as_ref())?;
    // The test runner may have written half a line before this.
    println!("\nchild={}", guarded.id());
    guarded.wait_exit(Duration::from_mins(10)).await?;
    Ok(())
}
