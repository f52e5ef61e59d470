//! `kubectl liaison delete`: deletes a connection once its person has said that they mean it.

use std::io::BufRead as _;

use anyhow::Context as _;
use clap::Args;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::api::Connection;
use crate::api::names::CONFIRM_DELETE_ANNOTATION;
use crate::domain::consumers::told;

use super::{FIELD_MANAGER, Session, lookup};

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
    /// Do not ask for the name, and delete it also where processes use it
    #[arg(long)]
    confirm: bool,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let name = &arguments.name;
    let connection = lookup::connection(&session.client, &session.namespace, name).await?;
    let status = connection.status.clone().unwrap_or_default();
    let users = told(status.consumers.as_ref());
    writeln!(
        session.output,
        "Connection \"{name}\" for connector \"{}\", account {}, goes with its token; to connect anew takes another \
         connection.",
        connection.spec.connector_ref.name,
        status.account.as_deref().unwrap_or("unknown"),
    )?;
    match &users {
        Some(users) => writeln!(session.output, "Processes use it and would stop working: {users}")?,
        None => writeln!(session.output, "No process uses it.")?,
    }
    if !arguments.confirm && !confirmed(session, name)? {
        writeln!(
            session.output,
            "\"{name}\" stays: what was typed is not its name; --confirm deletes it without asking"
        )?;
        return Ok(false);
    }
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    if users.is_some() {
        annotate(&connections, &connection, json!(name)).await.context("confirm the deletion")?;
    }
    let preconditions = Preconditions { uid: connection.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match connections.delete(name, &parameters).await {
        Ok(answer) => {
            let going = answer.left().is_some_and(|left| !left.finalizers().is_empty());
            let then = if going { "is being deleted: its token is revoked first" } else { "is deleted" };
            writeln!(session.output, "\"{name}\" {then}")?;
            Ok(true)
        }
        Err(error) => {
            if users.is_some() {
                // A confirmation that led to nothing must not let somebody else's mistake through.
                let _ = annotate(&connections, &connection, Value::Null).await;
            }
            Err(error).with_context(|| format!("delete \"{name}\""))
        }
    }
}

/// Whether the person types the name.
fn confirmed(session: &mut Session<'_>, name: &str) -> anyhow::Result<bool> {
    write!(session.output, "Type its name to delete it: ")?;
    session.output.flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    writeln!(session.output)?;
    Ok(typed.trim() == name)
}

async fn annotate(
    connections: &Api<Connection>,
    connection: &Connection,
    value: Value,
) -> anyhow::Result<()> {
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let metadata = json!({ "uid": connection.uid(), "annotations": { CONFIRM_DELETE_ANNOTATION: value } });
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    connections.patch_metadata(&connection.name_any(), &parameters, &patch).await?;
    Ok(())
}
