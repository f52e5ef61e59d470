//! What is asked of a token endpoint, and the record that comes of its answer.

use std::time::Instant;

use jiff::Timestamp;

use crate::cluster::token_store::{self, Seen};
use crate::cluster::{Context, Error};
use crate::domain::connection::{Grant, Observed, Prepared};
use crate::envelope::TokenRecord;
use crate::oauth::message::Request;
use crate::oauth::{self, BuildFault, ClientCredentials, Failure, TokenGrant};

/// What came of a request; `None` where our own side holds it back for now.
pub(in crate::cluster) type Answer<T> = Option<Result<T, Failure>>;

/// Asks for a token by the grant that was decided on.
pub(super) async fn ask(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    seen: &Seen,
    grant: Grant,
    deadline: Instant,
) -> Result<Answer<TokenRecord>, Error> {
    // Where it is gone, it has changed since it was looked at; the watch tells, and the next pass says what is missing.
    let Some(client) = client(context, observed).await? else { return Ok(None) };
    match grant {
        Grant::ClientCredentials => Ok(for_client(context, observed, prepared, client, deadline).await),
        Grant::Refresh => {
            let record = token_store::tokens_as_seen(context, &observed.connection, seen).await?;
            let Some(record) = record else { return Ok(None) };
            Ok(refresh(context, observed, prepared, &client, record, deadline).await)
        }
    }
}

/// The Connection's OAuth client, read for one use.
pub(in crate::cluster) async fn client(
    context: &Context,
    observed: &Observed,
) -> Result<Option<ClientCredentials>, Error> {
    let app = observed.oauth_app_choice();
    let values = context.secrets.values(observed.namespace(), app.as_ref()).await?;
    Ok(ClientCredentials::from_secret(&values))
}

/// Sends one token request and reads its answer, with the time before it was sent. `scopes` count as granted where the
/// answer names none.
pub(in crate::cluster) async fn exchange(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    request: Result<Request, BuildFault>,
    scopes: &[String],
    deadline: Instant,
) -> Answer<(TokenGrant, Timestamp)> {
    let request = match request {
        Ok(request) => request,
        Err(fault) => return Some(Err(fault.failure())),
    };
    let request = super::bounded(observed, request);
    let host = request.host_and_port();
    let now = context.clock.now();
    let response = match context.provider.send(request, Some(deadline)).await {
        Ok(response) => response,
        Err(failure) if failure.is_postponed() => return None,
        Err(failure) => {
            return Some(Err(Failure::from_send(&failure, &observed.settings.egress_addresses)));
        }
    };
    // A method without OAuth has built no token request.
    let oauth2 = prepared.method.oauth2()?;
    Some(oauth::parse_token_answer(oauth2, &host, &response, scopes, now).map(|grant| (grant, now)))
}

async fn for_client(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    client: ClientCredentials,
    deadline: Instant,
) -> Answer<TokenRecord> {
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let Prepared { method, values, scopes, .. } = prepared;
    let request = oauth::client_credentials_request(method, values, &client, scopes, &http_allowed);
    let answer = exchange(context, observed, prepared, request, scopes, deadline).await?;
    Some(answer.map(|(grant, issued_at)| first_record(prepared, &client, grant, issued_at)))
}

/// The record of a token that was not made by refreshing another one. Nobody consented, as far as it says.
pub(in crate::cluster) fn first_record(
    prepared: &Prepared<'_>,
    client: &ClientCredentials,
    grant: TokenGrant,
    issued_at: Timestamp,
) -> TokenRecord {
    TokenRecord {
        access_token: grant.access_token,
        refresh_token: grant.refresh_token,
        issued_at,
        expires_at: grant.expires_at,
        refresh_token_expires_at: grant.refresh_token_expires_at,
        granted_scopes: grant.granted_scopes,
        requested_scopes: prepared.scopes.clone(),
        client_id: client.id.clone(),
        auth_type: prepared.method.auth_type().to_string(),
        targets: prepared.targets.clone(),
        authenticated_by: None,
        account: None,
        answers: None,
    }
}

async fn refresh(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    client: &ClientCredentials,
    record: TokenRecord,
    deadline: Instant,
) -> Answer<TokenRecord> {
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let refresh_token = record.refresh_token.as_ref()?;
    let request =
        oauth::refresh_request(prepared.method, &prepared.values, client, refresh_token, &http_allowed);
    let answer = exchange(context, observed, prepared, request, &record.granted_scopes, deadline).await?;
    Some(answer.map(|(grant, issued_at)| refreshed(record, grant, issued_at)))
}

/// The record after a refresh. An answer without a refresh token leaves the old one in use (RFC 6749, section 6), with
/// the end that was known of it.
fn refreshed(record: TokenRecord, grant: TokenGrant, issued_at: Timestamp) -> TokenRecord {
    let kept = grant.refresh_token.is_none().then_some(record.refresh_token_expires_at).flatten();
    TokenRecord {
        access_token: grant.access_token,
        refresh_token: grant.refresh_token.or(record.refresh_token),
        issued_at,
        expires_at: grant.expires_at,
        refresh_token_expires_at: grant.refresh_token_expires_at.or(kept),
        granted_scopes: grant.granted_scopes,
        ..record
    }
}
