//! The one request that turns a code into a token, and the write that keeps the answer.

use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable};
use jiff::Timestamp;

use crate::api::ConsentRequest;
use crate::cluster::effects::{self, StoredConsent};
use crate::cluster::{Context, Error};
use crate::domain::connection::{Blocked, Observed, Prepared, prepare_anew};
use crate::domain::consent::{self, not_redeemed};
use crate::domain::policy::consent_violation;
use crate::domain::reason::Reason;
use crate::envelope::{ConsentResult, TokenRecord};
use crate::oauth::{self, ClientCredentials, Failure, TokenGrant};

/// How long our own limits may hold the request back: a code is good for a minute or more (RFC 6749, section 4.1.2).
const PAUSE: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 40;

/// Redeems the code and stores what it brings. A person can mend what stands against it; that is no error.
pub(super) async fn redeem(
    context: &Context,
    request: &ConsentRequest,
    observed: &Observed,
    result: &ConsentResult,
) -> Result<Result<(), Blocked>, Error> {
    let prepared = match prepare_anew(observed) {
        Ok(prepared) => prepared,
        Err(blocked) => return Ok(Err(blocked)),
    };
    if let Some(cause) = effects::rehearse_consent(context, &observed.connection).await? {
        let message = format!("the token Secret cannot be written, so the code was not redeemed: {cause}");
        return Ok(Err(Blocked { reason: Reason::TokenStoreBlocked, message }));
    }
    if prepared.definition.declares_revocation(prepared.method) && !observed.held_for_revocation() {
        // So that a token which is about to be issued will be revoked. Whoever changes the Connection at this moment
        // leaves that to the pass that sees the record.
        effects::hold(context, observed).await?;
    }
    let started = Instant::now();
    let (record, client) = match exchange(context, request, observed, &prepared, result).await? {
        Ok(record) => record,
        Err(failure) => {
            context.telemetry.token_requested(failure.reason.as_str(), started.elapsed());
            return Ok(Err(not_redeemed(request, failure.reason, &failure.message, &result.redirect_uri)));
        }
    };
    context.telemetry.token_requested("Succeeded", started.elapsed());
    let policy = &observed.policy;
    if let Some(blocked) = consent_violation(record.account.as_deref(), prepared.definition, policy) {
        // It is not kept, and as far as that depends on us it is of no use to anybody else.
        if let Err(cause) = effects::revoke_tokens(context, observed, &prepared, &client, &record).await {
            tracing::warn!(
                name = observed.name(),
                namespace = observed.namespace(),
                cause,
                "cannot revoke a token"
            );
        }
        let message = format!("{}; the token was not kept; {}", blocked.message, consent::again(request));
        return Ok(Err(Blocked { message, ..blocked }));
    }
    let uid = request.metadata.uid.as_deref().unwrap_or_default();
    Ok(match effects::store_consent(context, &observed.connection, &record, uid).await? {
        StoredConsent::Stored(_) => Ok(()),
        StoredConsent::Refused(cause) => Err(Blocked {
            reason: Reason::ReconsentRequired,
            message: format!(
                "the provider issued a token, and it could not be stored: {cause}; {}",
                consent::again(request)
            ),
        }),
    })
}

async fn exchange(
    context: &Context,
    request: &ConsentRequest,
    observed: &Observed,
    prepared: &Prepared<'_>,
    result: &ConsentResult,
) -> Result<Result<(TokenRecord, ClientCredentials), Failure>, Error> {
    let client = effects::client(context, observed).await?;
    let Some(client) = client.filter(|client| Some(&client.id) == prepared.client_id.as_ref()) else {
        let message = "The OAuth client changed meanwhile; nothing was sent.";
        return Ok(Err(Failure::permanent(Reason::ConsentOutdated, message)));
    };
    let granted = ask(context, observed, prepared, &client, result).await;
    let person = request.spec.requester.as_ref().map(|requester| requester.username.clone());
    Ok(granted.and_then(|(grant, issued_at)| {
        let account = account(prepared, &client, result, &grant, issued_at)?;
        let answers = observed.reauthenticate_at();
        let record = effects::first_record(prepared, &client, grant, issued_at);
        let record = TokenRecord { authenticated_by: person, account, answers, ..record };
        Ok((record, client))
    }))
}

/// Sends the request once; where our own limits hold it back, as soon as they let it go.
async fn ask(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    client: &ClientCredentials,
    result: &ConsentResult,
) -> Result<(TokenGrant, Timestamp), Failure> {
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let attempt = async || {
        let request = oauth::code_request(
            prepared.method,
            &prepared.values,
            client,
            &result.code,
            &result.redirect_uri,
            result.verifier.as_ref(),
            &http_allowed,
        );
        let deadline = effects::deadline(context).ok_or(Postponed)?;
        let scopes = &prepared.scopes;
        effects::exchange(context, observed, prepared, request, scopes, deadline).await.ok_or(Postponed)
    };
    let pause = ConstantBuilder::default().with_delay(PAUSE).with_max_times(ATTEMPTS);
    attempt.retry(pause).await.unwrap_or_else(|Postponed| {
        Err(Failure::transient(
            Reason::ProviderUnavailable,
            "too many requests to the provider are waiting for our own limits.",
        ))
    })
}

/// Our own side holds a request back; nothing was sent.
struct Postponed;

/// The account that an ID token names. One that is there has to be right, whether or not it is needed.
fn account(
    prepared: &Prepared<'_>,
    client: &ClientCredentials,
    result: &ConsentResult,
    grant: &TokenGrant,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let Some(id_token) = &grant.id_token else { return Ok(None) };
    if !oauth::is_openid(&prepared.scopes) {
        return Ok(None);
    }
    let issuer = oauth::issuer(prepared.method, &prepared.values);
    let expected = oauth::ExpectedIdToken {
        client_id: &client.id,
        nonce: Some(&result.nonce),
        issuer: issuer.as_deref(),
    };
    let claims = oauth::check_id_token(id_token, &expected, now)?;
    Ok(oauth::account_from_claims(prepared.definition, &claims))
}
