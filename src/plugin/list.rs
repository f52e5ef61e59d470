//! `kubectl liaison list`

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::Connection;
use crate::domain::commands;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::connection::Blocked;
use crate::domain::lookup::none_for_connector;

use super::Session;

#[derive(Args)]
pub(super) struct Arguments {
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Of this connector only
    #[arg(long)]
    connector: Option<String>,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let api: Api<Connection> = if arguments.all_namespaces {
        Api::all(session.client.clone())
    } else {
        Api::namespaced(session.client.clone(), &session.namespace)
    };
    let mut parameters = ListParams::default();
    if let Some(connector) = &arguments.connector {
        parameters = parameters.fields(&format!("spec.connectorRef.name={connector}"));
    }
    let connections = api.list(&parameters).await?;
    if connections.items.is_empty() {
        let namespace = (!arguments.all_namespaces).then_some(session.namespace.as_str());
        let none = arguments.connector.as_ref().map(|connector| none_for_connector(namespace, connector));
        let none = none.map_or_else(
            || "no connections; `kubectl get connectors` lists what can be connected to".to_owned(),
            |Blocked { reason, message }| format!("{reason}: {message}"),
        );
        writeln!(session.output, "{none}")?;
        return Ok(true);
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["NAMESPACE", "NAME", "CONNECTOR", "ACCOUNT", "STATE", "DEFAULT", "READY", "REASON"]);
    for connection in &connections {
        let status = connection.status.clone().unwrap_or_default();
        let ready = conditions::find(&status.conditions, ConditionType::Ready);
        table.add_row([
            connection.namespace().unwrap_or_default(),
            connection.name_any(),
            connection.spec.connector_ref.name.clone(),
            status.account.unwrap_or_default(),
            format!("{:?}", status.state),
            status.effective_default.map(|default| default.to_string()).unwrap_or_default(),
            ready.map(|ready| ready.status.clone()).unwrap_or_default(),
            ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
        ]);
    }
    writeln!(session.output, "{}", table.trim_fmt())?;
    let waiting: Vec<_> = connections.iter().filter(|connection| waits_for_person(connection)).collect();
    if !waiting.is_empty() {
        writeln!(session.output, "\nA person has to authenticate:\n")?;
        for connection in waiting {
            let (name, namespace) = (connection.name_any(), connection.namespace().unwrap_or_default());
            writeln!(session.output, "  {}", commands::connect(&namespace, &name))?;
        }
    }
    Ok(true)
}

/// Whether somebody is called to the Connection's page.
pub(super) fn waits_for_person(connection: &Connection) -> bool {
    let status = connection.status.as_ref();
    status.and_then(|status| status.authentication.as_ref()?.url.as_ref()).is_some()
}
