//! Parts of an installation by the chart: Helm, and the rights that it gives.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::control_plane::{ControlPlane, output_of};
use super::operator::{OPERATOR_NAMESPACE, make_namespace};
use super::own_servers::ADMINISTRATOR;
use super::{binaries, build_folder, free_port, repository};

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
    operator_rights_in(control_plane, &[]).await
}

/// The same for an operator that works in these namespaces only, which have to be there.
pub async fn operator_rights_in(control_plane: &ControlPlane, namespaces: &[&str]) -> Result<PathBuf> {
    make_namespace(control_plane).await?;
    let some = format!("--set-json=namespaces={}", json!(namespaces));
    let only = ["--show-only=templates/serviceaccount.yaml", "--show-only=templates/rbac.yaml", &some];
    apply_rendered(control_plane, "rights", &only)?;
    kubeconfig_of(control_plane, RELEASE)
}

/// Where the API server asks the operator of a test.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionPort(pub u16);

impl AdmissionPort {
    /// A free one.
    pub fn take() -> Result<Self> {
        Ok(Self(free_port()?))
    }

    pub fn url(self) -> String {
        format!("https://127.0.0.1:{}", self.0)
    }

    /// The operator's flags.
    pub fn arguments(self) -> [String; 3] {
        [
            format!("--admission-address=127.0.0.1:{}", self.0),
            format!("--admission-configuration={RELEASE}"),
            "--admission-host=127.0.0.1".to_owned(),
        ]
    }

    /// Applies the chart's webhook configurations, which lead here, and its policies.
    pub fn install(self, control_plane: &ControlPlane) -> Result<()> {
        let url = format!("--set=admission.url={}", self.url());
        apply_rendered(control_plane, "admission", &[&url, "--show-only=templates/admission.yaml"])
    }

    /// The same without Helm, as the operator's program prints it, for an operator with the administrator's rights.
    pub fn install_printed(self, control_plane: &ControlPlane, program: &Path) -> Result<()> {
        let mut print = Command::new(program);
        print.args([
            "manifests",
            "--operator",
            ADMINISTRATOR,
            "--namespace",
            OPERATOR_NAMESPACE,
            "--admission-url",
        ]);
        apply(control_plane, "admission", output_of(print.arg(self.url()))?)
    }
}

/// Where workloads ask the operator of a test.
#[derive(Clone, Copy, Debug)]
pub struct TokenPort(pub u16);

impl TokenPort {
    /// A free one.
    pub fn take() -> Result<Self> {
        Ok(Self(free_port()?))
    }

    pub fn url(self) -> String {
        format!("https://127.0.0.1:{}/token", self.0)
    }

    /// The operator's flags.
    pub fn arguments(self) -> [String; 2] {
        [format!("--token-address=127.0.0.1:{}", self.0), "--token-host=127.0.0.1".to_owned()]
    }

    /// Applies the chart's ConfigMap, in which workloads find whom to trust, and their right to read it.
    pub fn install(control_plane: &ControlPlane) -> Result<()> {
        apply_rendered(control_plane, "token-authority", &["--show-only=templates/token-authority.yaml"])
    }
}

/// Applies a part of what the chart renders.
pub fn apply_rendered(control_plane: &ControlPlane, part: &str, options: &[&str]) -> Result<()> {
    let template = ["template", RELEASE, "charts/liaison", "--namespace", OPERATOR_NAMESPACE];
    apply(control_plane, part, output_of(&mut helm(&[&template, options].concat())?)?)
}

fn apply(control_plane: &ControlPlane, part: &str, manifests: String) -> Result<()> {
    let manifest = control_plane.directory().join(format!("{part}.yaml"));
    std::fs::write(&manifest, manifests)?;
    let manifest = manifest.to_string_lossy();
    control_plane.run_kubectl(&["apply", "--server-side", "--filename", &manifest]).map(drop)
}
