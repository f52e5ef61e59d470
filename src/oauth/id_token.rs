//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7): whether one is meant for us, and whose account it names.
//!
//! Signatures are not looked at. That is enough for a token that came from the token endpoint itself, over TLS, and for
//! no other one (item 6 of that section): the connection proves who issued it.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::api_answer::account_text;
use super::failure::Failure;
use super::jwt::unverified_claims;
use crate::catalogue::Definition;
use crate::catalogue::definition::AccountSource;
use crate::domain::reason::Reason;

/// How far the provider's clock may be ahead of or behind ours.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// What an ID token has to say to be the answer to our request.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The client that asked.
    pub client_id: &'a str,
    /// The nonce that was sent, if one was.
    pub nonce: Option<&'a SecretString>,
    /// The issuer that the Connector declares, if it does.
    pub issuer: Option<&'a str>,
}

/// The claims of an ID token that came directly from the token endpoint, if it is meant for us, now, and for this
/// request.
pub fn check_id_token(
    id_token: &SecretString,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Value, Failure> {
    let claims = unverified_claims(id_token.expose_secret()).filter(Value::is_object);
    let claims = claims.ok_or_else(|| refused("cannot be read"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if expected.issuer.is_some_and(|issuer| text("iss") != Some(issuer)) {
        return Err(refused("comes from another issuer than the connector declares"));
    }
    if !is_for(&claims, expected.client_id) {
        return Err(refused("is meant for another OAuth client"));
    }
    if !is_valid_at(&claims, now) {
        return Err(refused("has expired, or does not say when it does; check the clocks"));
    }
    if expected.nonce.is_some_and(|nonce| text("nonce") != Some(nonce.expose_secret())) {
        return Err(refused("does not belong to this request: its nonce is missing or another one"));
    }
    Ok(claims)
}

/// The account that the claims name, where the Connector says which one does.
pub fn account_from_claims(definition: &Definition, claims: &Value) -> Option<String> {
    match definition.account()? {
        AccountSource::IdTokenClaim(claim) => account_text(claims.get(claim)?),
        AccountSource::Request { .. } => None,
    }
}

/// Whether the client is meant: it is in the audience, and the authorized party where one is named or has to be.
fn is_for(claims: &Value, client_id: &str) -> bool {
    let authorized = claims.get("azp").map(|party| party.as_str() == Some(client_id));
    match claims.get("aud") {
        Some(Value::String(audience)) => audience == client_id && authorized.unwrap_or(true),
        Some(Value::Array(audiences)) => {
            let is_in = audiences.iter().any(|audience| audience.as_str() == Some(client_id));
            is_in && authorized.unwrap_or(audiences.len() == 1)
        }
        _ => false,
    }
}

fn is_valid_at(claims: &Value, now: Timestamp) -> bool {
    let seconds = claims.get("exp").and_then(Value::as_f64).filter(|seconds| seconds.is_finite());
    let expires_in = seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
    let expires_at = expires_in.and_then(|seconds| Timestamp::UNIX_EPOCH.checked_add(seconds).ok());
    expires_at.is_some_and(|expires_at| now.duration_since(expires_at) < LEEWAY)
}

fn refused(what: &str) -> Failure {
    Failure::permanent(
        Reason::AnswerInvalid,
        format!(
            "the provider's ID token {what}; nothing was stored. Try again; if it happens again, an administrator \
             has to check the connector and the provider."
        ),
    )
}

#[cfg(test)]
#[path = "tests/id_token.rs"]
mod tests;
