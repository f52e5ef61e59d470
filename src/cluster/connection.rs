//! Connections: one pass is observe → decide → act.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use crate::api::consent_request::Phase;
use crate::api::{Connection, ConsentRequest};
use crate::domain;
use crate::domain::connection::{
    ConnectorState, Effect, FailedConsent, Observed, Outcome, decide, decide_again,
};
use crate::domain::consent::{concerns, says_something_of_connection};
use crate::domain::decision::{Decision, Event};
use crate::domain::reason::Reason;

use super::record::Recorded;
use super::token_store::{self, Seen};
use super::{Context, Error, Guarded, again_at, effects, policy, record};

const FIELD_MANAGER: &str = "liaison-connection";

/// One pass over a Connection.
pub async fn reconcile(connection: Arc<Guarded<Connection>>, context: Arc<Context>) -> Result<Action, Error> {
    let connection = connection.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    let connection = context.written.apply(connection);
    let (observed, seen) = observe(&connection, &context).await?; // reads
    let decision = decide(&observed, context.clock.now()); // pure
    act(&context, observed, &seen, decision).await // writes
}

/// Gathers all that a decision depends on. Reads only.
async fn observe(connection: &Connection, context: &Context) -> Result<(Observed, Seen), Error> {
    let namespace = connection.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &connection.spec;
    let secrets = &context.secrets;
    let keyring = &context.keyring;
    let seen = token_store::observe(context, connection).await?;
    let (folder, policy) = policy::governing(context, namespace, &spec.connector_ref.name);
    let credentials = domain::policy::credentials(spec, &policy);
    let connector = connector_state(context, &spec.connector_ref.name);
    let oauth_app = domain::policy::oauth_app(spec, connector.auth_type_of(spec), &policy);
    let observed = Observed {
        connector,
        folder,
        credentials: secrets.state_of(namespace, credentials.as_ref(), keyring).await?,
        oauth_app: secrets.state_of(namespace, oauth_app.as_ref(), keyring).await?,
        policy: Arc::new(policy),
        token: seen.state.clone(),
        consent: failed_consent(context, connection),
        neighbours: context.surroundings.of(connection),
        settings: context.settings.clone(),
        connection: connection.clone(),
    };
    Ok((observed, seen))
}

pub(super) fn connector_state(context: &Context, name: &str) -> ConnectorState {
    let stored = context.connectors.get(&ObjectRef::new(name));
    match stored.as_deref().map(|object| &object.0) {
        None => ConnectorState::NotFound,
        Some(Err(fault)) => ConnectorState::Invalid(vec![fault.error.clone()]),
        Some(Ok(connector)) => context.definitions.state_of(connector),
    }
}

/// The latest consent of this Connection, and of no other of its name, that came to nothing.
fn failed_consent(context: &Context, connection: &Connection) -> Option<FailedConsent> {
    let requests = context.consents.state();
    let requests = requests.iter().filter_map(|object| object.0.as_ref().ok());
    let own = requests.filter(|request| concerns(request, connection));
    own.filter_map(end_of_failed).max_by_key(|failed| failed.at)
}

/// How a consent that came to nothing ended. A word that this version does not know is another version's to tell.
fn end_of_failed(request: &ConsentRequest) -> Option<FailedConsent> {
    let status = request.status.as_ref().filter(|status| status.phase == Some(Phase::Failed))?;
    Some(FailedConsent {
        id: request.uid()?,
        at: status.ended_at.as_ref()?.0,
        reason: status
            .reason
            .as_deref()?
            .parse()
            .ok()
            .filter(|reason| says_something_of_connection(*reason))?,
        message: status.message.clone().unwrap_or_default(),
    })
}

/// Does what was decided: at most one effect, and one write of the status where it differs. An effect whose fact
/// lies outside the status leaves the writing to the pass that comes after, so that people see one step, not three.
async fn act(
    context: &Context,
    observed: Observed,
    seen: &Seen,
    decision: Decision<crate::api::ConnectionStatus, Effect>,
) -> Result<Action, Error> {
    let Some(effect) = decision.effect.clone() else {
        if !record_decision(context, &observed, &decision).await? {
            return Ok(Action::requeue(record::LOOK_AGAIN));
        }
        return Ok(again_at(context.clock.now(), decision.next));
    };
    let outcome = match effect {
        Effect::Release => {
            // A replica that no longer leads leaves the one attempt to the one that does.
            if effects::deadline(context).is_none() {
                return Ok(Action::requeue(record::LOOK_AGAIN));
            }
            release(context, &observed).await?;
            return Ok(Action::await_change());
        }
        Effect::HoldForRevocation => effects::hold(context, &observed).await?,
        Effect::RequestToken(plan) => effects::request_token(context, &observed, seen, &plan).await?,
        Effect::Probe => effects::probe(context, &observed).await?,
    };
    let kept_elsewhere = matches!(outcome, Outcome::Held | Outcome::TokenStored(_));
    if outcome == Outcome::Superseded {
        return Ok(Action::requeue(record::LOOK_AGAIN));
    }
    let after = decide_again(&observed, decision.status, outcome, context.clock.now());
    let left_to_next = kept_elsewhere && after.effect.is_some();
    if !left_to_next && !record_decision(context, &observed, &after).await? {
        return Ok(Action::requeue(record::LOOK_AGAIN));
    }
    if after.effect.is_some() {
        return Ok(Action::requeue(Duration::ZERO));
    }
    Ok(again_at(context.clock.now(), after.next))
}

/// Whether the decision is recorded; it is not where somebody else was faster.
async fn record_decision(
    context: &Context,
    observed: &Observed,
    decision: &Decision<crate::api::ConnectionStatus, Effect>,
) -> Result<bool, Error> {
    let connection = &observed.connection;
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    match record::status(&api, connection, &decision.status, FIELD_MANAGER).await? {
        Recorded::Unchanged => {}
        Recorded::Written(written) => {
            context.written.note(connection, *written, Instant::now());
            record::events(&context.recorder, &connection.object_ref(&()), &decision.events).await;
        }
        Recorded::Superseded => return Ok(false),
    }
    Ok(true)
}

async fn release(context: &Context, observed: &Observed) -> Result<(), Error> {
    if let Err(cause) = effects::revoke(context, observed).await {
        tracing::warn!(
            connection = observed.name(),
            namespace = observed.namespace(),
            cause,
            "cannot revoke the token"
        );
        let object = observed.connection.object_ref(&());
        record::events(&context.recorder, &object, &[Event::warning(Reason::RevocationFailed)]).await;
    }
    effects::let_go(context, observed).await
}
