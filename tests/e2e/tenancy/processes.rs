//! What blue has of processes before anything is tried.

use anyhow::Result;
use serde_json::{Value, json};

use super::attempt::Deed;
use super::people::{name_of, with_rules};
use super::stage::{Stage, with};
use crate::binding::ACCOUNT;

/// Blue's ServiceAccount that red lets use its Connection `erp`.
pub(super) const BORROWED: &str = "borrowed";

pub(super) fn binding(stage: &Stage, name: &str, connector: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["connectorRef"] = json!({ "name": stage.connector(connector) });
    if spec["serviceAccountName"].is_null() {
        spec["serviceAccountName"] = ACCOUNT.into();
    }
    json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding",
        "metadata": { "name": name, "namespace": stage.blue.namespace }, "spec": spec,
    })
}

/// What blue has of its own: a Connection that its processes use, and bindings that its administrator made.
pub(super) async fn furnish(stage: &Stage) -> Result<()> {
    let blue = &stage.blue;
    for account in [ACCOUNT, BORROWED] {
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account } });
        blue.apply(&account).await?;
    }
    blue.grant_use().await?;
    let borrower = json!({ "kind": "ServiceAccount", "name": BORROWED, "namespace": blue.namespace });
    lend(stage, "erp", borrower).await?;
    blue.secret("own-app", &[("clientId", "blue"), ("clientSecret", "blues-own")]).await?;
    let own = with(&stage.with_app("client"), "/oauthApp/secretRef/name", "own-app".into());
    blue.connection("own", own).await?;
    blue.until_ready("own").await?;
    let lent = json!({
        "connectionRef": { "namespace": stage.red.namespace, "name": "erp" }, "serviceAccountName": BORROWED,
    });
    let filled = json!({ "connectionRef": { "name": "own" }, "secretName": "filled" });
    let olga = json!({ "user": "olga", "connectionRef": { "name": "own" } });
    let chosen = json!({ "configurableByUsers": true });
    blue.apply(&binding(stage, "lent", "pat", &lent)).await?;
    blue.apply(&binding(stage, "filled", "client", &filled)).await?;
    blue.apply(&binding(stage, "chosen", "client", &chosen)).await?;
    let as_olga = with_rules(
        blue,
        "olga",
        json!([
            { "apiGroups": ["liaison.dev"], "resources": ["processbindings"], "verbs": ["patch", "get"] },
            { "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"] },
        ]),
    )
    .await?;
    let olga = with(&olga, "/user", name_of("olga", &blue.namespace).into());
    let choose = json!({ "spec": { "choices": [olga] } });
    Deed::merge(&as_olga, &binding(stage, "chosen", "client", &chosen), choose).perform().await?;
    blue.until_binding("lent", "True", "Bound").await?;
    blue.until_binding("filled", "True", "Bound").await?;
    blue.until_binding("chosen", "True", "Bound").await?;
    Ok(())
}

/// Red lets a process of blue use one of its connections.
pub(super) async fn lend(stage: &Stage, connection: &str, borrower: Value) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let red = &stage.red;
    for (kind, more) in [
        (
            "Role",
            json!({ "rules": [{
                "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"],
                "resourceNames": [connection],
            }] }),
        ),
        (
            "RoleBinding",
            json!({
                "roleRef": { "apiGroup": group, "kind": "Role", "name": "lends" }, "subjects": [borrower],
            }),
        ),
    ] {
        let mut object = more;
        object["apiVersion"] = format!("{group}/v1").into();
        object["kind"] = kind.into();
        object["metadata"] = json!({ "name": "lends" });
        red.apply(&object).await?;
    }
    Ok(())
}
