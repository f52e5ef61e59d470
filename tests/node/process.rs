//! A workload that uses a connection, as a Pod.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::release::TEAM;
use crate::support::control_plane::ControlPlane;

/// The image of a Pod that does what [`calls_the_application`] does: this very test binary.
pub(crate) const IMAGE: &str = "localhost/workload:test";

/// Applies it as a user does, and waits until its Pod has succeeded.
pub(crate) fn is_bound_and_calls_the_application(control_plane: &ControlPlane) -> Result<()> {
    let path = control_plane.directory().join("process.yaml");
    std::fs::write(&path, include_str!("process.yaml"))?;
    control_plane.run_kubectl(&["apply", "--server-side", "--filename", &path.to_string_lossy()])?;
    let in_team = ["--namespace", TEAM, "--timeout=1m"];
    let bound = ["wait", "processbinding/orders", "--for=condition=Ready"];
    control_plane.run_kubectl(&[&bound[..], &in_team].concat())?;
    let done = ["wait", "pod/orders", "--for=jsonpath={.status.phase}=Succeeded"];
    let done = control_plane.run_kubectl(&[&done[..], &in_team].concat());
    let log = || control_plane.run_kubectl(&["logs", "orders", "--namespace", TEAM]);
    done.map(drop).with_context(|| format!("{:?}", log()))?;
    let log = log()?;
    ensure!(log.contains("called as "), "{log}");
    Ok(())
}

/// Inside of the Pod: the files of a binding (Service Binding specification), and a call with them.
#[expect(clippy::disallowed_methods, reason = "a workload finds its bindings by this variable")]
pub(crate) async fn calls_the_application() -> Result<()> {
    crate::support::install_cryptography();
    let root = std::env::var("SERVICE_BINDING_ROOT").context("SERVICE_BINDING_ROOT")?;
    let read = |key: &str| {
        let path = Path::new(&root).join("identity").join(key);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    ensure!(read("type")? == "identity" && read("provider")? == "liaison");
    let answer = reqwest::Client::new()
        .get(format!("{}/userinfo", read("base-url")?))
        .bearer_auth(read("access-token")?)
        .send()
        .await?
        .error_for_status()?;
    let person: Value = answer.json().await?;
    ensure!(person["email"] == read("account")?, "{person}");
    Ok(writeln!(std::io::stdout(), "called as {}", person["email"])?)
}
