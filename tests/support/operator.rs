//! The operator under test, as the process that a user would run.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::control_plane::ControlPlane;
use super::guarded::Guarded;
use super::waiting::{self, SOON};

pub struct Operator {
    server: Guarded,
}

/// How to run it.
pub struct OperatorOptions<'a> {
    /// The built program; a test knows it as `env!("CARGO_BIN_EXE_liaison")`.
    pub program: &'a Path,
    /// Flags after `liaison run`.
    pub arguments: &'a [String],
    pub environment: &'a [(&'a str, String)],
    /// The operator is ready when this address answers with success.
    pub ready_url: &'a str,
}

impl Operator {
    /// Runs `liaison run` against the control plane and waits until it is ready.
    pub async fn start(control_plane: &ControlPlane, options: &OperatorOptions<'_>) -> Result<Self> {
        make_namespace(control_plane).await?;
        let mut this = Self::spawn(control_plane, options)?;
        this.wait_ready(options.ready_url).await?;
        Ok(this)
    }

    /// The same without waiting.
    pub fn spawn(control_plane: &ControlPlane, options: &OperatorOptions<'_>) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("operator-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(options.program);
        command.arg("run").args(options.arguments).env("KUBECONFIG", control_plane.kubeconfig());
        for (key, value) in options.environment {
            command.env(key, value);
        }
        Ok(Self { server: Guarded::spawn(&name, &command, control_plane.directory())? })
    }

    pub async fn wait_ready(&mut self, url: &str) -> Result<()> {
        self.server.wait_ready(SOON, async || waiting::answers(url).await).await
    }

    /// SIGKILL: nothing gets finished. Returns when it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.server.kill_now()
    }

    /// The process: its id, its log, other signals.
    pub fn server(&mut self) -> &mut Guarded {
        &mut self.server
    }
}

/// The operator's own namespace, which an installation makes.
pub const OPERATOR_NAMESPACE: &str = "liaison-system";

/// Makes the operator's namespace, where it is not there yet.
pub async fn make_namespace(control_plane: &ControlPlane) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(control_plane.client().await?);
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": OPERATOR_NAMESPACE } });
    namespaces
        .patch(OPERATOR_NAMESPACE, &PatchParams::apply("installation"), &Patch::Apply(namespace))
        .await?;
    Ok(())
}
