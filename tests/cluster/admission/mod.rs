//! Admission on a real API server: policies, and webhooks that an operator with the chart's rights answers.

mod connection_policies;
mod connections;
mod consent_requests;
mod folders;
mod in_use;
mod listener;
mod names;
mod outages;
mod owners;
mod process_bindings;
mod rotation;
mod serving;
mod tree;

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use liaison::api::Connection;
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, Options};
use crate::support::free_port;
use crate::support::installation::{AdmissionPort, apply_rendered, operator_rights};
use crate::support::operator::{Operator, OperatorOptions};
use crate::support::run_directory::RunDirectory;
use crate::support::waiting::{SOON, blocking, eventually};

/// A control plane with the chart's admission, and the operator that it asks.
pub(crate) struct Stage {
    pub control_plane: ControlPlane,
    pub operator: Operator,
    /// Where the operator answers probes.
    pub internal_url: String,
}

impl Stage {
    /// The one that tests share which change nothing for the whole cluster.
    fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Stage, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            blocking(async || Self::start("admission").await).map_err(|error| format!("{error:#}"))
        });
        shared.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    pub(crate) async fn start(name: &str) -> Result<Self> {
        let control_plane = ControlPlane::start(RunDirectory::take(name)?, &Options::with_crds()).await?;
        apply_rendered(&control_plane, "user-roles", &["--show-only=templates/user-roles.yaml"])?;
        let port = AdmissionPort::take()?;
        port.install(&control_plane)?;
        let internal_port = free_port()?;
        let operator = operate(&control_plane, "admission", port, internal_port).await?;
        let internal_url = format!("http://127.0.0.1:{internal_port}");
        let stage = Self { control_plane, operator, internal_url };
        stage.policies_are_at_work().await?;
        Ok(stage)
    }

    /// The API server learns of policies a moment after they were applied.
    async fn policies_are_at_work(&self) -> Result<()> {
        let client = self.control_plane.client().await?;
        eventually("the policies are at work", SOON, async || {
            let refused = create(&client, "liaison-system", &connection("probe", &json!({}))).await;
            Ok(refused.is_err_and(|text| text.contains("is the operator's own")).then_some(()))
        })
        .await
    }

    /// A namespace of its own for a test, with a user who holds these roles in it.
    async fn user(&self, namespace: &str, roles: &[&str]) -> Result<Client> {
        user(&self.control_plane, namespace, roles).await
    }
}

/// A namespace of its own for a test, with a user who holds these roles in it.
async fn user(control_plane: &ControlPlane, namespace: &str, roles: &[&str]) -> Result<Client> {
    control_plane.run_kubectl(&["create", "namespace", namespace])?;
    let user = format!("ada-of-{namespace}");
    for role in roles {
        let name = format!("--user={user}");
        let role_flag = format!("--clusterrole={role}");
        let bind = ["create", "rolebinding", role, "--namespace", namespace, &role_flag, &name];
        control_plane.run_kubectl(&bind)?;
    }
    let client = control_plane.client_as(&user, &["staff"]).await?;
    let mine: Api<Connection> = Api::namespaced(client.clone(), namespace);
    eventually("the API server knows the roles", SOON, async || {
        Ok(mine.list(&kube::api::ListParams::default()).await.is_ok().then_some(()))
    })
    .await?;
    Ok(client)
}

async fn operate(
    control_plane: &ControlPlane,
    identity: &str,
    port: AdmissionPort,
    internal_port: u16,
) -> Result<Operator> {
    let mut arguments = vec![
        format!("--identity={identity}"),
        "--public-address=127.0.0.1:0".to_owned(),
        format!("--internal-address=127.0.0.1:{internal_port}"),
        "--log=info,liaison=debug".to_owned(),
    ];
    arguments.extend(port.arguments());
    let kubeconfig = operator_rights(control_plane).await?;
    let options = OperatorOptions {
        program: Path::new(env!("CARGO_BIN_EXE_liaison")),
        arguments: &arguments,
        environment: &[("KUBECONFIG", kubeconfig.display().to_string())],
        ready_url: &format!("http://127.0.0.1:{internal_port}/readyz"),
    };
    Operator::start(control_plane, &options).await
}

fn connection(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["connectorRef"].is_null() {
        spec["connectorRef"] = json!({ "name": "none" });
    }
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Connection", "metadata": { "name": name }, "spec": spec })
}

fn api_of(client: &Client, namespace: &str, object: &Value) -> Result<Api<DynamicObject>> {
    let text = |key: &str| object[key].as_str().context("a kind");
    let (group, version) = text("apiVersion")?.split_once('/').unwrap_or(("", text("apiVersion")?));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")?));
    Ok(if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    })
}

/// Creates an object; the error is what the API server says.
async fn create(client: &Client, namespace: &str, object: &Value) -> Result<DynamicObject, String> {
    let api = api_of(client, namespace, object).map_err(|error| error.to_string())?;
    let object = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    api.create(&PostParams::default(), &object).await.map_err(|error| error.to_string())
}

/// Merges a patch into an object; the error is what the API server says.
async fn patch(
    client: &Client,
    namespace: &str,
    object: &Value,
    patch: Value,
) -> Result<DynamicObject, String> {
    let api = api_of(client, namespace, object).map_err(|error| error.to_string())?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| error.to_string())
}

/// Deletes an object; the error is what the API server says.
async fn delete(client: &Client, namespace: &str, object: &Value) -> Result<(), String> {
    let api = api_of(client, namespace, object).map_err(|error| error.to_string())?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    api.delete(name, &DeleteParams::default()).await.map(drop).map_err(|error| error.to_string())
}

/// Insists that something was refused with these words.
#[expect(clippy::expect_used, reason = "clippy does not see that a helper belongs to tests")]
fn refused<T: std::fmt::Debug>(answer: Result<T, String>, words: &str) {
    let text = answer.expect_err("it is refused");
    assert!(text.contains(words), "{text}");
}

/// The uid of an object.
fn uid(object: &DynamicObject) -> String {
    object.uid().unwrap_or_default()
}
