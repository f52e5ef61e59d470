//! A named slot through which a process consumes a connection.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{NameReference, OBJECT_NAME};

/// A `ProcessBinding` says which Connection a process uses, and hands out its credential: as a Secret, or at the token
/// endpoint. The process needs the right to use the Connection; the binding gives none.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "ProcessBinding",
    plural = "processbindings",
    namespaced,
    category = "integration",
    status = "ProcessBindingStatus",
    derive = "PartialEq",
    doc = "A named slot through which a process consumes a connection.",
    printcolumn(name = "Connector", type_ = "string", json_path = ".spec.connectorRef.name"),
    printcolumn(name = "Connection", type_ = "string", json_path = ".status.connection.name"),
    printcolumn(name = "Requirement", type_ = "string", json_path = ".status.requirement"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.binding.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose", priority = 1),
    selectable = ".spec.connectorRef.name",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters: it becomes part of labels and Secrets")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.connectionRef), has(self.default) && self.default, has(self.configurableByUsers) && self.configurableByUsers].filter(chosen, chosen).size() == 1")
    .message("choose one of spec.connectionRef, spec.default: true or spec.configurableByUsers: true"))]
#[x_kube(validation = Rule::new("!(has(self.unattended) && self.unattended && has(self.configurableByUsers) && self.configurableByUsers)")
    .message("an unattended process needs a fixed connection"))]
#[x_kube(validation = Rule::new("!has(self.choices) || self.choices.size() == 0 || (has(self.configurableByUsers) && self.configurableByUsers)")
    .message("spec.choices is only for spec.configurableByUsers: true"))]
#[x_kube(validation = Rule::new("!has(self.secretName) || !(has(self.configurableByUsers) && self.configurableByUsers)")
    .message("spec.secretName is not for spec.configurableByUsers: true: each user's credential is handed out at the token endpoint"))]
#[x_kube(validation = Rule::new("!has(self.secretName) || !self.secretName.startsWith('liaison-')")
    .message("spec.secretName must not begin with liaison-: such Secrets are the operator's"))]
#[x_kube(validation = Rule::new("self.connectorRef.name == oldSelf.connectorRef.name")
    .message("spec.connectorRef is immutable; create another ProcessBinding"))]
pub struct ProcessBindingSpec {
    /// The application that the process speaks to. It cannot change: create another ProcessBinding instead.
    pub connector_ref: NameReference,

    /// What the process needs the connection for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub purpose: Option<String>,

    /// One Connection, in this namespace or another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionReference>,

    /// Whichever Connection is the folder's default for the application; it follows changes.
    #[serde(default)]
    pub default: bool,

    /// Each user chooses a Connection for their own runs.
    #[serde(default)]
    pub configurable_by_users: bool,

    /// What users have chosen. Each sets their own entry and nobody else's; who may delete the binding may remove others'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["user"]))]
    pub choices: Vec<Choice>,

    /// Whether the process runs without a user. Then it needs a fixed connection.
    #[serde(default)]
    pub unattended: bool,

    /// The ServiceAccount of this namespace that the process runs as. It needs the right to use the Connection.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub service_account_name: String,

    /// The Secret to make, after the Service Binding specification; none where nothing is said, and the process asks the
    /// token endpoint. It must not exist already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: Option<String>,
}

/// A Connection in this namespace or another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConnectionReference {
    /// Its namespace; this one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = OBJECT_NAME))]
    pub namespace: Option<String>,

    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// What one user has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The user, as the API server knows them.
    #[schemars(length(min = 1, max = 256))]
    pub user: String,

    /// Their Connection, which they may use.
    pub connection_ref: ConnectionReference,
}

/// What the operator knows about a `ProcessBinding`. No field holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessBindingStatus {
    /// The Secret, as the Service Binding specification asks (Provisioned Service); absent until it is first filled. It
    /// stays while the Secret is there, also where the credential was taken back, so that what mounts it can start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,

    /// Whether what the process needs is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<Requirement>,

    /// The Connection in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<BoundConnection>,

    /// When the credential in the Secret stops being valid; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, and Reconciling and Stalled for tools that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The duck type of a Provisioned Service (Service Binding specification 1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct BindingStatus {
    /// Name of the Secret in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A Connection that a process uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct BoundConnection {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,

    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Its uid; one that is made anew under the same name is another one.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// Whether what a process needs is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Requirement {
    /// It is.
    Available,
    /// It is not.
    Missing,
    /// It is not known, or each user's own.
    #[default]
    Unknown,
}
