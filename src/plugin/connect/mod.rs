//! `kubectl liaison connect`: a person authenticates a connection in the browser.

mod browser;
mod forward;
mod loopback;
mod request;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::Api;
use kube::runtime::wait::await_condition;

use crate::api::consent_request::Phase;
use crate::api::{Connection, ConsentRequest};
use crate::domain::conditions::{self, ConditionType};
use crate::domain::reason::Reason;

use super::Session;

use loopback::Loopback;
use request::StartSecret;

/// How long the operator may take to look at something.
const ANSWERS: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct Arguments {
    /// The connection
    name: String,
    /// How long to wait for the person, up to the ten minutes that a request lives
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Show a code to enter instead of opening a browser on this machine; needs a policy that allows it
    #[arg(long)]
    no_browser: bool,
}

pub(super) async fn run(session: &mut Session<'_>, arguments: &Arguments) -> anyhow::Result<bool> {
    let name = &arguments.name;
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    let connection = seen_by_operator(session, &connections, name).await?;
    let loopback = if arguments.no_browser { None } else { Some(Loopback::listen().await?) };
    let port = loopback.as_ref().map(Loopback::port);

    let secret = StartSecret::new()?;
    let requests: Api<ConsentRequest> = Api::namespaced(session.client.clone(), &session.namespace);
    let request = request::create(&requests, &connection, &secret, port).await?;
    let request_name = request.metadata.name.clone().context("the request has no name")?;
    let issued = request::issued(&requests, &request_name, ANSWERS).await?;
    let status = issued.status.clone().unwrap_or_default();
    let (Some(url), Some(loopback)) = (status.url.as_deref(), loopback) else {
        return outcome(session, name, &issued);
    };

    let forwarded = forward::where_needed(&session.client, url).await?;
    let link = secret.link(url);
    writeln!(
        session.output,
        "Authenticate \"{name}\" in your browser; if it does not open by itself, open:\n\n  {link}\n"
    )?;
    browser::open(&link);
    let ended = follow(session, &requests, &request_name, loopback, arguments.wait).await?;
    drop(forwarded);
    finished(session, &connections, name, &ended).await
}

/// The Connection, once the operator has looked at it: a Connection that was applied a moment ago has nothing to be
/// asked about yet.
async fn seen_by_operator(
    session: &Session<'_>,
    connections: &Api<Connection>,
    name: &str,
) -> anyhow::Result<Connection> {
    let found = connections.get(name).await.with_context(|| {
        format!("look up the connection \"{name}\" in namespace \"{}\"", session.namespace)
    })?;
    let seen = |connection: Option<&Connection>| {
        let status = connection.and_then(|connection| connection.status.as_ref());
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions::find(conditions, ConditionType::Ready)
            .is_none_or(|ready| ready.reason != Reason::Pending.as_str())
    };
    if seen(Some(&found)) {
        return Ok(found);
    }
    let looked = await_condition(connections.clone(), name, seen);
    let looked = tokio::time::timeout(ANSWERS, looked).await.with_context(|| {
        format!(
            "the operator has not looked at \"{name}\" within {} s; is it running? See `kubectl get pods -A -l \
             app.kubernetes.io/name=liaison`",
            ANSWERS.as_secs()
        )
    })??;
    looked.context("the connection is gone")
}

/// Serves the browser that comes back, and waits for the end of the request.
async fn follow(
    session: &mut Session<'_>,
    requests: &Api<ConsentRequest>,
    name: &str,
    loopback: Loopback,
    wait: Duration,
) -> anyhow::Result<ConsentRequest> {
    writeln!(session.output, "Waiting for you; the link is good for ten minutes.")?;
    let connection = session.namespace.clone();
    let serving = loopback.serve(requests.clone(), name.to_owned(), connection);
    let ended = tokio::select! {
        served = serving => {
            served?;
            anyhow::bail!("the local listener has ended");
        }
        ended = tokio::time::timeout(wait, request::ended(requests, name)) => ended,
    };
    match ended {
        Ok(ended) => ended,
        Err(_) => anyhow::bail!(
            "nobody finished within {}; the link stays good for the rest of its ten minutes, but this command is needed \
             to finish: run it again",
            humantime::format_duration(wait)
        ),
    }
}

/// Says how it ended; after a success, with the account.
async fn finished(
    session: &mut Session<'_>,
    connections: &Api<Connection>,
    name: &str,
    ended: &ConsentRequest,
) -> anyhow::Result<bool> {
    if ended.status.as_ref().and_then(|status| status.phase) != Some(Phase::Succeeded) {
        return outcome(session, name, ended);
    }
    let consent = ended.metadata.name.clone();
    let authenticated = |connection: Option<&Connection>| {
        let status = connection.and_then(|connection| connection.status.as_ref());
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions::find(conditions, ConditionType::Authenticated)
            .is_some_and(|authenticated| authenticated.status == "True")
    };
    let connection =
        tokio::time::timeout(ANSWERS, await_condition(connections.clone(), name, authenticated)).await;
    let connection = connection
        .with_context(|| {
            format!(
                "the provider issued a token ({}), and the connection does not show it yet; see `kubectl liaison show \
                 {name} -n {}`",
                consent.unwrap_or_default(),
                session.namespace
            )
        })??
        .context("the connection is gone")?;
    let status = connection.status.unwrap_or_default();
    let account = status.account.unwrap_or_else(|| "an unknown account".to_owned());
    writeln!(session.output, "Connected \"{name}\" as {account}.")?;
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    if let Some(ready) = ready.filter(|ready| ready.status != "True") {
        writeln!(session.output, "It is not ready yet: {}: {}", ready.reason, ready.message)?;
    }
    Ok(true)
}

fn outcome(session: &mut Session<'_>, name: &str, ended: &ConsentRequest) -> anyhow::Result<bool> {
    let status = ended.status.clone().unwrap_or_default();
    let reason = status.reason.unwrap_or_else(|| "Unknown".to_owned());
    let message = status.message.unwrap_or_default();
    writeln!(session.output, "Not connected \"{name}\": {reason}: {message}")?;
    Ok(false)
}
