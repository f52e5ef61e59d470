//! The chart's role that the example of a process needs.

use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::control_plane::ControlPlane;

const NAME: &str = "liaison-connection-use";

/// Makes the role. `kubectl create clusterrole` knows only Kubernetes' own verbs.
pub(crate) async fn apply(control_plane: &ControlPlane) -> Result<()> {
    let roles: Api<ClusterRole> = Api::all(control_plane.client().await?);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME},
        "rules": [{"apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"]}],
    });
    let applied = roles.patch(NAME, &PatchParams::apply("demo"), &Patch::Apply(&role)).await;
    applied.with_context(|| format!("apply ClusterRole `{NAME}`"))?;
    Ok(())
}
