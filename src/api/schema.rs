//! Schema pieces that several kinds share: bounded strings, maps and references.
//!
//! Every string, list and map of a CRD has an upper bound, so that the API server can estimate the cost of
//! CEL rules and a single object stays small (Kubernetes API conventions, "CRD validation rules").

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A key that a catalogue entry, a parameter or a Secret key may have.
pub const PARAMETER_NAME: &str = r"^[A-Za-z][A-Za-z0-9_.-]*$";

/// A DNS-1123 subdomain, what Kubernetes accepts as most objects' names.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// The name of an object in the same scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct NameReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// The Secret that holds the values. It must carry the label liaison.dev/credentials: "true", by which its
    /// owner allows connections of the namespace to use it.
    pub secret_ref: NameReference,
}

/// A map of at most 32 entries from a parameter's name to a text of at most 2048 characters.
pub fn parameter_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 2048 },
    })
}

/// A list of at most 64 OAuth scopes (RFC 6749, section 3.3: printable ASCII but space, quote and backslash).
pub fn scope_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[\x21\x23-\x5B\x5D-\x7E]+$" },
    })
}

/// A JSON pointer (RFC 6901) of at most 256 characters.
pub fn json_pointer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 256, "pattern": "^(/[^/]*)+$" })
}

/// A JSON pointer (RFC 6901) of at most 256 characters, or nothing.
pub fn optional_json_pointer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 256, "pattern": "^(/[^/]*)+$", "nullable": true })
}

/// A list of at most 64 host names; `*.` in front stands for one or more labels.
pub fn host_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 259,
            "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?$",
        },
    })
}

/// A duration as `metav1.Duration` writes it, such as `90s` or `1h30m`.
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 32, "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$" })
}
