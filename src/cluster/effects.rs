//! What a Connection's decision may do outside, one at a time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::Api;
use serde_json::json;

use crate::api::Connection;
use crate::api::connection::FailureClass;
use crate::api::names::REVOKE_FINALIZER;
use crate::catalogue::{Definition, Values};
use crate::domain::connection::{
    AttemptFailure, Observed, Outcome, Prepared, ProbeOutcome, TokenPlan, VerificationOutcome, prepare,
};
use crate::domain::reason::Reason;
use crate::envelope::TokenRecord;
use crate::oauth::{self, ClientCredentials, Credential, Failure};
use crate::oauth::message::{Request, Response};

use super::token_store::{self, Seen, Write};
use super::{Context, Error};

/// Adds the finalizer, if the Connection is still the one that was seen.
pub(super) async fn hold(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let mut finalizers = observed.connection.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(REVOKE_FINALIZER.to_owned());
    Ok(if set_finalizers(context, observed, &finalizers).await? { Outcome::Held } else { Outcome::Superseded })
}

/// Takes the finalizer away.
pub(super) async fn let_go(context: &Context, observed: &Observed) -> Result<(), Error> {
    let mut finalizers = observed.connection.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != REVOKE_FINALIZER);
    set_finalizers(context, observed, &finalizers).await.map(|_| ())
}

/// A merge patch that holds the resourceVersion: others' finalizers are kept, and a change since then is noticed.
async fn set_finalizers(context: &Context, observed: &Observed, finalizers: &[String]) -> Result<bool, Error> {
    let metadata = &observed.connection.metadata;
    let api: Api<Connection> = Api::namespaced(context.client.clone(), observed.namespace());
    let patch = json!({ "metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": finalizers,
    }});
    match api.patch_metadata(observed.name(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(written) => {
            // Nothing else changed, or the resourceVersion would have.
            let after = Connection { metadata: written.metadata, ..observed.connection.clone() };
            context.written.note(&observed.connection, after, Instant::now());
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(Error::api("set finalizers")(error)),
    }
}

/// Asks for a token, and stores it before anything else learns of it.
pub(super) async fn request_token(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    plan: &TokenPlan,
) -> Result<Outcome, Error> {
    let Ok(prepared) = prepare(observed) else { return Ok(Outcome::Superseded) };
    let connection = &observed.connection;
    if plan.rehearse {
        match token_store::rehearse(context, connection, seen).await? {
            None => {}
            Some(Write::Refused(cause)) => return Ok(store_blocked(&cause)),
            Some(_) => return Ok(Outcome::Superseded),
        }
    }
    let Some(deadline) = deadline(context) else { return Ok(Outcome::Superseded) };
    let started = Instant::now();
    let granted = grant(context, observed, &prepared, deadline).await?;
    let result = granted.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "Succeeded");
    context.telemetry.token_requested(result, started.elapsed());
    let record = match granted {
        Ok(record) => record,
        Err(failure) => return Ok(Outcome::AttemptFailed(attempt_failure(failure))),
    };
    store(context, observed, seen, plan, &record).await
}

async fn grant(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    deadline: Instant,
) -> Result<Result<TokenRecord, Failure>, Error> {
    let secrets = context.secrets.values(observed.namespace(), observed.connection.spec.oauth_app.as_ref()).await?;
    let Some(client) = ClientCredentials::from_secret(&secrets) else {
        return Ok(Err(Failure::permanent(
            Reason::ClientCredentialsMissing,
            "the Secret of spec.oauthApp.secretRef has changed; it lacks the key clientId",
        )));
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
        Err(fault) => return Ok(Err(Failure::permanent(Reason::RequestRejected, fault.to_string()))),
    };
    let host = request.host_and_port();
    let now = context.clock.now();
    let response = match context.provider.send(request, Some(deadline)).await {
        Ok(response) => response,
        Err(failure) => return Ok(Err(Failure::from_send(&failure, &observed.settings.egress_addresses))),
    };
    let Some(oauth2) = prepared.method.oauth2() else {
        return Ok(Err(Failure::permanent(Reason::RequestRejected, "the connector declares no token endpoint")));
    };
    Ok(oauth::parse_token_answer(oauth2, &host, &response, &prepared.scopes, now).map(|grant| TokenRecord {
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
    }))
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
    use backon::{ExponentialBuilder, Retryable};
    let numbered = (plan.present_sequence + 1, plan.consent_id.as_str());
    let write = || token_store::write(context, &observed.connection, seen, numbered, record);
    let written = write.retry(ExponentialBuilder::default().with_max_times(5)).await?;
    Ok(match written {
        Write::Done(facts) => Outcome::TokenStored(facts),
        Write::Superseded => Outcome::Superseded,
        Write::Refused(cause) => store_blocked(&cause),
    })
}

fn store_blocked(cause: &str) -> Outcome {
    Outcome::AttemptFailed(AttemptFailure {
        reason: Reason::TokenStoreBlocked,
        class: FailureClass::Transient,
        retry_after: None,
        message: format!("the token Secret cannot be written, so no token is asked for: {cause}"),
    })
}

/// Until when a request may be sent so that its answer still comes while this replica leads.
fn deadline(context: &Context) -> Option<Instant> {
    let leads_until = context.leadership.leads_until()?;
    leads_until.checked_sub(context.provider_timeout).filter(|deadline| Instant::now() < *deadline)
}

/// Asks whether the credential works, and whose it is; where both are one request, it is sent once.
pub(super) async fn probe(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let Ok(prepared) = prepare(observed) else { return Ok(Outcome::Superseded) };
    let record;
    let secrets;
    let credential = if prepared.method.auth_type().is_static() {
        secrets = context.secrets.values(observed.namespace(), observed.connection.spec.credentials.as_ref()).await?;
        Credential::Secrets(&secrets)
    } else {
        let Some(opened) = token_store::tokens(context, &observed.connection).await? else {
            return Ok(Outcome::Superseded);
        };
        record = opened;
        Credential::AccessToken(&record.access_token)
    };
    let definition = prepared.definition;
    let http_allowed = |host: &str, port: u16| observed.settings.http_allowed(host, port);
    let built = |request: Result<Option<Request>, oauth::BuildFault>| {
        request.map_err(|fault| Failure::permanent(Reason::RequestRejected, fault.to_string()))
    };
    let (method, values): (_, &Values) = (prepared.method, &prepared.values);
    let verification = built(oauth::verification_request(definition, method, values, credential, &http_allowed));
    let account = built(oauth::account_request(definition, method, values, credential, &http_allowed));

    let now = context.clock.now();
    let mut outcome = ProbeOutcome::default();
    let mut account_request = account.ok().flatten();
    if let Some(verification) = verification.transpose() {
        let shared = match (&verification, &account_request) {
            (Ok(verification), Some(account)) => oauth::same_request(verification, account),
            _ => false,
        };
        let host = verification.as_ref().map(Request::host_and_port).unwrap_or_default();
        let response = match verification {
            Ok(request) => send(context, observed, request).await,
            Err(failure) => Err(failure),
        };
        if shared {
            account_request = None;
            let response = response.as_ref().ok();
            outcome.account = response.and_then(|response| oauth::account(definition, response));
        }
        outcome.verification = Some(match response {
            Ok(response) => judge(definition, host, response, now).await,
            Err(failure) => VerificationOutcome::Inconclusive(attempt_failure(failure)),
        });
    }
    let rejected = matches!(outcome.verification, Some(VerificationOutcome::Rejected(_)));
    if let Some(request) = account_request.filter(|_| !rejected) {
        let response = send(context, observed, request).await.ok();
        outcome.account = response.and_then(|response| oauth::account(definition, &response));
    }
    Ok(Outcome::Probed(outcome))
}

async fn send(context: &Context, observed: &Observed, request: Request) -> Result<Response, Failure> {
    let sent = context.provider.send(request, None).await;
    sent.map_err(|failure| Failure::from_send(&failure, &observed.settings.egress_addresses))
}

/// How long a success rule may think. It has a worker of its own, so that a slow one holds nothing else up.
const RULE_LIMIT: Duration = Duration::from_secs(1);

async fn judge(definition: &Definition, host: String, response: Response, now: Timestamp) -> VerificationOutcome {
    let definition = definition.clone();
    let judged = tokio::task::spawn_blocking(move || oauth::verification(&definition, &host, &response, now));
    match tokio::time::timeout(RULE_LIMIT, judged).await {
        Ok(Ok(outcome)) => verification_outcome(outcome),
        _ => VerificationOutcome::Inconclusive(AttemptFailure {
            reason: Reason::AnswerInvalid,
            class: FailureClass::Permanent,
            retry_after: None,
            message: "the connector's success rule did not come to an end; its administrator has to mend it".to_owned(),
        }),
    }
}

fn verification_outcome(outcome: oauth::VerificationOutcome) -> VerificationOutcome {
    match outcome {
        oauth::VerificationOutcome::Succeeded => VerificationOutcome::Succeeded,
        oauth::VerificationOutcome::Rejected { message } => VerificationOutcome::Rejected(message),
        oauth::VerificationOutcome::Inconclusive { failure } => {
            VerificationOutcome::Inconclusive(attempt_failure(failure))
        }
    }
}

fn attempt_failure(failure: Failure) -> AttemptFailure {
    let (class, retry_after) = match failure.class {
        oauth::Class::Permanent => (FailureClass::Permanent, None),
        oauth::Class::Transient { retry_after } => (FailureClass::Transient, retry_after),
    };
    AttemptFailure { reason: failure.reason, class, retry_after, message: failure.message }
}

/// Revokes the token: one attempt, only at the address that was recorded when the token was issued.
pub(super) async fn revoke(context: &Context, observed: &Observed) -> Result<(), String> {
    let record = token_store::tokens(context, &observed.connection).await.map_err(|error| error.to_string())?;
    let Some(record) = record else { return Ok(()) };
    let prepared = prepare(observed).map_err(|blocked| blocked.message)?;
    if prepared.targets != record.targets {
        return Err("requests would go to other addresses than when the token was issued".to_owned());
    }
    let spec = &observed.connection.spec;
    let secrets = context.secrets.values(observed.namespace(), spec.oauth_app.as_ref()).await;
    let client = ClientCredentials::from_secret(&secrets.map_err(|error| error.to_string())?);
    let client = client.ok_or("the OAuth client's Secret is gone")?;
    let http_allowed = |host: &str, port: u16| observed.settings.http_allowed(host, port);
    let request = oauth::revocation_request(prepared.method, &prepared.values, &client, &record.access_token, oauth::TokenKind::Access, &http_allowed);
    let Some(request) = request.map_err(|fault| fault.to_string())? else { return Ok(()) };
    let response = send(context, observed, request).await.map_err(|failure| failure.message)?;
    match response.status {
        // RFC 7009, section 2.2: also for a token that is unknown already.
        200..=299 => Ok(()),
        status => Err(format!("the provider answered {status}")),
    }
}
