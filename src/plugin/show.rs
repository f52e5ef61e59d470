//! `kubectl liaison show`

use clap::Args;
use kube::Api;

use crate::api::Folder;

use super::{Session, lookup};

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let connection = lookup::connection(&session.client, &session.namespace, &arguments.name).await?;
    let folders: Api<Folder> = Api::all(session.client.clone());
    // A caller may be allowed to see the connection and not the folders; then the namespace says enough.
    let folders =
        folders.list(&kube::api::ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let path = folders
        .iter()
        .filter_map(|folder| folder.status.as_ref())
        .find(|status| status.namespace.as_ref() == Some(&session.namespace))
        .and_then(|status| status.path.clone())
        .unwrap_or_else(|| session.namespace.clone());

    let status = connection.status.clone().unwrap_or_default();
    let output = &mut session.output;
    writeln!(output, "Folder:      {path}")?;
    writeln!(output, "Connection:  {}", arguments.name)?;
    writeln!(output, "Connector:   {}", connection.spec.connector_ref.name)?;
    writeln!(output, "Account:     {}", status.account.as_deref().unwrap_or("unknown"))?;
    writeln!(output, "State:       {:?}", status.state)?;
    if let Some(person) = &status.authenticated_by {
        writeln!(output, "Consent of:  {person}")?;
    }
    if let Some(redirect_uri) =
        status.authentication.as_ref().and_then(|authentication| authentication.redirect_uri.as_ref())
    {
        writeln!(output, "Redirect:    {redirect_uri}")?;
    }
    if super::list::waits_for_person(&connection) {
        let command = format!("kubectl liaison connect {} -n {}", arguments.name, session.namespace);
        writeln!(output, "Next:        {command}")?;
    }
    if let Some(expires_at) = status.token.as_ref().and_then(|token| token.expires_at.as_ref()) {
        writeln!(output, "Token until: {}", expires_at.0)?;
    }
    match &status.last_verification {
        Some(last) => {
            let message = last.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            writeln!(output, "Verified:    {} {:?}{message}", last.time.0, last.result)?;
        }
        None => writeln!(output, "Verified:    never")?,
    }
    writeln!(output, "Conditions:")?;
    for condition in &status.conditions {
        let message =
            if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        writeln!(output, "  {:<17}{:<8}{}{message}", condition.type_, condition.status, condition.reason)?;
    }
    Ok(true)
}
