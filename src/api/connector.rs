//! One application of the catalogue, as data: where it is, how to authenticate, how to check that it works.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::oauth2::OAuth2;
use super::schema::{PARAMETER_NAME, optional_json_pointer, parameter_map};

/// A Connector describes one application that connections can be made to. It holds no credentials and no code:
/// parameters, authentication methods and the few requests that Liaison may send are all declared here.
///
/// In every text called a template, `{name}` stands for the value of a declared parameter.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "Connector",
    plural = "connectors",
    category = "liaison",
    status = "ConnectorStatus",
    derive = "PartialEq",
    doc = "One application of the catalogue: where it is, how to authenticate and how to check that it works.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Stability", type_ = "string", json_path = ".spec.stability"),
    printcolumn(name = "Auth Types", type_ = "string", json_path = ".spec.authMethods[*].type"),
    printcolumn(
        name = "Valid",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Valid")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.stability"
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorSpec {
    /// The application's name as people know it.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,

    /// What the application is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Version of this description, such as 1.4.0. It says nothing about the application's own API version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,

    /// Whether the description is settled (GA) or may still change (Preview).
    #[serde(default)]
    pub stability: Stability,

    /// Where the application's owner says how to register an OAuth app or make a token. Printed in messages.
    #[serde(default, rename = "documentationURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub documentation_url: Option<String>,

    /// Template of the address that API requests start with. Published as status.baseURL of a Connection.
    #[serde(default, rename = "baseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub base_url: Option<String>,

    /// What a Connection must or may say besides its credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,

    /// Which redirect address an authorization code flow uses: one per connector, one per connection, or a
    /// shared one.
    #[serde(default)]
    pub redirect: RedirectMode,

    /// The ways to authenticate. A Connection chooses one; with a single one it need not say so.
    #[schemars(length(min = 1, max = 12), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub auth_methods: Vec<AuthMethod>,

    /// How to learn which account a credential belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,

    /// The request that shows whether a credential works. It must change nothing at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
}

/// How settled a description is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Stability {
    /// Settled.
    #[default]
    GA,
    /// May still change.
    Preview,
}

/// Which redirect address an authorization code flow uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RedirectMode {
    /// One fixed address for the connector.
    #[default]
    PerConnector,
    /// One address for each connection; needed where a parameter reaches the provider's host name.
    PerConnection,
    /// One address for all; only with an issuer that is checked, and whose metadata names the endpoints.
    Shared,
}

/// A value that a Connection gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name by which templates and connections refer to the parameter.
    #[schemars(length(min = 1, max = 63), regex(pattern = PARAMETER_NAME))]
    pub name: String,

    /// What the value is and where to find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Whether a Connection has to give it.
    #[serde(default)]
    pub required: bool,

    /// Whether the value is a secret: then it comes from spec.credentials.secretRef, under the key of this name.
    #[serde(default)]
    pub secret: bool,

    /// Regular expression that the whole value has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub pattern: Option<String>,

    /// Value taken where a Connection gives none. Not for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub default: Option<String>,

    /// The only values accepted.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_values: Vec<String>,
}

/// One way to authenticate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.type.startsWith('OAuth2') || has(self.oauth2)").message("oauth2 is required for an OAuth2 auth type"))]
#[x_kube(validation = Rule::new("self.type.startsWith('OAuth2') || !has(self.oauth2)").message("oauth2 is only for OAuth2 auth types"))]
#[x_kube(validation = Rule::new("self.type != 'OAuth2BringYourOwnApp'").message("OAuth2BringYourOwnApp comes with OAuth2AuthorizationCode; list that one"))]
pub struct AuthMethod {
    /// The kind of credential.
    #[serde(rename = "type")]
    pub auth_type: AuthType,

    /// Parameters of this method alone, such as the token that a person has made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,

    /// Endpoints and habits of the OAuth 2.0 server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,

    /// Where the credential goes on API requests. Without it, an OAuth token goes into
    /// `Authorization: Bearer {accessToken}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Placement>,
}

/// Where a credential goes on API requests: templates over parameters and, for OAuth, `{accessToken}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Placement {
    /// Header names and templates of their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub headers: BTreeMap<String, String>,

    /// Query parameters and templates of their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub query: BTreeMap<String, String>,

    /// Template of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub body: Option<String>,
}

/// HTTP method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestMethod {
    /// POST.
    #[default]
    POST,
    /// GET.
    GET,
}

/// How to learn which account a credential belongs to: a claim of the ID token, or a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.idTokenClaim) != has(self.url)").message("choose one of idTokenClaim or url"))]
#[x_kube(validation = Rule::new("!has(self.url) || has(self.idPath)").message("idPath is required with url"))]
pub struct Account {
    /// Claim of the ID token, such as `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id_token_claim: Option<String>,

    /// HTTP method of the request.
    #[serde(default = "RequestMethod::get")]
    pub method: RequestMethod,

    /// Template of the request's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,

    /// Pointer to the account's stable identifier in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub id_path: Option<String>,

    /// Pointer to the account's name as people know it; the identifier where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub name_path: Option<String>,
}

impl RequestMethod {
    /// The method of requests that read.
    pub fn get() -> Self {
        Self::GET
    }
}

/// The request that shows whether a credential works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Verification {
    /// HTTP method of the request.
    #[serde(default = "RequestMethod::get")]
    pub method: RequestMethod,

    /// Template of the request's address.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,

    /// Further headers, templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub headers: BTreeMap<String, String>,

    /// Template of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub body: Option<String>,

    /// CEL rule over `response.status`, `response.headers` and `response.body` that says whether the credential
    /// works. Without it, any 2xx status does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub success: Option<String>,
}

/// What the operator found out about a Connector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Valid says whether connections can be made with this description, and lists all its faults if not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// What the issuer says of itself, where the endpoints come from there. It stays in use while it cannot be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<IssuerMetadata>,

    /// The last time that the issuer was asked for its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_fetch: Option<MetadataFetch>,
}

/// What an issuer says of itself (RFC 8414; OpenID Connect Discovery 1.0), as far as it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerMetadata {
    /// Whose metadata it is, as the Connector and the metadata both name it.
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: String,

    /// Authorization endpoint.
    #[schemars(length(min = 1, max = 2048))]
    pub authorization_endpoint: String,

    /// Token endpoint.
    #[schemars(length(min = 1, max = 2048))]
    pub token_endpoint: String,

    /// Revocation endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub revocation_endpoint: Option<String>,

    /// Introspection endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub introspection_endpoint: Option<String>,

    /// When it was fetched.
    pub time: Time,
}

/// One time that an issuer was asked for its metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataFetch {
    /// When it was asked.
    pub time: Time,

    /// Digest of everything that this depended on; a change of it is worth asking again.
    #[schemars(length(max = 64))]
    pub inputs: String,

    /// Failures in a row, this one included; they space out.
    #[schemars(range(min = 0))]
    pub failures: i64,

    /// When it is asked again, if nothing changes before.
    pub due_at: Time,

    /// Requests are limited in number over time, also where a change is worth one; each moves this time on.
    pub paid_until: Time,

    /// Why there was no usable answer, and what to do; absent where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
