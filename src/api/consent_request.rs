//! One person's short-lived request to authenticate one Connection.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::OBJECT_NAME;

/// A ConsentRequest lets one person authenticate one Connection in a browser, once and within ten minutes. As with
/// a CertificateSigningRequest, who made it is stamped at admission. Usually `kubectl liaison connect` makes it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "liaison.dev",
    version = "v1alpha1",
    kind = "ConsentRequest",
    plural = "consentrequests",
    namespaced,
    status = "ConsentRequestStatus",
    derive = "PartialEq",
    doc = "One person's short-lived request to authenticate one Connection in a browser.",
    printcolumn(name = "Connection", type_ = "string", json_path = ".spec.connectionRef.name"),
    printcolumn(name = "Requester", type_ = "string", json_path = ".spec.requester.username"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.connectionRef.name",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("metadata.name must be at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.connectionRef == oldSelf.connectionRef && self.challenge == oldSelf.challenge && has(self.loopbackPort) == has(oldSelf.loopbackPort) && (!has(self.loopbackPort) || self.loopbackPort == oldSelf.loopbackPort)")
    .message("a ConsentRequest cannot be changed; make another one"))]
#[x_kube(validation = Rule::new("has(self.requester) == has(oldSelf.requester) && (!has(self.requester) || self.requester == oldSelf.requester)")
    .message("spec.requester is stamped when the request is made and cannot be changed"))]
#[x_kube(validation = Rule::new("!has(oldSelf.receipt) || (has(self.receipt) && self.receipt == oldSelf.receipt)")
    .message("spec.receipt is set once"))]
pub struct ConsentRequestSpec {
    /// The Connection to authenticate. One that is made anew under the same name is another one.
    pub connection_ref: ConnectionIdentity,

    /// Port on the requester's own machine to which the browser brings the receipt: one that the system gives to who
    /// asks for none, since on a lower one of somebody else's machine another program may listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 32768, max = 65535))]
    pub loopback_port: Option<i32>,

    /// SHA-256 of the start secret, in base64url without padding. Only who holds the secret can open the link.
    #[schemars(length(min = 43, max = 43), regex(pattern = "^[A-Za-z0-9_-]{43}$"))]
    pub challenge: String,

    /// Who made the request. Stamped at admission; what is written here by hand is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Requester>,

    /// What the browser brought back. Set once, by the requester, after the person has returned from the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 43, max = 43), regex(pattern = "^[A-Za-z0-9_-]{43}$"))]
    pub receipt: Option<String>,
}

/// One Connection of the same namespace, and no other of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConnectionIdentity {
    /// Name of the Connection.
    #[schemars(length(min = 1, max = 63), regex(pattern = OBJECT_NAME))]
    pub name: String,

    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// A person, as the API server knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Requester {
    /// User name.
    #[schemars(length(min = 1, max = 1024))]
    pub username: String,

    /// Uid, where the authenticator gives one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub uid: String,

    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub groups: Vec<String>,

    /// Further facts of the authenticator, which authorizers may look at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "extra_facts")]
    pub extra: BTreeMap<String, Vec<String>>,

    /// The operator's seal on this stamp. A stamp that anybody else wrote has none that fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub seal: String,
}

/// At most 64 facts of at most 64 texts each.
fn extra_facts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {
            "type": "array",
            "maxItems": 64,
            "items": { "type": "string", "maxLength": 1024 },
            "x-kubernetes-list-type": "atomic",
        },
    })
}

/// How far a ConsentRequest has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentRequestStatus {
    /// How far the request has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// The link to open. Without the start secret, which only the requester has, it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,

    /// When the request expires, ten minutes after it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// What the provider's answer holds, sealed with the operator's keys; only while it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub sealed_result: Option<String>,

    /// When the request came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,

    /// One word for the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z]*$"))]
    pub reason: Option<String>,

    /// What happened, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How far a ConsentRequest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The link can be opened.
    Issued,
    /// A browser was sent to the provider.
    Started,
    /// The browser came back; the receipt is awaited.
    Returned,
    /// The provider is being asked for a token.
    Redeeming,
    /// The Connection is authenticated.
    Succeeded,
    /// It is not: see reason and message.
    Failed,
    /// Nothing came of it in time.
    Expired,
}

impl Phase {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired)
    }
}
