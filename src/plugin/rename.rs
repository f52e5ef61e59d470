//! `kubectl liaison rename`: what people call a connection. Nothing else of it changes.

use anyhow::Context as _;
use clap::Args;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::Connection;

use super::{FIELD_MANAGER, Session, lookup};

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
    /// What it is to be called
    display_name: String,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let Arguments { name, display_name } = arguments;
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "spec": { "displayName": display_name } }));
    match connections.patch(name, &parameters, &patch).await {
        Ok(_) => {}
        // What admission says is about the name, not about where the connection is.
        Err(error @ kube::Error::Api(_)) if error.to_string().contains("denied the request") => {
            return Err(error).with_context(|| format!("rename \"{name}\""));
        }
        Err(error) => return Err(lookup::explained(&session.client, &session.namespace, name, error).await),
    }
    writeln!(
        session.output,
        "\"{name}\" is called \"{display_name}\" now; its name, its uid and all that refers to it stay as they are"
    )?;
    Ok(true)
}
