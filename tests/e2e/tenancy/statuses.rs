//! What only the operator says: statuses and stamps, forged by who may write everything else of the object.

use anyhow::Result;
use kube::ResourceExt;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, stands};
use super::people::{mallory, name_of, paula, rules, with_rules_everywhere};
use super::stage::{Stage, uid, with};

fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec,
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn binding(stage: &Stage, name: &str) -> Value {
    let spec = json!({
        "connectorRef": { "name": stage.connector("client") }, "connectionRef": { "name": "blues" },
        "serviceAccountName": "default",
    });
    object("ProcessBinding", &stage.blue.namespace, name, &spec)
}

/// Who may write an object may not say how it is.
async fn by_the_subresource(stage: &Stage) -> Result<Vec<Attempt>> {
    let (mallory, paula) = (mallory(&stage.blue).await?, paula(&stage.blue).await?);
    let verbs = ["create", "get", "list", "patch", "update", "delete"];
    let all = rules("liaison.dev", &["connectionpolicies", "folders"], &verbs);
    let pia = with_rules_everywhere(&stage.blue, "pia", all).await?;
    let folder = object("Folder", "", &stage.blue.namespace, &Value::Null);
    let policy = object("ConnectionPolicy", "", "any", &Value::Null);
    let connector = object("Connector", "", &stage.connector("client"), &Value::Null);
    let request = object("ConsentRequest", &stage.blue.namespace, "any", &Value::Null);
    let blues = stage.in_blue("blues", &Value::Null);
    let connected = json!({ "state": "Connected" });
    let whole = with(&blues, "/status", connected.clone());
    let of_red = json!({ "namespace": stage.red.namespace });
    Ok(vec![
        attempt(
            "a Connection's status",
            Deed::status(&stage.eve, &blues, &connected),
            forbidden("patch", "connections/status"),
        ),
        attempt(
            "a Connection's status beside its spec",
            Deed::merge(&stage.eve, &blues, json!({ "status": { "account": "root" } })),
            stands("/status/account", "System".into()),
        ),
        attempt(
            "a Connection's status by apply",
            Deed::apply(&stage.eve, &with(&whole, "/spec", stage.with_app("client"))),
            stands("/status/state", "Inactive".into()),
        ),
        attempt(
            "a ProcessBinding's status",
            Deed::status(&stage.eve, &binding(stage, "any"), &json!({ "binding": { "name": "pat" } })),
            forbidden("patch", "processbindings/status"),
        ),
        attempt(
            "a ConsentRequest's status",
            Deed::status(&stage.eve, &request, &json!({ "phase": "Returned" })),
            forbidden("patch", "consentrequests/status"),
        ),
        attempt(
            "a Folder's status by who makes folders",
            Deed::status(&paula, &folder, &of_red),
            forbidden("patch", "folders/status"),
        ),
        attempt(
            "a Folder's status by who changes folders",
            Deed::status(&pia, &folder, &of_red),
            forbidden("patch", "folders/status"),
        ),
        attempt(
            "a policy's status by who writes policies",
            Deed::status(&pia, &policy, &json!({ "folders": 0 })),
            forbidden("patch", "connectionpolicies/status"),
        ),
        attempt(
            "a Connector's status by who writes connectors",
            Deed::status(&mallory, &connector, &json!({ "observedGeneration": 9 })),
            forbidden("patch", "connectors/status"),
        ),
    ])
}

/// What is written beside the spec of a new object is dropped.
async fn in_new_objects(stage: &Stage) -> Result<Vec<Attempt>> {
    let eve = &stage.eve;
    let crm = stage.red.connections().get("crm").await?;
    let forged = |name: &str, status: Value| {
        let own = stage.in_blue(name, &stage.with_app("client"));
        Deed::create(eve, &with(&own, "/status", status))
    };
    let target = format!("verify http://{}", stage.hostile.authority());
    let of_red = json!({ "namespace": stage.red.namespace, "name": "crm", "uid": uid(&crm)? });
    let bound = with(&binding(stage, "bound"), "/status", json!({ "connection": of_red }));
    let named = with(&binding(stage, "named"), "/status", json!({ "binding": { "name": "app" } }));
    let folder = json!({ "displayName": "Forged", "type": "Shared" });
    let folder = object("Folder", "", &format!("{}-forged", stage.blue.namespace), &folder);
    let paula = paula(&stage.blue).await?;
    Ok(vec![
        attempt(
            "an account in a new Connection",
            forged("f1", json!({ "state": "Connected", "account": "root", "authenticatedBy": "root" })),
            stands("/status/authenticatedBy", Value::Null),
        ),
        attempt(
            "targets in a new Connection, as if they had been agreed to",
            forged("f2", json!({ "credentialTargets": [target], "acceptedCredential": "x" })),
            stands("/status/credentialTargets", Value::Null),
        ),
        attempt(
            "an early default in a new Connection",
            forged("f3", json!({ "defaultSince": "2001-01-01T00:00:00Z", "effectiveDefault": true })),
            stands("/status/defaultSince", Value::Null),
        ),
        attempt(
            "consumers in a new Connection",
            forged("f4", json!({ "consumers": { "count": 9, "names": ["a"], "elsewhere": 8 } })),
            stands("/status/consumers/names", Value::Null),
        ),
        attempt(
            "what policies allow in a new Connection",
            forged("f5", json!({ "policy": { "allowedHosts": ["evil.example.com"] } })),
            stands("/status/policy/allowedHosts", Value::Null),
        ),
        attempt(
            "red's Connection in a new ProcessBinding's status",
            Deed::create(eve, &bound),
            stands("/status/connection", Value::Null),
        ),
        attempt(
            "a Secret in a new ProcessBinding's status",
            Deed::create(eve, &named),
            stands("/status/binding", Value::Null),
        ),
        attempt(
            "red's path in a new Folder's status",
            Deed::create(&paula, &with(&folder, "/status", json!({ "path": stage.red.namespace }))).dry_run(),
            stands("/status/path", Value::Null),
        ),
    ])
}

/// A consent in somebody else's name. The family `attacks` has the rest of consents.
async fn a_forged_requester(stage: &Stage) -> Result<Vec<Attempt>> {
    let blues = stage.blue.connections().get("blues").await?;
    let spec = json!({
        "connectionRef": { "name": blues.name_any(), "uid": uid(&blues)? }, "challenge": "c".repeat(43),
        "loopbackPort": 40000,
        "requester": { "username": "administrator", "groups": ["system:masters"], "seal": "forged" },
    });
    let request = object("ConsentRequest", &stage.blue.namespace, "forged", &spec);
    let returned = with(&request, "/metadata/name", "returned".into());
    let returned = with(&returned, "/status", json!({ "phase": "Returned", "sealedResult": "x" }));
    let eve = name_of("eve", &stage.blue.namespace);
    Ok(vec![
        attempt(
            "a stamp of somebody else",
            Deed::create(&stage.eve, &request),
            stands("/spec/requester/username", eve.into()),
        ),
        attempt(
            "a consent that says to have returned",
            Deed::create(&stage.eve, &returned).dry_run(),
            stands("/status/sealedResult", Value::Null),
        ),
    ])
}

#[tokio::test]
async fn what_only_the_operator_says_nobody_else_says() -> Result<()> {
    let mut family = Family::new("statuses").await?;
    let stage = &family.stage;
    let spec = with(&stage.with_app("client"), "/oauthApp/secretRef/name", "none".into());
    stage.blue.connection("blues", spec).await?;
    stage.blue.until("blues", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    let attempts =
        [by_the_subresource(stage).await?, in_new_objects(stage).await?, a_forged_requester(stage).await?];
    family.make(attempts.concat()).await?;
    family.end().await
}
