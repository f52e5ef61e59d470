//! `kubectl liaison show`

use clap::Args;

use crate::api::ConnectionStatus;
use crate::domain::commands;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::consumers::told;
use crate::domain::reason::Reason;

use super::{Session, folder, lookup};

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let connection = lookup::connection(&session.client, &session.namespace, &arguments.name).await?;
    // A caller may be allowed to see the connection and not the folders; then the namespace says enough.
    let folder = folder::of_namespace(&session.client, &session.namespace).await;
    let path = folder.and_then(|folder| folder.status?.path).unwrap_or_else(|| session.namespace.clone());

    let status = connection.status.clone().unwrap_or_default();
    let output = &mut session.output;
    writeln!(output, "Folder:      {path}")?;
    writeln!(output, "Connection:  {}", arguments.name)?;
    if let Some(display_name) = &status.display_name {
        writeln!(output, "Called:      {display_name}")?;
    }
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
        writeln!(output, "Next:        {}", commands::connect(&session.namespace, &arguments.name))?;
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
    writeln!(output, "Default:     {}", default(&status))?;
    let users = told(status.consumers.as_ref());
    writeln!(output, "Used by:     {}", users.as_deref().unwrap_or("no process"))?;
    writeln!(output, "Conditions:")?;
    for condition in &status.conditions {
        let message =
            if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        writeln!(output, "  {:<17}{:<8}{}{message}", condition.type_, condition.status, condition.reason)?;
    }
    Ok(true)
}

/// Whether the connection is taken by default, in words.
fn default(status: &ConnectionStatus) -> &'static str {
    let only = conditions::find(&status.conditions, ConditionType::DefaultApplied)
        .is_some_and(|applied| applied.reason == Reason::OnlyConnection.as_str());
    match status.effective_default {
        Some(true) if only || status.default_since.is_none() => "yes, as the only one",
        Some(true) => "yes",
        Some(false) => "no, another one is",
        None => "no, and none is",
    }
}
