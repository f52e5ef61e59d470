//! One user's or team's link to one application.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::schema::{NameReference, SecretSource, duration, parameter_map, scope_list};

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
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
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

    /// What people call this connection; the account's name where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,

    /// What the connection is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Whether this is the folder's default for its application.
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

/// What the operator knows about a Connection. No field holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// Inactive: never authenticated. Connected: authenticated. Disconnected: it was, and is no longer.
    #[serde(default)]
    pub state: State,

    /// spec.displayName, else the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub display_name: Option<String>,

    /// The auth type in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_type: Option<AuthType>,

    /// The account at the provider; System until the first authentication. It never returns to System.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub account: Option<String>,

    /// The account before the last consent, where that consent was given by another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub previous_account: Option<String>,

    /// The consent with which the account was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub account_consent: Option<String>,

    /// The cluster's user who consented, as the API server knows them; absent where nobody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub authenticated_by: Option<String>,

    /// What a person needs to authenticate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationStatus>,

    /// Where API requests start.
    #[serde(default, rename = "baseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub base_url: Option<String>,

    /// Where the credentials come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub credential_source: Option<String>,

    /// Facts about the token, without the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,

    /// Keyed digest of the static credential that the provider last accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub accepted_credential: Option<String>,

    /// Scheme, host and port of every kind of request that may carry the credential. A difference waits for
    /// somebody who may authenticate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub credential_targets: Vec<String>,

    /// The last failed attempt to authenticate; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureStatus>,

    /// The last consent of a person that came to nothing; absent after a success. It causes no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_consent_failure: Option<ConsentFailureStatus>,

    /// The last verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verification: Option<VerificationStatus>,

    /// The value of the annotation liaison.dev/verify-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_verify_at: Option<String>,

    /// The value of the annotation liaison.dev/reauthenticate-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reauthenticate_at: Option<String>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Authenticated, Healthy, PolicyAllowed, ScopesSatisfied and Ready; Reconciling and Stalled for tools that
    /// wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Whether a Connection has ever been, and is, authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Never authenticated.
    #[default]
    Inactive,
    /// Authenticated.
    Connected,
    /// Authentication was lost.
    Disconnected,
}

/// What a person needs to authenticate a Connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationStatus {
    /// The Connection's page; present while a person has to act. It holds no state, code or secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,

    /// The redirect address to register for the OAuth app at the provider, exactly as it stands here.
    #[serde(default, rename = "redirectURI", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub redirect_uri: Option<String>,
}

/// Facts about a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// Counts the tokens of this Connection. A record with a lower number has been put back from elsewhere.
    #[schemars(range(min = 0))]
    pub sequence: i64,

    /// When the access token stops being valid; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// When the refresh token stops being valid, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_expires_at: Option<Time>,

    /// When the token was issued or last refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh_time: Option<Time>,

    /// Scopes that the provider granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_list")]
    pub granted_scopes: Vec<String>,
}

/// A failed attempt to authenticate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// When it was made.
    pub time: Time,

    /// Digest of everything that the attempt depended on; a change of it is worth a new attempt.
    #[schemars(length(max = 64))]
    pub inputs: String,

    /// Whether only a change can help (Permanent), or waiting may (Transient).
    pub class: FailureClass,

    /// Failed attempts in a row; they space out.
    #[schemars(range(min = 1))]
    pub count: i64,

    /// No attempt before this time.
    pub retry_at: Time,

    /// Attempts are limited in number over time, also where a change is worth one; each moves this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<Time>,

    /// One word for the cause.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z]*$"))]
    pub reason: String,

    /// What happened, and what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A person's consent that came to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentFailureStatus {
    /// Uid of its ConsentRequest, which is there for some minutes only.
    #[schemars(length(max = 64))]
    pub consent: String,

    /// When it ended.
    pub time: Time,

    /// Digest of everything that an attempt to authenticate depends on; after a change of it the failure says nothing.
    #[schemars(length(max = 64))]
    pub inputs: String,

    /// One word for the cause.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z]*$"))]
    pub reason: String,

    /// What happened, and what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Whether waiting may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FailureClass {
    /// Only a change can help.
    Permanent,
    /// Waiting may help.
    Transient,
}

/// The last verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// When it was made.
    pub time: Time,

    /// What it said.
    pub result: VerificationResult,

    /// Keyed digest of the credential that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credential: Option<String>,

    /// Verifications are limited in number over time; each moves this time on, and too far ahead of now there is
    /// none, whatever asks for it.
    pub paid_until: Time,

    /// What happened, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What a verification said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerificationResult {
    /// The provider accepted the credential.
    Succeeded,
    /// The provider refused the credential.
    Rejected,
    /// The provider did not answer, or not about the credential.
    Inconclusive,
    /// The Connector declares no verification.
    NotDeclared,
}
