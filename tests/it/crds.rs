//! The CRDs as people and the API server meet them.

use liaison::api::crds;
use serde_json::{Value, json};

/// The largest CRD that is stored and applied without effort; an annotation of `kubectl apply` holds it once more.
const CRD_LIMIT: usize = 256 * 1024;

fn all() -> Vec<Value> {
    crds::all().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

fn name(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

fn version(crd: &Value) -> &Value {
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "{}", name(crd));
    &versions[0]
}

fn kind(wanted: &str) -> Value {
    all().into_iter().find(|crd| name(crd) == wanted).unwrap()
}

/// Calls for each field below a schema, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        walk(property, &path, visit);
    }
    for (part, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[part].is_object() {
            let path = format!("{path}{mark}");
            visit(&path, &schema[part]);
            walk(&schema[part], &path, visit);
        }
    }
}

/// Fields of all kinds for which `fault` says what is wrong.
fn faults(mut fault: impl FnMut(&str, &Value) -> Option<&'static str>) -> Vec<String> {
    let mut found = Vec::new();
    for crd in all() {
        walk(&version(&crd)["schema"]["openAPIV3Schema"], name(&crd), &mut |path, schema| {
            found.extend(fault(path, schema).map(|fault| format!("{path} {fault}")));
        });
    }
    found
}

#[test]
fn every_field_is_described() {
    let faults = faults(|path, schema| {
        let is_element = path.ends_with("[]") || path.ends_with("{}");
        let described = schema["description"].as_str().is_some_and(|text| !text.trim().is_empty());
        (!is_element && !described).then_some("has no description")
    });
    assert_eq!(faults, [] as [String; 0]);
}

#[test]
fn every_text_list_and_map_has_a_bound() {
    let has = |schema: &Value, key: &str| !schema[key].is_null();
    let faults = faults(|_, schema| match schema["type"].as_str() {
        Some("string") => {
            let bounded = has(schema, "maxLength") || has(schema, "enum") || schema["format"] == "date-time";
            (!bounded).then_some("may be of any length")
        }
        Some("array") => (!has(schema, "maxItems")).then_some("may hold any number of items"),
        Some("object") => {
            let bounded = has(schema, "properties") || has(schema, "maxProperties");
            (!bounded).then_some("may hold any number of entries")
        }
        Some("boolean" | "integer" | "number") => None,
        _ => Some("has no type"),
    });
    assert_eq!(faults, [] as [String; 0]);
}

#[test]
fn every_list_says_how_it_is_merged() {
    let faults = faults(|_, schema| {
        if schema["type"] != "array" {
            return None;
        }
        let of_objects = schema["items"]["type"] == "object";
        let keys = &schema["x-kubernetes-list-map-keys"];
        match (of_objects, schema["x-kubernetes-list-type"].as_str()) {
            (true, Some("map")) if keys.as_array().is_some_and(|keys| !keys.is_empty()) => None,
            (true, _) => Some("is a list of objects without keys"),
            (false, Some("set" | "atomic")) => None,
            (false, _) => Some("is a list of values that is neither set nor atomic"),
        }
    });
    assert_eq!(faults, [] as [String; 0]);
}

#[test]
fn a_condition_has_the_bounds_that_kubernetes_gives_it() {
    // A ConsentRequest has a phase instead: it lives for minutes and nothing waits for its conditions.
    for crd in all().into_iter().filter(|crd| name(crd) != "ConsentRequest") {
        let conditions =
            &version(&crd)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"];
        let condition = &conditions["items"]["properties"];
        assert_eq!(condition["status"]["enum"], json!(["True", "False", "Unknown"]), "{}", name(&crd));
        assert_eq!(condition["type"]["maxLength"], 316, "{}", name(&crd));
        assert_eq!(condition["reason"]["maxLength"], 1024, "{}", name(&crd));
        assert_eq!(condition["message"]["maxLength"], 32768, "{}", name(&crd));
    }
}

#[test]
fn s22_a_list_of_connections_shows_what_people_look_for() {
    let connection = kind("Connection");
    let columns = version(&connection)["additionalPrinterColumns"].as_array().unwrap().clone();
    let named = |wide: bool| {
        let shown = columns.iter().filter(|column| (column["priority"].as_i64().unwrap_or(0) > 0) == wide);
        shown.map(|column| column["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        named(false),
        ["Display Name", "Connector", "Account", "State", "Ready", "Default", "Auth Type", "Age"]
    );
    assert_eq!(named(true), ["Reason"]);
}

#[test]
fn s19_no_connector_can_keep_its_connections_from_being_shared() {
    let about_sharing = ["shar", "owner", "private", "visib", "user", "member"];
    for wanted in ["Connector", "Connection"] {
        let crd = kind(wanted);
        let spec = &version(&crd)["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let (mut fields, mut found) = (0, Vec::new());
        walk(spec, wanted, &mut |path, _| {
            fields += 1;
            let field = path.rsplit('.').next().unwrap_or_default().to_lowercase();
            found.extend(about_sharing.iter().any(|word| field.contains(word)).then(|| path.to_owned()));
        });
        assert!(fields > 10, "{wanted} has fields");
        assert_eq!(found, [] as [String; 0], "who shares is decided by RBAC alone");
    }
}

#[test]
fn kinds_are_found_by_their_category() {
    let categories = [
        ("Connection", "integration"),
        ("ProcessBinding", "integration"),
        ("Connector", "liaison"),
        ("Folder", "liaison"),
        ("ConnectionPolicy", "liaison"),
    ];
    for (wanted, category) in categories {
        assert_eq!(kind(wanted)["spec"]["names"]["categories"], json!([category]), "{wanted}");
    }
}

#[test]
fn nothing_is_said_to_be_right_before_the_operator_has_looked() {
    let expected = [
        ("Connector", vec!["Valid"]),
        ("Folder", vec!["Ready"]),
        ("Connection", vec!["Authenticated", "Healthy", "PolicyAllowed", "ScopesSatisfied", "Ready"]),
        ("ProcessBinding", vec!["Ready"]),
        ("ConnectionPolicy", vec!["Valid"]),
    ];
    assert_eq!(all().len(), expected.len() + 1, "all kinds but ConsentRequest, which has no conditions");
    for (wanted, types) in expected {
        let crd = kind(wanted);
        let status = &version(&crd)["schema"]["openAPIV3Schema"]["properties"]["status"];
        let conditions = status["default"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().all(|condition| condition["status"] == "Unknown"), "{wanted}");
        assert_eq!(
            conditions.iter().map(|c| c["type"].as_str().unwrap()).collect::<Vec<_>>(),
            types,
            "{wanted}"
        );
    }
}

#[test]
fn a_status_is_written_apart_from_its_spec() {
    for crd in all() {
        assert!(version(&crd)["subresources"]["status"].is_object(), "{}", name(&crd));
    }
}

#[test]
fn every_kind_stays_small_enough_to_apply() {
    for crd in all() {
        let size = crd.to_string().len();
        assert!(size < CRD_LIMIT, "{} has {size} bytes", name(&crd));
    }
}
