//! The CustomResourceDefinitions, completed with what the derive macros cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::names::ACCOUNT_BEFORE_AUTHENTICATION;
use super::{Connection, Connector, Folder};

/// All kinds, in the order in which they are explained to a reader.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        with_default_status(Connector::crd(), &json!({ "conditions": unknown(&["Valid"]) })),
        with_default_status(Folder::crd(), &json!({ "conditions": unknown(&["Ready"]) })),
        with_default_status(
            Connection::crd(),
            &json!({
                "state": "Inactive",
                "account": ACCOUNT_BEFORE_AUTHENTICATION,
                "conditions": unknown(&["Authenticated", "Healthy", "PolicyAllowed", "ScopesSatisfied", "Ready"]),
            }),
        ),
    ]
}

/// Conditions that an object has before the operator first sees it, so that nobody takes their absence for
/// success (API conventions: conditions should be present from the first visit).
fn unknown(types: &[&str]) -> Value {
    types
        .iter()
        .map(|condition_type| {
            json!({
                "type": condition_type,
                "status": "Unknown",
                "reason": "Pending",
                "message": "waiting for the operator",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            })
        })
        .collect()
}

fn with_default_status(mut crd: CustomResourceDefinition, status: &Value) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(properties) = schema.and_then(|schema| schema.properties.as_mut())
            && let Some(property) = properties.get_mut("status")
        {
            property.default = Some(JSON(status.clone()));
        }
    }
    crd
}
