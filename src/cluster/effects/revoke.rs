//! The one attempt to revoke a token.

use crate::cluster::{Context, token_store};
use crate::domain::connection::{Observed, Prepared, prepare_requests};
use crate::envelope::TokenRecord;
use crate::oauth::{self, ClientCredentials};

use super::send;

/// Revokes the token: one attempt, only at the address that was recorded when the token was issued.
pub(in crate::cluster) async fn revoke(context: &Context, observed: &Observed) -> Result<(), String> {
    let record =
        token_store::tokens(context, &observed.connection).await.map_err(|error| error.to_string())?;
    let Some(record) = record else { return Ok(()) };
    let prepared = prepare_requests(observed).map_err(|blocked| blocked.message)?;
    if prepared.targets != record.targets {
        return Err("requests would go to other addresses than when the token was issued".to_owned());
    }
    let client = super::client(context, observed).await.map_err(|error| error.to_string())?;
    let client = client.ok_or("the OAuth client's Secret is gone")?;
    revoke_tokens(context, observed, &prepared, &client, &record).await
}

/// Revokes these tokens: one attempt.
pub(in crate::cluster) async fn revoke_tokens(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
    client: &ClientCredentials,
    record: &TokenRecord,
) -> Result<(), String> {
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    // What a person granted mostly ends with its refresh token (RFC 7009, section 2.1).
    let lasting = record.refresh_token.as_ref().filter(|_| prepared.method.auth_type().needs_person());
    let (token, kind) = lasting
        .map_or((&record.access_token, oauth::TokenKind::Access), |token| (token, oauth::TokenKind::Refresh));
    let request =
        oauth::revocation_request(prepared.method, &prepared.values, client, token, kind, &http_allowed);
    let Some(request) = request.map_err(|fault| fault.to_string())? else { return Ok(()) };
    let sent =
        send(context, observed, request).await.ok_or("too many requests to the provider are waiting")?;
    let response = sent.map_err(|failure| failure.message)?;
    match response.status {
        // RFC 7009, section 2.2: also for a token that is unknown already.
        200..=299 => Ok(()),
        status => Err(format!("the provider answered {status}")),
    }
}
