//! The Secrets that the examples refer to, made from what the identity provider issues.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::control_plane::ControlPlane;
use crate::support::identity_provider::{
    CLIENT_ID, CLIENT_SECRET, WEB_CLIENT_ID, WEB_CLIENT_SECRET, Zitadel,
};

const NAMESPACE: &str = "team-examples";

#[derive(Clone, Copy)]
enum Value {
    Fixed(&'static str),
    /// An access token, here in the role of a token that a person was given.
    AccessToken,
}

/// Secrets and their keys.
const CREDENTIALS: [(&str, &[(&str, Value)]); 4] = [
    (
        "example-client",
        &[("clientId", Value::Fixed(CLIENT_ID)), ("clientSecret", Value::Fixed(CLIENT_SECRET))],
    ),
    (
        "example-app",
        &[("clientId", Value::Fixed(WEB_CLIENT_ID)), ("clientSecret", Value::Fixed(WEB_CLIENT_SECRET))],
    ),
    ("example-pat", &[("token", Value::AccessToken)]),
    ("example-api-key", &[("apiKey", Value::AccessToken)]),
];

/// Creates or renews all of them.
pub(crate) async fn apply(control_plane: &ControlPlane, zitadel: &Zitadel) -> Result<()> {
    let secrets = Api::<Secret>::namespaced(control_plane.client().await?, NAMESPACE);
    for (name, keys) in CREDENTIALS {
        let mut data = serde_json::Map::new();
        for (key, value) in keys {
            let value = match value {
                Value::Fixed(value) => (*value).to_owned(),
                Value::AccessToken => zitadel.access_token("openid profile email").await?,
            };
            data.insert((*key).to_owned(), value.into());
        }
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {"liaison.dev/credentials": "true"}},
            "stringData": data,
        });
        let applied = secrets.patch(name, &PatchParams::apply("demo"), &Patch::Apply(&secret)).await;
        applied.with_context(|| format!("apply Secret `{NAMESPACE}/{name}`"))?;
    }
    Ok(())
}
