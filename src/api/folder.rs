//! A node of the folder tree, which owns one Namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{NameReference, OBJECT_NAME};

/// A Folder owns one Namespace, in which connections live and are shared with everyone who has access to it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "Folder",
    plural = "folders",
    category = "liaison",
    status = "FolderStatus",
    derive = "PartialEq",
    doc = "A node of the folder tree, which owns one Namespace whose connections are shared.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace"),
    printcolumn(name = "Path", type_ = "string", json_path = ".status.path"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    selectable = ".spec.type",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters: it is the namespace's name unless spec.namespace says otherwise")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type != 'Personal' || has(self.owner)")
    .message("spec.owner is required for a Personal folder: the user name as the API server knows it"))]
#[x_kube(validation = Rule::new("self.type != 'Shared' || !has(self.owner)")
    .message("spec.owner is only for a Personal folder"))]
#[x_kube(validation = Rule::new("self.type == oldSelf.type").message("spec.type is immutable; create another Folder"))]
#[x_kube(validation = Rule::new("has(self.owner) == has(oldSelf.owner) && (!has(self.owner) || self.owner == oldSelf.owner)")
    .message("spec.owner is immutable; create another Folder"))]
#[x_kube(validation = Rule::new("has(self.parentRef) == has(oldSelf.parentRef) && (!has(self.parentRef) || self.parentRef.name == oldSelf.parentRef.name)")
    .message("spec.parentRef is immutable; create another Folder"))]
#[x_kube(validation = Rule::new("has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)")
    .message("spec.namespace is immutable; create another Folder"))]
pub struct FolderSpec {
    /// What people call the folder; it is a part of the path of its sub-folders too.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[^/]+$"))]
    pub display_name: String,

    /// Personal: one owner's alone. Shared: for everyone with access to the namespace.
    #[serde(rename = "type")]
    pub folder_type: FolderType,

    /// The owner of a Personal folder: a user name as the API server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub owner: Option<String>,

    /// The folder above; none for a folder at the root. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<NameReference>,

    /// The Namespace; the folder's own name where nothing is said. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = OBJECT_NAME))]
    pub namespace: Option<String>,

    /// Take over a Namespace that is there already. It is never deleted with the folder.
    #[serde(default)]
    pub adopt: bool,
}

/// Who a folder is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FolderType {
    /// One owner.
    Personal,
    /// Everyone with access to the namespace.
    #[default]
    Shared,
}

/// What the operator knows about a Folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FolderStatus {
    /// The Namespace that belongs to this folder; absent until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,

    /// Display names from the root down, such as Finance/AP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8320))]
    pub path: Option<String>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready; `OwnerBound` of a Personal folder; Reconciling and Stalled for tools that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl super::Folder {
    /// The Namespace that this folder asks for.
    pub fn namespace_name(&self) -> &str {
        self.spec.namespace.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}
