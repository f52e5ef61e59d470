//! `kubectl liaison connect`: a person authenticates a connection in the browser.

mod browser;
mod code;
mod forward;
mod loopback;
mod outcome;
mod request;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::Api;
use kube::runtime::wait::await_condition;
use tokio::task::JoinHandle;

use crate::api::{Connection, ConsentRequest};
use crate::domain::commands;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::reason::Reason;

use super::{Session, lookup};

use loopback::{Loopback, Serving};
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
    /// Namespace of the operator, for trials in which its port is forwarded. Only there its Pods are looked for: labels
    /// alone would let anybody's Pod stand in
    #[arg(long, env = "LIAISON_NAMESPACE", default_value = "liaison-system")]
    operator_namespace: String,
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
    let issued = match request::issued(&requests, &request_name, ANSWERS).await {
        Ok(issued) => issued,
        Err(error) => return Err(given_up(&requests, &request_name, error).await),
    };
    let status = issued.status.clone().unwrap_or_default();
    let Some(url) = status.url.as_deref() else {
        writeln!(session.output, "{}", outcome::failure(&issued))?;
        return Ok(false);
    };

    // Before the person sees a link: whoever stops the command from then on leaves none open.
    let stopped = tokio::spawn(tokio::signal::ctrl_c());
    tokio::task::yield_now().await;
    let forwarded = forward::where_needed(&session.client, &arguments.operator_namespace, url).await;
    let forwarded = match forwarded {
        Ok(forwarded) => forwarded,
        Err(error) => return Err(given_up(&requests, &request_name, error).await),
    };
    let link = secret.link(url);
    let waiting = wait(&requests, &request_name, arguments.wait, stopped);
    let consent = (&requests, request_name.as_str(), &connection);
    let waited = Box::pin(invite(session, consent, loopback, &link, waiting)).await?;
    drop(forwarded);
    match waited {
        Ok(ended) => finished(session, &connections, &connection, &ended?).await,
        Err(cause) => {
            // An open request counts against its user, and its link would lead nowhere.
            request::withdraw(&requests, &request_name).await;
            writeln!(
                session.output,
                "Not connected \"{name}\": {cause}; the link is closed, run the command again"
            )?;
            Ok(false)
        }
    }
}

/// Tells the person where to go, and takes the receipt while they are under way: from their browser on this machine, or
/// as a code.
async fn invite<T>(
    session: &mut Session<'_>,
    (requests, request_name, connection): (&Api<ConsentRequest>, &str, &Connection),
    loopback: Option<Loopback>,
    link: &str,
    waiting: impl Future<Output = Result<T, String>>,
) -> anyhow::Result<Result<T, String>> {
    let name = connection.metadata.name.as_deref().unwrap_or_default();
    let Some(loopback) = loopback else {
        let place = "in a browser of yours, on any machine";
        writeln!(session.output, "Authenticate \"{name}\" {place}:\n\n  {link}\n")?;
        return Ok(code::entered_while(requests, request_name, session.output, waiting).await);
    };
    writeln!(
        session.output,
        "Authenticate \"{name}\" in your browser; if it does not open by itself, open:\n\n  {link}\n"
    )?;
    browser::open(link);
    writeln!(session.output, "Waiting for you; the link is good for ten minutes.")?;
    let connections: Api<Connection> = Api::namespaced(session.client.clone(), &session.namespace);
    let serving = Serving::new(requests.clone(), request_name.to_owned(), connections, connection.clone());
    Ok(loopback.serve_while(serving, waiting).await)
}

/// An open request counts against its user, so that one of which nothing can come is taken back.
async fn given_up(requests: &Api<ConsentRequest>, name: &str, error: anyhow::Error) -> anyhow::Error {
    request::withdraw(requests, name).await;
    error
}

/// The Connection, once the operator has looked at it: a Connection that was applied a moment ago has nothing to be
/// asked about yet.
async fn seen_by_operator(
    session: &Session<'_>,
    connections: &Api<Connection>,
    name: &str,
) -> anyhow::Result<Connection> {
    let found = lookup::connection(&session.client, &session.namespace, name).await?;
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

/// Waits until nothing more will happen; an error is why nobody waits any longer.
async fn wait(
    requests: &Api<ConsentRequest>,
    name: &str,
    limit: Duration,
    stopped: JoinHandle<std::io::Result<()>>,
) -> Result<anyhow::Result<ConsentRequest>, String> {
    tokio::select! {
        ended = tokio::time::timeout(limit, request::ended(requests, name)) => {
            ended.map_err(|_| format!("nobody finished within {}", humantime::format_duration(limit)))
        }
        _ = stopped => Err("the command was stopped".to_owned()),
    }
}

/// Says how it ended; after a success, with the account.
async fn finished(
    session: &mut Session<'_>,
    connections: &Api<Connection>,
    before: &Connection,
    ended: &ConsentRequest,
) -> anyhow::Result<bool> {
    if !outcome::is_success(ended) {
        writeln!(session.output, "{}", outcome::failure(ended))?;
        return Ok(false);
    }
    let name = &ended.spec.connection_ref.name;
    let connection = outcome::connected(connections, before).await.with_context(|| {
        format!(
            "the provider issued a token, and the connection does not show it yet; see `{}`",
            commands::show(&session.namespace, name)
        )
    })?;
    writeln!(session.output, "{}", outcome::success(&connection, ended))?;
    Ok(true)
}
