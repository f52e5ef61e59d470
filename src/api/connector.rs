//! One application of the catalogue, as data: where it is, how to authenticate, how to check that it works.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::schema::{PARAMETER_NAME, optional_json_pointer, parameter_map, scope_list};

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
    /// One address for all; only with an issuer that is checked.
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

/// Endpoints and habits of an OAuth 2.0 server. Addresses are templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// Issuer identifier, where the server names one (RFC 8414).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub issuer: Option<String>,

    /// How strictly the `iss` parameter of an authorization response is asked for (RFC 9207).
    #[serde(default)]
    pub iss: IssuerCheck,

    /// What a revocation takes away: one token, or everything that the user granted this client.
    #[serde(default)]
    pub revocation: Revocation,

    /// Authorization endpoint (RFC 6749, section 3.1).
    #[serde(default, rename = "authorizeURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub authorize_url: Option<String>,

    /// Token endpoint (RFC 6749, section 3.2).
    #[serde(rename = "tokenURL")]
    #[schemars(length(min = 1, max = 2048))]
    pub token_url: String,

    /// Where tokens are refreshed, if not at the token endpoint.
    #[serde(default, rename = "refreshURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub refresh_url: Option<String>,

    /// Revocation endpoint (RFC 7009). Asked once when a Connection is deleted.
    #[serde(default, rename = "revokeURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub revoke_url: Option<String>,

    /// Introspection endpoint (RFC 7662).
    #[serde(default, rename = "introspectURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub introspect_url: Option<String>,

    /// Scopes asked for.
    #[serde(default)]
    pub scopes: Scopes,

    /// Whether the server takes part in PKCE (RFC 7636).
    #[serde(default)]
    pub pkce: Pkce,

    /// How the client proves itself at the token endpoint (RFC 6749, section 2.3).
    #[serde(default)]
    pub client_authentication: ClientAuthentication,

    /// Additional parameters of the authorization request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub authorize_parameters: BTreeMap<String, String>,

    /// Additional parameters of the token request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub token_parameters: BTreeMap<String, String>,

    /// Additional parameters of the refresh request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_map")]
    pub refresh_parameters: BTreeMap<String, String>,

    /// How the parameters of a token request travel.
    #[serde(default)]
    pub request_format: RequestFormat,

    /// HTTP method of a token request.
    #[serde(default)]
    pub request_method: RequestMethod,

    /// Where the parts of a token answer are, if not where RFC 6749 puts them.
    #[serde(default)]
    pub response: TokenResponseMapping,

    /// Where a token's lifetime comes from.
    #[serde(default)]
    pub lifetime: Lifetime,

    /// Lifetime in seconds for `lifetime: Fixed`, and the fall-back where an answer names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub lifetime_seconds: Option<i64>,
}

/// How strictly `iss` is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerCheck {
    /// An answer without it is refused.
    Required,
    /// Checked where it is sent.
    #[default]
    IfPresent,
    /// Never looked at.
    Off,
}

/// What a revocation takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Revocation {
    /// The one token.
    #[default]
    Token,
    /// Everything that the user granted this client.
    Grant,
}

/// Scopes asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Scopes {
    /// Asked for where a Connection names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_list")]
    pub default: Vec<String>,

    /// Further ones that a Connection may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_list")]
    pub optional: Vec<String>,

    /// What separates scopes; a space where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub separator: Option<String>,
}

/// Whether a server takes part in PKCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pkce {
    /// It refuses requests without.
    Required,
    /// It takes part.
    #[default]
    Supported,
    /// It refuses requests with.
    Off,
}

/// How a client proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthentication {
    /// HTTP Basic (client_secret_basic).
    #[default]
    Basic,
    /// In the request's body (client_secret_post).
    Body,
    /// A signed assertion (private_key_jwt).
    PrivateKeyJWT,
    /// TLS client certificate (RFC 8705).
    ClientCertificate,
    /// Not at all: a public client.
    None,
}

/// How the parameters of a token request travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestFormat {
    /// application/x-www-form-urlencoded, as RFC 6749 says.
    #[default]
    Form,
    /// A JSON object.
    JSON,
    /// In the address.
    Query,
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

/// Where the parts of a token answer are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenResponseMapping {
    /// Pointer to the access token; `/access_token` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub access_token: Option<String>,

    /// Pointer to the refresh token; `/refresh_token` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub refresh_token: Option<String>,

    /// Pointer to the lifetime; `/expires_in` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub expires_in: Option<String>,

    /// Unit of the lifetime.
    #[serde(default)]
    pub expires_unit: ExpiryUnit,

    /// Pointer to the granted scopes; `/scope` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub scope: Option<String>,

    /// Pointer to the error code of a failing answer; `/error` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_json_pointer")]
    pub error: Option<String>,
}

/// Unit of a lifetime in a token answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExpiryUnit {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since 1970, an absolute time.
    UnixSeconds,
}

/// Where a token's lifetime comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Lifetime {
    /// The answer names it.
    #[default]
    FromResponse,
    /// lifetimeSeconds, whatever the answer says.
    Fixed,
    /// The token does not expire.
    Never,
    /// The token is a JWT; its `exp` claim is read, not trusted for anything else.
    JWT,
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
}
