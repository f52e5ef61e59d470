//! One token request, and the write that keeps its answer.

use std::time::Instant;

use backon::{ExponentialBuilder, Retryable};

use crate::api::Connection;
use crate::api::connection::FailureClass;
use crate::cluster::token_store::{self, Seen, Write};
use crate::cluster::{Context, Error};
use crate::domain::connection::{AttemptFailure, Grant, Observed, Outcome, TokenPlan, TokenState, prepare};
use crate::domain::reason::Reason;
use crate::envelope::TokenRecord;
use crate::oauth::Failure;

use super::{attempt_failure, deadline, grant};

/// Asks for a token, and stores it before anything else learns of it.
pub(in crate::cluster) async fn request_token(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    plan: &TokenPlan,
) -> Result<Outcome, Error> {
    let Ok(prepared) = prepare(observed) else { return Ok(Outcome::Superseded) };
    let connection = &observed.connection;
    if !may_rotate(context, seen) || deadline(context).is_none() {
        return Ok(Outcome::Superseded);
    }
    if plan.rehearse {
        match token_store::rehearse(context, connection, seen).await? {
            None => {}
            Some(Write::Refused(cause)) => return Ok(store_blocked(&cause)),
            Some(_) => return in_the_way(context, connection).await,
        }
    }
    let Some(deadline) = deadline(context) else { return Ok(Outcome::Superseded) };
    let started = Instant::now();
    let asked = grant::ask(context, observed, &prepared, seen, plan.grant, deadline).await?;
    let Some(granted) = asked else { return Ok(Outcome::Superseded) };
    let result = granted.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "Succeeded");
    context.telemetry.token_requested(result, started.elapsed());
    let record = match granted {
        Ok(record) => record,
        Err(failure) if is_overtaken(context, connection, seen, plan, &failure).await? => {
            return Ok(Outcome::Superseded);
        }
        Err(failure) => return Ok(Outcome::AttemptFailed(attempt_failure(failure))),
    };
    store(context, observed, seen, plan, &record).await
}

/// Whether a refresh was refused because somebody else had used the refresh token, or a new consent has replaced it: the
/// record is another one now, and what was said of the old one says nothing about it.
async fn is_overtaken(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
    plan: &TokenPlan,
    failure: &Failure,
) -> Result<bool, Error> {
    let may_be = plan.grant == Grant::Refresh && !failure.is_transient();
    Ok(may_be && token_store::has_changed(context, connection, seen).await?)
}

/// The provider has answered: from here on only the write stands between the token and its loss, so a passing fault
/// of the API server is met with more tries.
async fn store(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    plan: &TokenPlan,
    record: &TokenRecord,
) -> Result<Outcome, Error> {
    let numbered = (plan.present_sequence + 1, plan.consent_id.as_str());
    let write = || token_store::write(context, &observed.connection, seen, numbered, record);
    let written = match write.retry(ExponentialBuilder::default().with_max_times(5)).await {
        Ok(written) => written,
        // A failure to record, so that the next request is made after a pause and a rehearsal.
        Err(error) => return Ok(store_blocked(&error.to_string())),
    };
    Ok(match written {
        Write::Done(facts) => Outcome::TokenStored(facts),
        Write::Superseded => Outcome::Superseded,
        Write::Refused(cause) => store_blocked(&cause),
    })
}

/// The Secret is not as it was seen. Mostly the watch is late; but one without our label is not ours, and no watch
/// will ever show it.
async fn in_the_way(context: &Context, connection: &Connection) -> Result<Outcome, Error> {
    let in_the_way = token_store::in_the_way(context, connection).await?;
    Ok(in_the_way.map_or(Outcome::Superseded, |cause| store_blocked(&cause)))
}

fn store_blocked(cause: &str) -> Outcome {
    Outcome::AttemptFailed(AttemptFailure {
        reason: Reason::TokenStoreBlocked,
        class: FailureClass::Transient,
        retry_after: None,
        message: format!(
            "the token Secret cannot be written, so no token is asked for until it can: {cause}"
        ),
    })
}

/// A new leader leaves a rotating refresh token alone for as long as the old one's last request may take.
fn may_rotate(context: &Context, seen: &Seen) -> bool {
    let rotates = matches!(&seen.state, TokenState::Present(token) if token.refreshable);
    let settled =
        context.leadership.leads_since().is_some_and(|since| since.elapsed() >= context.provider_timeout);
    !rotates || settled
}
