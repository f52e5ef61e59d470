//! One user's or team's link to one application.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::schema::{NameReference, SecretSource, duration, parameter_map, scope_list};

pub use super::connection_status::*;

/// A Connection ties one user or team to one external application. It holds no credentials: these come from a
/// Secret, or from a person's consent, and nothing may use the Connection until it is Ready.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "Connection",
    plural = "connections",
    namespaced,
    category = "integration",
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "One user's or team's link to one external application. It holds no credentials.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".status.displayName"),
    printcolumn(name = "Connector", type_ = "string", json_path = ".spec.connectorRef.name"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".status.effectiveDefault"),
    printcolumn(name = "Auth Type", type_ = "string", json_path = ".status.authType"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    selectable = ".spec.connectorRef.name",
    selectable = ".status.state",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters: it becomes part of labels and Secrets")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.connectorRef.name == oldSelf.connectorRef.name")
    .message("spec.connectorRef is immutable; create another Connection"))]
#[x_kube(validation = Rule::new("has(self.authType) == has(oldSelf.authType) && (!has(self.authType) || self.authType == oldSelf.authType)")
    .message("spec.authType is immutable; create another Connection"))]
#[x_kube(validation = Rule::new("!has(self.pollingInterval) || (duration(self.pollingInterval) >= duration('1m') && duration(self.pollingInterval) <= duration('24h'))")
    .message("spec.pollingInterval must be between 1m and 24h"))]
#[x_kube(validation = Rule::new("!has(self.parameters) || !self.parameters.exists(name, name in ['token', 'apiKey', 'password', 'clientSecret', 'accessToken', 'refreshToken', 'secret', 'privateKey'])")
    .message("spec.parameters cannot carry credentials; put them into a Secret and name it in spec.credentials.secretRef"))]
pub struct ConnectionSpec {
    /// The application, as a Connector of the catalogue. It cannot change: create another Connection instead.
    pub connector_ref: NameReference,

    /// How to authenticate; needed where the Connector offers several ways. It cannot change afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_type: Option<AuthType>,

    /// What people call this connection; the account's name where nothing is said. No other connection of the folder
    /// may bear it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\S(.*\S)?$"))]
    pub display_name: Option<String>,

    /// What the connection is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Whether this is to be the folder's default for its application. Of several the one that was set last is.
    #[serde(default)]
    pub default: bool,

    /// Values of the Connector's parameters. Never credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub parameters: BTreeMap<String, String>,

    /// Where the credentials are. The Secret's keys are the names of the Connector's secret parameters, such as
    /// token or apiKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretSource>,

    /// Where the OAuth client is: a Secret with the keys clientId and clientSecret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_app: Option<SecretSource>,

    /// OAuth scopes to ask for, instead of the Connector's default ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_list")]
    pub scopes: Vec<String>,

    /// How often event triggers ask this application for news, from 1m to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub polling_interval: Option<String>,

    /// Stops all requests for this connection and takes Ready away, until set to false again.
    #[serde(default)]
    pub suspend: bool,
}
