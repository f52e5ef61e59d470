//! Annotations that make the operator act, by who may write annotations and not what they stand for.

use anyhow::Result;
use kube::ResourceExt;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, refused, stands};
use super::people::{name_of, rules, with_rules, with_rules_everywhere};
use super::stage::{Stage, uid, with};

const VERIFY: &str = "liaison.dev/verify-at";
const REAUTHENTICATE: &str = "liaison.dev/reauthenticate-at";
const REQUESTED_BY: &str = "liaison.dev/requested-by";

fn annotated(object: &Value, key: &str, value: &str) -> Value {
    with(object, "/metadata/annotations", json!({ key: value }))
}

fn change(key: &str, value: impl Into<Value>) -> Value {
    json!({ "metadata": { "annotations": { key: value.into() } } })
}

/// Patty edits blue's connections and may neither verify nor authenticate them.
async fn without_the_verb(stage: &Stage) -> Result<Vec<Attempt>> {
    let verbs = ["patch", "get", "list", "update"];
    let patty = with_rules(&stage.blue, "patty", rules("liaison.dev", &["connections"], &verbs)).await?;
    let there = stage.in_blue("blues", &stage.with_app("client"));
    let mut attempts = Vec::new();
    for (key, verb) in [(VERIFY, "verify"), (REAUTHENTICATE, "authenticate")] {
        let words =
            format!("a change of the annotation {key} needs the right to {verb} connection \"blues\"");
        let of = |how: &str| format!("{key} without {verb}, {how}");
        let escaped = format!("/metadata/annotations/{}", key.replace('/', "~1"));
        let mut replaced = annotated(&there, VERIFY, "0");
        replaced["metadata"]["annotations"][REAUTHENTICATE] = "0".into();
        replaced["metadata"]["annotations"][key] = "3".into();
        let deeds = [
            ("by a merge patch", Deed::merge(&patty, &there, change(key, "1"))),
            ("by taking it away", Deed::merge(&patty, &there, change(key, Value::Null))),
            ("by apply", Deed::apply(&patty, &annotated(&there, key, "2"))),
            ("by replacing", Deed::replace(&patty, &replaced)),
            (
                "by a JSON patch",
                Deed::json(&patty, &there, json!([{ "op": "replace", "path": escaped, "value": "4" }])),
            ),
        ];
        attempts.extend(deeds.map(|(how, deed)| attempt(of(how), deed, refused(words.as_str()))));
    }
    Ok(attempts)
}

/// Who asked for something is information, whoever says so.
async fn forged_information(stage: &Stage) -> Result<Vec<Attempt>> {
    let made = annotated(&stage.in_blue("forged", &stage.with_app("client")), REQUESTED_BY, "administrator");
    let blues = stage.blue.connections().get("blues").await?;
    let request = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ConsentRequest",
        "metadata": {
            "name": "forged", "namespace": stage.blue.namespace,
            "annotations": { REQUESTED_BY: "administrator" },
        },
        "spec": {
            "connectionRef": { "name": blues.name_any(), "uid": uid(&blues)? },
            "challenge": "c".repeat(43), "loopbackPort": 40000,
        },
    });
    let eve = name_of("eve", &stage.blue.namespace);
    Ok(vec![
        attempt(
            "requested-by in a new Connection",
            Deed::create(&stage.eve, &made),
            stands("/status/authenticatedBy", Value::Null),
        ),
        attempt(
            "requested-by in a ConsentRequest",
            Deed::create(&stage.eve, &request),
            stands("/spec/requester/username", eve.into()),
        ),
        attempt(
            "an approval of links that nobody gave",
            Deed::merge(&stage.eve, &made, change("liaison.dev/link-approval", "approved")),
            stands("/status/origin", Value::Null),
        ),
    ])
}

/// Red's own annotations, and those that let a namespace go.
async fn of_others(stage: &Stage) -> Result<Vec<Attempt>> {
    let red = &stage.red.namespace;
    let crm = stage.in_red("crm", &stage.with_app("client"));
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": red } });
    let deletes = rules("", &["namespaces"], &["delete", "get"]);
    let dan = with_rules_everywhere(&stage.blue, "dan", deletes).await?;
    let confirmed = change("liaison.dev/confirm-delete", json!(red));
    Ok(vec![
        attempt(
            "red's Connection verified by Eve",
            Deed::merge(&stage.eve, &crm, change(VERIFY, "1")),
            forbidden("patch", "connections"),
        ),
        attempt(
            "red's Connection authenticated anew by Eve",
            Deed::merge(&stage.eve, &crm, change(REAUTHENTICATE, "1")),
            forbidden("patch", "connections"),
        ),
        attempt(
            "red's namespace confirmed to go by Eve",
            Deed::merge(&stage.eve, &namespace, confirmed.clone()),
            forbidden("patch", "namespaces"),
        ),
        attempt(
            "red's namespace confirmed to go by who deletes namespaces",
            Deed::merge(&dan, &namespace, confirmed),
            forbidden("patch", "namespaces"),
        ),
        attempt(
            "red's namespace deleted without a confirmation",
            Deed::delete(&dan, &namespace),
            refused(format!("namespace \"{red}\" belongs to folder \"{red}\"")),
        ),
    ])
}

#[tokio::test]
async fn annotations_do_nothing_for_who_may_not_do_what_they_ask_for() -> Result<()> {
    let mut family = Family::new("annotations").await?;
    let stage = &family.stage;
    stage.blue.connection("blues", stage.with_app("client")).await?;
    stage.blue.until_ready("blues").await?;
    stage.blue.annotate("blues", VERIFY, "0").await?;
    stage.blue.annotate("blues", REAUTHENTICATE, "0").await?;
    let handled = |connection: &liaison::api::Connection| {
        let status = connection.status.clone().unwrap_or_default();
        status.last_handled_verify_at.is_some() && status.last_handled_reauthenticate_at.is_some()
    };
    stage.blue.until_is("blues", "what was asked for is done", handled).await?;
    let asked = stage.honest.received().len();
    let attempts = without_the_verb(stage).await?;
    family.make(attempts).await?;
    let stage = &family.stage;
    let after = stage.blue.until("blues", ConditionType::Ready, "True", "Ready").await?;
    anyhow::ensure!(stage.honest.received().len() == asked, "{after:?}");
    let attempts = [forged_information(stage).await?, of_others(stage).await?].concat();
    family.make(attempts).await?;
    family.end().await
}
