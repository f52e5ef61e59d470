//! One token request, and the write that keeps its answer.

use std::time::Instant;

use backon::{ExponentialBuilder, Retryable};

use crate::api::Connection;
use crate::api::connection::FailureClass;
use crate::api::names::TOKEN_LABEL;
use crate::cluster::token_store::{self, Seen, Write};
use crate::cluster::{Context, Error};
use crate::domain::connection::{
    AttemptFailure, Observed, Outcome, Prepared, TokenPlan, TokenState, prepare,
};
use crate::domain::reason::Reason;
use crate::envelope::TokenRecord;
use crate::oauth::{self, ClientCredentials, Failure};

use super::{attempt_failure, deadline};

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
    let Some(granted) = grant(context, observed, &prepared, deadline).await? else {
        return Ok(Outcome::Superseded);
    };
    let result = granted.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "Succeeded");
    context.telemetry.token_requested(result, started.elapsed());
    let record = match granted {
        Ok(record) => record,
        Err(failure) => return Ok(Outcome::AttemptFailed(attempt_failure(failure))),
    };
    store(context, observed, seen, plan, &record).await
}

/// One token request; `None` where our own side holds it back for now.
async fn grant(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    deadline: Instant,
) -> Result<Option<Result<TokenRecord, Failure>>, Error> {
    let secrets =
        context.secrets.values(observed.namespace(), observed.connection.spec.oauth_app.as_ref()).await?;
    let Some(client) = ClientCredentials::from_secret(&secrets) else {
        // Changed since it was looked at; the watch tells, and the next pass says what is missing.
        return Ok(None);
    };
    let http_allowed = |host: &str, port: u16| observed.settings.http_allowed(host, port);
    let request = oauth::client_credentials_request(
        prepared.method,
        &prepared.values,
        &client,
        &prepared.scopes,
        &http_allowed,
    );
    let request = match request {
        Ok(request) => request,
        Err(fault) => return Ok(Some(Err(fault.failure()))),
    };
    let host = request.host_and_port();
    let now = context.clock.now();
    let response = match context.provider.send(request, Some(deadline)).await {
        Ok(response) => response,
        Err(failure) if failure.is_postponed() => return Ok(None),
        Err(failure) => {
            return Ok(Some(Err(Failure::from_send(&failure, &observed.settings.egress_addresses))));
        }
    };
    // A method without OAuth has built no token request.
    let Some(oauth2) = prepared.method.oauth2() else { return Ok(None) };
    let granted = oauth::parse_token_answer(oauth2, &host, &response, &prepared.scopes, now);
    Ok(Some(granted.map(|grant| TokenRecord {
        access_token: grant.access_token,
        refresh_token: grant.refresh_token,
        issued_at: now,
        expires_at: grant.expires_at,
        refresh_token_expires_at: grant.refresh_token_expires_at,
        granted_scopes: grant.granted_scopes,
        requested_scopes: prepared.scopes.clone(),
        client_id: client.id,
        auth_type: prepared.method.auth_type().to_string(),
        targets: prepared.targets.clone(),
        authenticated_by: None,
        account: None,
        answers: None,
    })))
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
    Ok(match token_store::unlabelled(context, connection).await? {
        None => Outcome::Superseded,
        Some(name) => store_blocked(&format!(
            "secret \"{name}\" is there without the label {TOKEN_LABEL}; delete it if nothing else needs it"
        )),
    })
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
