//! Who is on the stage, with the rights that make them dangerous and no others.

use anyhow::{Context as _, Result};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::attempt::Deed;
use crate::fixtures::Ground;
use crate::support::waiting::{SOON, eventually};
use crate::world::World;

const RBAC: &str = "rbac.authorization.k8s.io";

/// The roles of somebody who makes, uses and binds connections in a folder.
const MEMBER: [&str; 4] = [
    "liaison-connection-viewer",
    "liaison-connection-creator",
    "liaison-connection-user",
    "liaison-connection-consumer",
];

/// A member of a folder who does not read Secrets.
pub(super) async fn folder_user(ground: &Ground, who: &str) -> Result<Client> {
    namespace_user(ground, who, &[]).await
}

/// A member of a folder with further roles of the cluster in its namespace.
pub(super) async fn namespace_user(ground: &Ground, who: &str, more: &[&str]) -> Result<Client> {
    let roles = [&MEMBER, more].concat();
    for role in &roles {
        bind_in(ground, who, "ClusterRole", role).await?;
    }
    let client = client_of(who, &ground.namespace).await?;
    if more.contains(&"edit") {
        knows(&client, "patch", "", "secrets", &ground.namespace).await?;
    }
    knows(&client, "create", "liaison.dev", "connections", &ground.namespace).await?;
    knows(&client, "create", "liaison.dev", "processbindings", &ground.namespace).await?;
    Ok(client)
}

/// Somebody with these rules in a folder's namespace and nothing else. The first right is waited for.
pub(super) async fn with_rules(ground: &Ground, who: &str, rules: Value) -> Result<Client> {
    let role = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": { "name": who }, "rules": rules,
    });
    ground.apply(&role).await?;
    bind_in(ground, who, "Role", who).await?;
    let client = client_of(who, &ground.namespace).await?;
    let [group, verb, resource] = first(&rules)?;
    knows(&client, &verb, &group, &resource, &ground.namespace).await?;
    Ok(client)
}

/// Somebody with these rules in the whole cluster. The first right is waited for.
pub(super) async fn with_rules_everywhere(ground: &Ground, who: &str, rules: Value) -> Result<Client> {
    let name = name_of(who, &ground.namespace);
    let version = format!("{RBAC}/v1");
    let role = json!({
        "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules,
    });
    let binding = json!({
        "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": RBAC, "kind": "User", "name": name }],
    });
    for object in [role, binding] {
        Deed::apply(&ground.client, &object).perform().await?;
    }
    let client = client_of(who, &ground.namespace).await?;
    let [group, verb, resource] = first(&rules)?;
    knows(&client, &verb, &group, &resource, "").await?;
    Ok(client)
}

/// Keeps the catalogue of the whole cluster.
pub(super) async fn mallory(ground: &Ground) -> Result<Client> {
    let verbs = ["patch", "get", "list", "create", "update", "delete"];
    with_rules_everywhere(ground, "mallory", rules("liaison.dev", &["connectors"], &verbs)).await
}

/// Makes folders, and may do nothing with namespaces or with the folders that are there.
pub(super) async fn paula(ground: &Ground) -> Result<Client> {
    let verbs = ["create", "get", "list"];
    with_rules_everywhere(ground, "paula", rules("liaison.dev", &["folders"], &verbs)).await
}

/// One rule.
pub(super) fn rules(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!([{ "apiGroups": [group], "resources": resources, "verbs": verbs }])
}

/// The user that somebody is on this stage.
pub(super) fn name_of(who: &str, stage: &str) -> String {
    format!("{who}-of-{stage}")
}

async fn client_of(who: &str, stage: &str) -> Result<Client> {
    World::shared().control_plane.client_as(&name_of(who, stage), &[]).await
}

async fn bind_in(ground: &Ground, who: &str, kind: &str, role: &str) -> Result<()> {
    let name = format!("{who}-{role}");
    let user = name_of(who, &ground.namespace);
    let binding = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": RBAC, "kind": kind, "name": role },
        "subjects": [{ "apiGroup": RBAC, "kind": "User", "name": user }],
    });
    ground.apply(&binding).await
}

fn first(rules: &Value) -> Result<[String; 3]> {
    let text = |key: &str| rules[0][key][0].as_str().map(ToOwned::to_owned).context("a rule");
    Ok([text("apiGroups")?, text("verbs")?, text("resources")?])
}

/// Waits until the API server knows that somebody may do this.
async fn knows(client: &Client, verb: &str, group: &str, resource: &str, namespace: &str) -> Result<()> {
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    eventually(&format!("the right to {verb} {resource} in \"{namespace}\" is known"), SOON, async || {
        let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed).then_some(()))
    })
    .await
}
