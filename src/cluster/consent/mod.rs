//! ConsentRequests: one pass is observe → decide → act.

mod desk;
mod redeem;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};

use crate::api::ConsentRequest;
use crate::api::consent_request::{ConsentRequestStatus, Phase};
use crate::domain::admission::is_open;
use crate::domain::consent::{Effect, ObservedConsent, ResultState, concluded, decide, expires_at};
use crate::domain::decision::Decision;
use crate::envelope::{ConsentResult, RequesterStamp};

use super::record::Recorded;
use super::{Context, Error, Guarded, again_at, effects, record, review, token_store};

pub use desk::Desk;
pub use snapshot::Snapshots;

pub(super) const FIELD_MANAGER: &str = "liaison-consent";

/// One pass over a ConsentRequest.
pub async fn reconcile(
    request: Arc<Guarded<ConsentRequest>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let request = request.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    if request.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // A consent has few steps and each counts once; none is decided on what a watch may be late with.
    let api: Api<ConsentRequest> =
        Api::namespaced(context.client.clone(), &request.namespace().unwrap_or_default());
    let current = api.get_opt(&request.name_any()).await.map_err(Error::api("read the ConsentRequest"))?;
    let Some(request) = current.filter(|current| current.metadata.uid == request.metadata.uid) else {
        return Ok(Action::await_change());
    };
    let (mut observed, result) = observe(&context, request).await?; // reads
    let mut decision = decide(&observed, context.clock.now()); // pure
    if decision.effect == Some(Effect::Rehearse) {
        observed.rehearsal = Some(rehearse(&context, &observed).await?);
        decision = decide(&observed, context.clock.now());
    }
    act(&context, &api, &observed, result, decision).await // writes
}

async fn observe(
    context: &Context,
    request: ConsentRequest,
) -> Result<(ObservedConsent, Option<ConsentResult>), Error> {
    let namespace = request.namespace().unwrap_or_default();
    let reference = &request.spec.connection_ref;
    // One that is over needs nothing more, and ends also where what it names cannot be read.
    let phase = request.status.as_ref().and_then(|status| status.phase);
    let is_over = phase.is_some_and(Phase::is_final)
        || (phase != Some(Phase::Redeeming) && context.clock.now() >= expires_at(&request));
    let connection = if is_over { None } else { context.snapshots.of(&namespace, reference).await? };
    let (state, result) = sealed_result(context, &request);
    let authorized = match (&request.spec.receipt, &request.spec.requester) {
        (Some(_), Some(requester)) if !is_over => {
            review::may_authenticate(&context.client, requester, &namespace, &reference.name).await?
        }
        _ => false,
    };
    let recorded = match &connection {
        Some(observed) => token_store::consent_of(context, &observed.connection).await? == request.uid(),
        None => false,
    };
    let observed = ObservedConsent {
        stamped: is_stamped(context, &request),
        connection: connection.map(Box::new),
        older_open: older_open(context, &request),
        result: state,
        authorized,
        recorded,
        settled: is_settled(context),
        rehearsal: None,
        request,
    };
    Ok((observed, result))
}

/// What stands in the sealed result; it is opened once there is a receipt to compare it with.
fn sealed_result(context: &Context, request: &ConsentRequest) -> (ResultState, Option<ConsentResult>) {
    let sealed = request.status.as_ref().and_then(|status| status.sealed_result.as_deref());
    let (Some(sealed), Some(receipt)) = (sealed, &request.spec.receipt) else {
        return (ResultState::Absent, None);
    };
    let uid = request.metadata.uid.as_deref().unwrap_or_default();
    match context.keyring.open_consent_result(uid, sealed) {
        None => (ResultState::Unreadable, None),
        Some(result) => {
            let (receipt_matches, terms) = (result.has_receipt(receipt), result.terms.clone());
            (ResultState::Opened { receipt_matches, terms }, Some(result))
        }
    }
}

/// Whether the stamp of who made the request is our own, whatever became of the webhook that makes it.
fn is_stamped(context: &Context, request: &ConsentRequest) -> bool {
    let Some(requester) = &request.spec.requester else { return false };
    let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
    let stamp = RequesterStamp { namespace, spec: &request.spec, requester };
    context.keyring.requester_seal_matches(stamp, &requester.seal)
}

/// Requests of the same person that are under way and were made before this one.
fn older_open(context: &Context, request: &ConsentRequest) -> usize {
    let Some(requester) = &request.spec.requester else { return 0 };
    let age = |request: &ConsentRequest| (expires_at(request), request.metadata.uid.clone());
    let requests = context.consents.state();
    let requests = requests.iter().filter_map(|object| object.0.as_ref().ok());
    let now = context.clock.now();
    let open = requests.filter(|other| is_open(other, &requester.username, now));
    open.filter(|other| age(other) < age(request)).count()
}

/// A new leader waits for as long as the old one's last request may take.
fn is_settled(context: &Context) -> bool {
    context.leadership.leads_since().is_some_and(|since| since.elapsed() >= context.provider_timeout)
}

async fn rehearse(context: &Context, observed: &ObservedConsent) -> Result<Result<(), String>, Error> {
    match &observed.connection {
        Some(connection) => {
            let stands_against = effects::rehearse_consent(context, &connection.connection).await?;
            Ok(stands_against.map_or(Ok(()), Err))
        }
        None => Ok(Ok(())),
    }
}

async fn act(
    context: &Context,
    api: &Api<ConsentRequest>,
    observed: &ObservedConsent,
    result: Option<ConsentResult>,
    decision: Decision<ConsentRequestStatus, Effect>,
) -> Result<Action, Error> {
    let request = &observed.request;
    let Decision { status, effect, next, .. } = decision;
    match effect {
        Some(Effect::Delete) => {
            let preconditions = Preconditions { uid: request.uid(), resource_version: None };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            match api.delete(&request.name_any(), &parameters).await {
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                other => {
                    other.map_err(Error::api("delete a ConsentRequest that has ended"))?;
                }
            }
            return Ok(Action::await_change());
        }
        Some(Effect::Redeem) => {
            // A replica that no longer leads leaves the code to the one that does.
            if effects::deadline(context).is_none() {
                return Ok(Action::requeue(record::LOOK_AGAIN));
            }
        }
        Some(Effect::Rehearse) | None => {}
    }
    let written = match record::status(api, request, &status, FIELD_MANAGER).await? {
        Recorded::Unchanged => request.clone(),
        Recorded::Written(written) => *written,
        Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
    };
    if effect != Some(Effect::Redeem) {
        return Ok(again_at(context.clock.now(), next));
    }
    let (Some(connection), Some(result)) = (&observed.connection, &result) else {
        return Ok(Action::requeue(Duration::ZERO));
    };
    // From here on the code is spent, whatever happens: nobody comes back to it.
    let outcome = redeem::redeem(context, &written, connection, result).await?;
    let status = concluded(&written, outcome, context.clock.now());
    record::status(api, &written, &status, FIELD_MANAGER).await?;
    Ok(Action::requeue(Duration::ZERO))
}
