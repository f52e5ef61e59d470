//! The CustomResourceDefinitions, completed with what the derive macros cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::names::ACCOUNT_BEFORE_AUTHENTICATION;
use super::{Connection, ConnectionPolicy, Connector, ConsentRequest, Folder, ProcessBinding};

const AUTH_TYPE_WANTED: &str =
    "How to authenticate; needed where the Connector offers several ways. It cannot change afterwards.";

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
        completed(ConsentRequest::crd(), None),
        with_default_status(
            ProcessBinding::crd(),
            &json!({ "requirement": "Unknown", "conditions": unknown(&["Ready"]) }),
        ),
        with_default_status(ConnectionPolicy::crd(), &json!({ "conditions": unknown(&["Valid"]) })),
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

/// Rust's comments are wrapped at the width of source; `kubectl explain` wraps for itself.
fn unwrap_descriptions(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(unwrap_descriptions);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        unwrap_descriptions(items);
    }
}

/// Where a field may be left out, the derive macros describe its type instead of the field.
fn describe_auth_type(properties: &mut JSONSchemaProps, description: &str) {
    if let Some(auth_type) = property(properties, "authType") {
        auth_type.description = Some(description.to_owned());
    }
}

fn with_default_status(crd: CustomResourceDefinition, status: &Value) -> CustomResourceDefinition {
    completed(crd, Some(status))
}

fn completed(mut crd: CustomResourceDefinition, status: Option<&Value>) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        unwrap_descriptions(schema);
        if let Some(spec) = property(schema, "spec") {
            describe_auth_type(spec, AUTH_TYPE_WANTED);
        }
        if let Some(property) = property(schema, "status") {
            describe_auth_type(property, "The auth type in effect.");
            property.default = status.map(|status| JSON(status.clone()));
            if let Some(conditions) = property_of_items(property, "conditions") {
                bound_condition(conditions);
            }
        }
    }
    crd
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

fn property_of_items<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    match property(schema, name)?.items.as_mut()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The bounds that Kubernetes' own Go type of a condition has as markers, and its Rust type lacks.
fn bound_condition(condition: &mut JSONSchemaProps) {
    for (name, shortest, longest) in [("type", 1, 316), ("reason", 1, 1024), ("message", 0, 32768)] {
        if let Some(text) = property(condition, name) {
            text.min_length = Some(shortest).filter(|shortest| *shortest > 0);
            text.max_length = Some(longest);
        }
    }
    if let Some(status) = property(condition, "status") {
        status.enum_ = Some(["True", "False", "Unknown"].map(|value| JSON(value.into())).to_vec());
    }
    if let Some(generation) = property(condition, "observedGeneration") {
        generation.minimum = Some(0.0);
    }
}
