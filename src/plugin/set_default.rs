//! `kubectl liaison set-default`: marks one connection as the default and takes the mark from the others.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::api::Connection;
use crate::domain::commands;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::defaults::{Place, only_one};

use super::{FIELD_MANAGER, Session, complaint, folder, lookup};

/// How long the operator may take to look at what was marked.
const ANSWERS: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let name = &arguments.name;
    let connection = lookup::connection(&session.client, &session.namespace, name).await?;
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    let connector = &connection.spec.connector_ref.name;
    let company = ListParams::default().fields(&format!("spec.connectorRef.name={connector}"));
    let company = connections.list(&company).await.context("look for the other connections")?.items;
    let others = company.into_iter().filter(|other| {
        other.metadata.deletion_timestamp.is_none() && other.metadata.uid != connection.metadata.uid
    });
    let others: Vec<Connection> = others.collect();
    let folder = folder::of_namespace(&session.client, &session.namespace).await;
    let folder = folder.map_or_else(|| session.namespace.clone(), |folder| folder.name_any());
    if others.is_empty() {
        anyhow::bail!(only_one(name, Place { namespace: &session.namespace, folder: &folder, connector }));
    }
    // Before anything is taken from the others: may this one be marked at all?
    mark(&connections, &connection, true, true).await.with_context(|| format!("mark \"{name}\""))?;
    let mut left = Vec::new();
    for other in others.iter().filter(|other| other.spec.default) {
        left.extend(unmark(&connections, other).await);
    }
    set(&connections, &connection, !left.is_empty()).await.with_context(|| format!("mark \"{name}\""))?;
    for reason in &left {
        writeln!(session.output, "{reason}")?;
    }
    told(session, &connections, name, &folder, connector).await
}

/// Sets or takes away the mark of this very connection.
async fn mark(
    connections: &Api<Connection>,
    connection: &Connection,
    default: bool,
    rehearse: bool,
) -> anyhow::Result<()> {
    let parameters = PatchParams {
        dry_run: rehearse,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..Default::default()
    };
    let patch = json!({ "metadata": { "uid": connection.uid() }, "spec": { "default": default } });
    connections.patch(&connection.name_any(), &parameters, &Patch::Merge(patch)).await?;
    Ok(())
}

/// Takes the mark away; where that cannot be done, or would not last, says why it stays.
async fn unmark(connections: &Api<Connection>, other: &Connection) -> Option<String> {
    let name = other.name_any();
    if let Some(tool) = applied_by(other) {
        return Some(format!(
            "\"{name}\" stays marked: \"{tool}\" applies it and would mark it again, later than this one; take \
             spec.default out of its manifest"
        ));
    }
    let error = mark(connections, other, false, false).await.err()?;
    Some(format!("\"{name}\" stays marked: {}", complaint(&error)))
}

/// The tool whose manifest marks a connection. What a person applied with kubectl is theirs to change.
fn applied_by(connection: &Connection) -> Option<&str> {
    let marks = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.operation.as_deref() == Some("Apply")
            && fields.is_some_and(|fields| fields["f:spec"].get("f:default").is_some())
    };
    let entries = connection.metadata.managed_fields.iter().flatten().filter(marks);
    let mut tools = entries.filter_map(|entry| entry.manager.as_deref());
    tools.find(|manager| !manager.starts_with("kubectl"))
}

/// Marks the connection. Where others stay marked, it has to be marked later than they were: a mark that it bears
/// already is taken away first, and the operator has to see that.
async fn set(connections: &Api<Connection>, connection: &Connection, contested: bool) -> anyhow::Result<()> {
    if connection.spec.default && !contested {
        return Ok(());
    }
    if connection.spec.default {
        mark(connections, connection, false, false).await?;
        let forgotten = |now: Option<&Connection>| {
            now.is_none_or(|now| now.status.as_ref().is_none_or(|status| status.default_since.is_none()))
        };
        let name = connection.name_any();
        let seen = await_condition(connections.clone(), &name, forgotten);
        // Where nobody looks, it is marked again all the same.
        let _ = tokio::time::timeout(ANSWERS, seen).await;
    }
    mark(connections, connection, true, false).await
}

/// Waits until the operator has looked, and tells what came of it.
async fn told(
    session: &mut Session<'_>,
    connections: &Api<Connection>,
    name: &str,
    folder: &str,
    connector: &str,
) -> anyhow::Result<bool> {
    let effective = |now: Option<&Connection>| {
        now.and_then(|now| now.status.as_ref()).and_then(|status| status.effective_default) == Some(true)
    };
    let seen = await_condition(connections.clone(), name, effective);
    if let Ok(seen) = tokio::time::timeout(ANSWERS, seen).await {
        seen?;
        writeln!(
            session.output,
            "\"{name}\" is the default for connector \"{connector}\" in folder \"{folder}\""
        )?;
        return Ok(true);
    }
    let status = connections.get(name).await?.status.unwrap_or_default();
    let said = conditions::find(&status.conditions, ConditionType::DefaultApplied);
    let said = said.filter(|said| said.status == "False").map(|said| format!(": {}", said.message));
    writeln!(
        session.output,
        "\"{name}\" is marked, and not the default yet{}; see `{}`",
        said.unwrap_or_default(),
        commands::show(&session.namespace, name)
    )?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use rstest::rstest;

    use super::*;
    use crate::api::ConnectionSpec;

    #[rstest]
    #[case::a_tool("Apply", "kustomize-controller", json!({ "f:spec": { "f:default": {} } }), Some("kustomize-controller"))]
    #[case::a_person("Apply", "kubectl", json!({ "f:spec": { "f:default": {} } }), None)]
    #[case::an_edit("Update", "dashboard", json!({ "f:spec": { "f:default": {} } }), None)]
    #[case::other_fields("Apply", "kustomize-controller", json!({ "f:spec": { "f:displayName": {} } }), None)]
    fn a_mark_that_would_come_back_is_found_by_who_applies_it(
        #[case] operation: &str,
        #[case] manager: &str,
        #[case] fields: serde_json::Value,
        #[case] expected: Option<&str>,
    ) {
        let mut connection = Connection::new("c", ConnectionSpec::default());
        connection.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            operation: Some(operation.to_owned()),
            manager: Some(manager.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }]);
        assert_eq!(applied_by(&connection), expected);
    }
}
