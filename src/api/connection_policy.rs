//! What is allowed for connections, and the organisation's own OAuth apps.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::schema::{NameReference, OBJECT_NAME, host_list, parameter_map, scope_list};

/// A `ConnectionPolicy` governs the connections of some folders. Without any policy everything is allowed but the
/// password grant. Denials, allowedHosts and the password grant add up from the root of the folder tree; for defaults
/// the nearest folder wins.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "ConnectionPolicy",
    plural = "connectionpolicies",
    category = "liaison",
    status = "ConnectionPolicyStatus",
    derive = "PartialEq",
    doc = "What is allowed for the connections of some folders, and the organisation's own OAuth apps.",
    printcolumn(name = "Enforcement", type_ = "string", json_path = ".spec.enforcement"),
    printcolumn(name = "Folders", type_ = "integer", json_path = ".status.folders"),
    printcolumn(name = "Valid", type_ = "string", json_path = r#".status.conditions[?(@.type=="Valid")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Valid")].reason"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPolicySpec {
    /// Which folders it is for; all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folders: Option<FolderSelection>,

    /// Which Connectors may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<ConnectorRules>,

    /// Which ways to authenticate may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_types: Option<AuthTypeRules>,

    /// What a Connection uses where it says nothing itself: the organisation's OAuth app, parameters, scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["connector"]))]
    pub defaults: Vec<ConnectorDefaults>,

    /// Hosts that credentials may be sent to, such as api.example.com, *.example.com or api.example.com:8443; without a port
    /// 443 is meant. Any where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "host_list")]
    pub allowed_hosts: Option<Vec<String>>,

    /// Providers exempt from the egress guard, as host:port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 320), regex(pattern = r"^[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}$")), extend("x-kubernetes-list-type" = "set"))]
    pub egress_exceptions: Vec<String>,

    /// Whether user name and password may be sent to a token endpoint (RFC 9700, section 2.4 advises against it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_grant: Option<PasswordGrant>,

    /// How people consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentRules>,

    /// Whether static credentials, which have no short-lived form, are handed to processes; they are where nothing is
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_out_static: Option<bool>,

    /// Accounts at providers that may authenticate, as patterns in which * stands for any characters; any where nothing is
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub accounts: Option<Vec<String>>,

    /// Whether a policy of a folder below may say otherwise about handOutStatic, accounts, consent and enforcement.
    #[serde(default)]
    pub overridable: bool,

    /// Whether connections that are not allowed keep working and are reported, or are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

/// Folders that a policy is for: those that are named and bear the labels, where both are said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.names) || has(self.selector)")
    .message("spec.folders needs names or a selector; leave spec.folders out for all folders"))]
pub struct FolderSelection {
    /// Their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63), regex(pattern = OBJECT_NAME)), extend("x-kubernetes-list-type" = "set"))]
    pub names: Option<Vec<String>>,

    /// Whether the folders below them are meant too.
    #[serde(default)]
    pub subtree: bool,

    /// Labels of Folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<FolderLabels>,
}

/// Labels that a Folder has to have, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FolderLabels {
    /// Keys and values.
    #[schemars(schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// At least one label, and at most 16.
fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// Connectors that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConnectorRules {
    /// These and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allow: Option<Vec<String>>,

    /// Not these. A denial wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub deny: Vec<String>,
}

/// Ways to authenticate that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AuthTypeRules {
    /// These and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub allow: Option<Vec<AuthType>>,

    /// Not these. A denial wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub deny: Vec<AuthType>,
}

/// What Connections on one Connector use where they say nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.oauthApp) || has(self.credentials)) || (has(self.allowedHosts) && self.allowedHosts.size() > 0)")
    .message("a default OAuth app or default credentials need allowedHosts: the hosts that they may be sent to"))]
#[x_kube(validation = Rule::new("!has(self.authTypes) || has(self.oauthApp)")
    .message("authTypes says what oauthApp is lent to, and there is no oauthApp"))]
pub struct ConnectorDefaults {
    /// The Connector.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub connector: String,

    /// The organisation's OAuth app: a Secret in the operator's own namespace with the keys clientId and clientSecret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_app: Option<PolicySecret>,

    /// Auth types that the OAuth app is lent to, and no others. Where nothing is said, those that need a person's consent or
    /// password: OAuth2AuthorizationCode and OAuth2Password. With OAuth2ClientCredentials whoever makes a Connection acts
    /// as the application itself, without anybody's consent. To OAuth2BringYourOwnApp nothing is lent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub auth_types: Option<Vec<AuthType>>,

    /// The organisation's values of secret parameters, such as apiKey: a Secret in the operator's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PolicySecret>,

    /// Hosts that they, and the tokens they bring, may be sent to, such as login.example.com, *.example.com or
    /// login.example.com:8443; without a port 443 is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "host_list")]
    pub allowed_hosts: Vec<String>,

    /// Values of the Connector's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub parameters: BTreeMap<String, String>,

    /// OAuth scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_list")]
    pub scopes: Vec<String>,
}

impl ConnectorDefaults {
    /// Whether Connections that authenticate in this way are lent the OAuth app, where there is one.
    pub fn lends_app_to(&self, auth_type: AuthType) -> bool {
        match &self.auth_types {
            Some(listed) => auth_type.can_be_lent_app() && listed.contains(&auth_type),
            None => auth_type.can_be_lent_app() && auth_type.speaks_for_person(),
        }
    }

    /// Names of the Secrets whose values go to the allowed hosts alone.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        [&self.oauth_app, &self.credentials].into_iter().flatten().map(|lent| lent.secret_ref.name.as_str())
    }
}

/// A Secret in the operator's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySecret {
    /// The Secret. It must carry the label liaison.dev/credentials: "true".
    pub secret_ref: NameReference,
}

/// How people consent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentRules {
    /// Whether a code may be typed by hand, for who has no browser on the machine of the command. A person can be talked
    /// into passing a code on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_code_entry: Option<bool>,
}

/// Whether the password grant may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PasswordGrant {
    /// It may not.
    #[default]
    Denied,
    /// It may, unless another policy denies it.
    Allowed,
}

/// What becomes of connections that are not allowed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Enforcement {
    /// Existing ones are reported and keep working; new ones are refused.
    #[default]
    Report,
    /// Existing ones are not ready any more, and nothing is asked of their provider.
    Suspend,
}

/// What the operator knows about a `ConnectionPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPolicyStatus {
    /// How many folders it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub folders: Option<i64>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Valid, and Reconciling and Stalled for tools that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
