//! Endpoints and habits of an OAuth 2.0 server, as a Connector declares them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connector::RequestMethod;
use super::schema::{optional_json_pointer, parameter_map, scope_list};

/// Endpoints and habits of an OAuth 2.0 server. Addresses are templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// Issuer identifier, where the server names one (RFC 8414). With a shared redirect address the endpoints come
    /// from its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub issuer: Option<String>,

    /// How strictly the `iss` parameter of an authorization response is asked for (RFC 9207). In YAML, "Off" needs its
    /// quotes: it is a boolean without them.
    #[serde(default)]
    pub iss: IssuerCheck,

    /// What a revocation takes away: one token, or everything that the user granted this client.
    #[serde(default)]
    pub revocation: Revocation,

    /// Authorization endpoint (RFC 6749, section 3.1).
    #[serde(default, rename = "authorizeURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub authorize_url: Option<String>,

    /// Token endpoint (RFC 6749, section 3.2). Needed unless endpoints come from the issuer's metadata, as with a
    /// shared redirect address.
    #[serde(default, rename = "tokenURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub token_url: Option<String>,

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

    /// Whether the server takes part in PKCE (RFC 7636). In YAML, "Off" needs its quotes: it is a boolean without them.
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
