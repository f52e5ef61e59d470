//! The one Connection that a person has to authenticate: by hand at a terminal, else over HTTP as a person would.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::say;
use crate::support::identity_provider::{PASSWORD, USERNAME, Zitadel};
use crate::support::walker::Walker;

const NAME: &str = "browser";
const NAMESPACE: &str = "team-examples";

/// Runs `kubectl liaison connect` and waits for its end.
pub(crate) async fn run(mut plugin: Command, attended: bool) -> Result<()> {
    say(&format!("kubectl liaison connect {NAME} --namespace {NAMESPACE}"));
    println!("    log in as {USERNAME} with the password {PASSWORD}");
    plugin.args(["connect", NAME, "--namespace", NAMESPACE]);
    if attended {
        let status =
            tokio::process::Command::from(plugin).status().await.context("kubectl liaison connect")?;
        // Somebody who does not want to log in now still wants to look around.
        if !status.success() {
            println!("not connected; try again in another terminal");
        }
        return Ok(());
    }
    // No window is to open where nobody looks.
    plugin.env("BROWSER", "true").stdout(Stdio::piped());
    let mut command = tokio::process::Command::from(plugin);
    let mut child = command.kill_on_drop(true).spawn().context("kubectl liaison connect")?;
    let output = child.stdout.take().context("its output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        let link = line.trim();
        if link.starts_with("http") {
            let page = Zitadel::consent(&mut Walker::new(), link).await?;
            println!("    the browser ends at: {}", page.text());
        }
    }
    let status = child.wait().await?;
    ensure!(status.success(), "`kubectl liaison connect` ended with {status}");
    Ok(())
}
