//! What a Connection's decision may do outside, one at a time.

mod consent_record;
mod finalizer;
mod grant;
mod metadata;
mod probe;
mod revoke;
mod token;

#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::api::connection::FailureClass;
use crate::domain::connection::{AttemptFailure, Observed, host_lists};
use crate::oauth::message::{Reach, Request, Response};
use crate::oauth::{self, Failure};

use super::Context;

pub(super) use consent_record::{StoredConsent, rehearse_consent, store_consent};
pub(super) use finalizer::{hold, let_go};
pub(super) use grant::{client, exchange, first_record};
pub(super) use metadata::fetch_metadata;
pub(super) use probe::probe;
pub(super) use revoke::{revoke, revoke_tokens};
pub(super) use token::request_token;

/// Sends a request while this replica leads. `None` where our own side holds it back for now.
async fn send(context: &Context, observed: &Observed, request: Request) -> Option<Result<Response, Failure>> {
    let request = bounded(observed, request);
    match context.provider.send(request, Some(deadline(context)?)).await {
        Ok(response) => Some(Ok(response)),
        Err(failure) if failure.is_postponed() => None,
        Err(failure) => Some(Err(Failure::from_send(&failure, &observed.settings.egress_addresses))),
    }
}

/// A request that goes where the Connection's policies let it go, whatever was decided before.
pub(super) fn bounded(observed: &Observed, request: Request) -> Request {
    Request { reach: reach(observed), ..request }
}

/// Where requests of a Connection may go.
pub(super) fn reach(observed: &Observed) -> Reach {
    Reach { exceptions: observed.policy.egress_exceptions.clone(), host_lists: host_lists(observed) }
}

fn attempt_failure(failure: Failure) -> AttemptFailure {
    let (class, retry_after) = match failure.class {
        oauth::Class::Permanent => (FailureClass::Permanent, None),
        oauth::Class::Transient { retry_after } => (FailureClass::Transient, retry_after),
    };
    AttemptFailure { reason: failure.reason, class, retry_after, message: failure.message }
}

/// Until when a request may be sent so that its answer still comes while this replica leads.
pub(super) fn deadline(context: &Context) -> Option<Instant> {
    let leads_until = context.leadership.leads_until()?;
    leads_until.checked_sub(context.provider_timeout).filter(|deadline| Instant::now() < *deadline)
}
