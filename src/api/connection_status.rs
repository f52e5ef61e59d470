//! What the operator knows about a Connection.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthType;
use super::schema::scope_list;

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

    /// The consent, or the digest of the credential, whose account no policy allowed when it was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub account_refused: Option<String>,

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

    /// The policies that govern this connection, and what they come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,

    /// Whether this is the connection that is taken where the folder's default for its application is asked for. Absent
    /// where there are several and none is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_default: Option<bool>,

    /// Since when spec.default is set; of several the latest is the effective one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_since: Option<Time>,

    /// The processes that use this connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumersStatus>,

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

    /// Authenticated, Healthy, PolicyAllowed, ScopesSatisfied and Ready; DefaultApplied where spec.default is set, and
    /// DisplayNameUnique where an older connection of the folder bears the display name; Reconciling and Stalled for
    /// tools that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What the policies that govern a Connection come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Names of the policies, from the root of the folder tree down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<String>,

    /// What becomes of this connection where they do not allow it, and the policy that says so, as Suspend/NAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub enforcement: Option<String>,

    /// The policy whose defaults for the Connector are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub defaults: Option<String>,

    /// Hosts that all of them allow credentials to be sent to: none where the list is empty, any where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 259)), extend("x-kubernetes-list-type" = "atomic"))]
    pub allowed_hosts: Option<Vec<String>>,

    /// The policy that does not allow to hand out a static credential; absent where none does. A credential without a
    /// short-lived form is read by whoever uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub static_hand_out_denied_by: Option<String>,
}

/// The processes that use a Connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumersStatus {
    /// How many there are, in all folders.
    #[schemars(range(min = 0))]
    pub count: i64,

    /// Names of the ProcessBindings of this namespace, as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<String>,

    /// How many there are in other namespaces, whose names are not shown here.
    #[schemars(range(min = 0))]
    pub elsewhere: i64,
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
