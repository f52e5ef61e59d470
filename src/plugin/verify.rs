//! `kubectl liaison verify`

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use crate::api::Connection;
use crate::api::connection::VerificationResult;
use crate::api::names::VERIFY_AT_ANNOTATION;
use crate::domain::commands;

use super::{Session, lookup};

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
    /// How long to wait for the answer
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    #[expect(clippy::disallowed_methods, reason = "a person asks now; the value only has to be a new one")]
    let asked_at = jiff::Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { VERIFY_AT_ANNOTATION: asked_at } } });
    let name = &arguments.name;
    let asked = connections.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    if let Err(error) = asked {
        return Err(lookup::explained(&session.client, &session.namespace, name, error).await);
    }
    writeln!(session.output, "asked the provider of \"{name}\"; waiting for the answer")?;

    let handled = {
        let asked_at = asked_at.clone();
        move |connection: Option<&Connection>| {
            connection
                .and_then(|connection| connection.status.as_ref())
                .is_some_and(|status| status.last_handled_verify_at.as_ref() == Some(&asked_at))
        }
    };
    let answered = await_condition(connections, name, handled);
    let connection = tokio::time::timeout(arguments.timeout, answered).await.with_context(|| {
        format!("no answer yet; see `{}` for what it waits for", commands::show(&session.namespace, name))
    })??;
    let status = connection.and_then(|connection| connection.status);
    let last = status.and_then(|status| status.last_verification).context("the connection is gone")?;
    let message = last.message.map(|message| format!(": {message}")).unwrap_or_default();
    writeln!(session.output, "{:?}{message}", last.result)?;
    Ok(last.result == VerificationResult::Succeeded)
}
