//! Parts of an installation by the chart: Helm, and the rights that it gives.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::control_plane::{ControlPlane, output_of};
use super::operator::{OPERATOR_NAMESPACE, make_namespace};
use super::{binaries, build_folder, repository};

/// Release of the tests, and the full name of its objects.
pub const RELEASE: &str = "liaison";

/// Helm, with folders of its own and no cluster.
pub fn helm(arguments: &[&str]) -> Result<Command> {
    let program = binaries::find("helm").context("helm; `tests/controlplane/build --with-helm` builds it")?;
    let home = build_folder()?.parent().context("target folder")?.join("helm");
    let mut command = Command::new(program);
    command.args(arguments).env_remove("KUBECONFIG").current_dir(repository());
    for folder in ["CACHE", "CONFIG", "DATA"] {
        command.env(format!("HELM_{folder}_HOME"), home.join(folder));
    }
    Ok(command)
}

/// A kubeconfig for a ServiceAccount of the operator's namespace, with a token as a Pod has one.
pub fn kubeconfig_of(control_plane: &ControlPlane, account: &str) -> Result<PathBuf> {
    let token =
        control_plane.run_kubectl(&["create", "token", account, "--namespace", OPERATOR_NAMESPACE])?;
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(control_plane.kubeconfig())?)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token.trim() });
    let path = control_plane.directory().join(format!("{account}.kubeconfig"));
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig)?)?;
    Ok(path)
}

/// Applies the chart's ServiceAccount and roles, and nothing else of it; gives the kubeconfig of an operator that has
/// these rights only.
pub async fn operator_rights(control_plane: &ControlPlane) -> Result<PathBuf> {
    make_namespace(control_plane).await?;
    let rendered = output_of(&mut helm(&[
        "template",
        RELEASE,
        "charts/liaison",
        "--namespace",
        OPERATOR_NAMESPACE,
        "--show-only=templates/serviceaccount.yaml",
        "--show-only=templates/rbac.yaml",
    ])?)?;
    let manifest = control_plane.directory().join("rights.yaml");
    std::fs::write(&manifest, rendered)?;
    let manifest = manifest.to_string_lossy();
    control_plane.run_kubectl(&["apply", "--namespace", OPERATOR_NAMESPACE, "--filename", &manifest])?;
    kubeconfig_of(control_plane, RELEASE)
}
