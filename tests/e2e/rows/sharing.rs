//! What people with access to a folder do with each other's connections.

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use liaison::api::{Connection, ConnectionSpec};
use serde_json::{Value, json};

use crate::fixtures::{Ground, HEALS, client_credentials_connector};
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;
use crate::world::World;

async fn member(ground: &Ground, name: &str, roles: &[&str]) -> Result<Client> {
    let control_plane = World::shared().control_plane;
    for role in roles {
        ground
            .apply(&json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": format!("{name}-{role}") },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
            }))
            .await?;
    }
    control_plane.client_as(name, &[]).await
}

fn crm(connector: &str) -> Result<Connection> {
    let spec: ConnectionSpec = serde_json::from_value(json!({
        "connectorRef": { "name": connector }, "displayName": "CRM",
        "oauthApp": { "secretRef": { "name": "app" } },
    }))?;
    Ok(Connection::new("crm", spec))
}

#[tokio::test]
async fn s18_a_second_user_renames_reauthenticates_and_deletes_what_the_first_made() -> Result<()> {
    let ground = Ground::new(World::shared().control_plane.client().await?, "s18").await?;
    let provider = World::shared().provider()?;
    provider.script(|request| match request.path.as_str() {
        "/token" => Some(Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 }))),
        "/me" => Some(Answer::json(200, &json!({ "id": "1", "name": "acme" }))),
        _ => None,
    });
    ground.connector("s18", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "app" },
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["app"], "verbs": ["get"] }],
        }))
        .await?;
    ground
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "app" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "s18-first" }],
        }))
        .await?;
    let first = member(&ground, "s18-first", &["liaison-connection-creator"]).await?;
    let second = member(&ground, "s18-second", &["liaison-connection-user"]).await?;

    let theirs: Api<Connection> = Api::namespaced(first, &ground.namespace);
    eventually("the first user makes a connection", HEALS, async || {
        Ok(Some(theirs.create(&PostParams::default(), &crm("s18")?).await?))
    })
    .await?;
    let made = ground.until_ready("crm").await?;

    let connections: Api<Connection> = Api::namespaced(second, &ground.namespace);
    let change = async |part: Value| {
        connections.patch("crm", &PatchParams::default(), &Patch::Merge(part)).await.map(drop)
    };
    eventually("the second user renames it", HEALS, async || {
        Ok(Some(change(json!({ "spec": { "displayName": "Customers" } })).await?))
    })
    .await?;
    change(
        json!({ "metadata": { "annotations": { "liaison.dev/reauthenticate-at": "2026-01-01T00:00:00Z" } } }),
    )
    .await?;
    let after = ground
        .until_is("crm", "has a second token", |connection| {
            let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
            token.is_some_and(|token| token.sequence == 2)
        })
        .await?;
    assert_eq!((after.uid(), after.spec.display_name.as_deref()), (made.uid(), Some("Customers")));
    connections.delete("crm", &DeleteParams::default()).await?;
    eventually("it is gone", HEALS, async || {
        Ok(ground.connections().get_opt("crm").await?.is_none().then_some(()))
    })
    .await
}
