//! Every status that a decision makes can be stored: the API server would refuse one that does not fit its schema,
//! each time anew.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::properties::snapshots;
use super::*;
use crate::api::crds;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crds = serde_json::to_value(crds::all()).unwrap();
    let connections =
        crds.as_array().unwrap().iter().find(|crd| crd["spec"]["names"]["kind"] == "Connection");
    let schema = &connections.unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["status"].clone()
});

/// What in a value does not fit its schema, of the rules that our types use.
fn faults(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let limit = |name: &str| schema[name].as_u64().map(|limit| usize::try_from(limit).unwrap());
    let mut check = |fits: bool, rule: &str| {
        if !fits {
            found.push(format!("{path}: {rule}"));
        }
    };
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            check(limit("maxLength").is_none_or(|most| length <= most), "maxLength");
            check(limit("minLength").is_none_or(|least| length >= least), "minLength");
            let fits = |pattern: &str| regex::Regex::new(pattern).unwrap().is_match(text);
            check(schema["pattern"].as_str().is_none_or(fits), "pattern");
            check(schema["enum"].as_array().is_none_or(|known| known.contains(value)), "enum");
        }
        Value::Number(number) => {
            let least = schema["minimum"].as_f64();
            check(least.is_none_or(|least| number.as_f64().unwrap() >= least), "minimum");
        }
        Value::Array(items) => {
            check(limit("maxItems").is_none_or(|most| items.len() <= most), "maxItems");
            let is_set = schema["x-kubernetes-list-type"] == "set";
            let repeated = items.iter().enumerate().any(|(position, item)| items[..position].contains(item));
            check(!(is_set && repeated), "repeated item of a set");
            for item in items {
                faults(&format!("{path}[]"), &schema["items"], item, found);
            }
        }
        Value::Object(fields) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                check(fields.contains_key(required.as_str().unwrap()), "required");
            }
            for name in fields.keys() {
                check(!schema["properties"][name].is_null(), name);
            }
            for (name, field) in fields {
                faults(&format!("{path}.{name}"), &schema["properties"][name], field, found);
            }
        }
        Value::Null => check(false, "null"),
        Value::Bool(_) => {}
    }
}

fn assert_fits(status: &ConnectionStatus) {
    let mut found = Vec::new();
    faults("status", &SCHEMA, &serde_json::to_value(status).unwrap(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_check_itself_finds_what_does_not_fit() {
    let mut found = Vec::new();
    let status = serde_json::json!({
        "state": "Lost", "account": "x".repeat(513), "token": {}, "credentialTargets": ["a", "a"], "other": 1,
    });
    faults("status", &SCHEMA, &status, &mut found);
    found.sort();
    let expected = [
        "status.account: maxLength",
        "status.credentialTargets: repeated item of a set",
        "status.state: enum",
        "status.token: required",
        "status: other",
    ];
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_status_fits_the_schema(
        observed in snapshots(),
        text in prop_oneof![Just("x".repeat(5000)), "\\PC{0,300}"],
    ) {
        let mut observed = observed;
        annotate(&mut observed, VERIFY_AT_ANNOTATION, &text);
        annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, &text);
        let issued = prepare(&observed).ok().map(|prepared| prepared.targets);
        if let TokenState::Present(token) = &mut observed.token {
            token.client_id.clone_from(&text);
            token.account = token.account.as_ref().map(|_| text.clone());
            token.authenticated_by = token.authenticated_by.as_ref().map(|_| text.clone());
            token.targets = issued.unwrap_or_default();
            token.granted_scopes = vec![text.clone(), text.clone(), "read".to_owned(), "read".to_owned()];
        }
        if let Some(consent) = &mut observed.consent {
            consent.message.clone_from(&text);
        }
        if let SecretState::Found { client_id: Some(client_id), .. } = &mut observed.oauth_app {
            client_id.clone_from(&text);
        }
        let decision = decide(&observed, at(0));
        assert_fits(&decision.status);
        let failure = AttemptFailure { message: text.clone(), ..transient(None) };
        let outcome = match decision.effect {
            Some(Effect::Probe) => Outcome::Probed(ProbeOutcome {
                verification: Some(VerificationOutcome::Inconclusive(failure)),
                account: Some(text),
            }),
            _ => Outcome::AttemptFailed(failure),
        };
        let learnt = learn(recorded(&observed, &decision.status), outcome, at(0));
        assert_fits(&decide(&learnt, at(0)).status);
    }
}
