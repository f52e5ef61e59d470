//! The authorization request that a browser carries (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core,
//! section 3.1.2.1), and the answer that it brings back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use super::build::{BuildFault, Pairs, is_client_text};
use super::message::Purpose;
use crate::api::oauth2::{IssuerCheck, OAuth2, Pkce};
use crate::catalogue::Method;
use crate::catalogue::address::{Address, HttpAllowed};
use crate::catalogue::parameters::Values;
use crate::catalogue::template::Place;

/// The scope that makes a request an OpenID Connect one.
const OPENID: &str = "openid";

/// Longest part of an answer that is looked at, in bytes; codes of real providers stay far below.
const PART_LIMIT: usize = 4096;

/// What makes one authorization request unlike every other. It prints without its secrets.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the provider has to repeat.
    pub state: SecretString,
    /// What an ID token has to repeat.
    pub nonce: SecretString,
    /// What the code challenge is made of; absent where the provider takes no part in PKCE.
    pub verifier: Option<SecretString>,
}

/// Whether the provider takes part in PKCE.
pub fn uses_pkce(method: &Method) -> bool {
    method.oauth2().is_some_and(|oauth2| oauth2.pkce != Pkce::Off)
}

/// Whether an ID token can be expected, so that a nonce is sent and asked for.
pub fn is_openid(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == OPENID)
}

/// The address that a browser is sent to. `challenge` turns a verifier into its S256 challenge.
pub fn authorization_url(
    method: &Method,
    values: &Values,
    client_id: &str,
    scopes: &[String],
    redirect_uri: &str,
    attempt: &Attempt,
    http_allowed: HttpAllowed<'_>,
) -> Result<Url, BuildFault> {
    let missing = || BuildFault::NoEndpoint(Purpose::Authorize);
    let (oauth2, endpoints) = method.oauth2().zip(method.endpoints()).ok_or_else(missing)?;
    if !is_client_text(client_id) {
        return Err(BuildFault::ClientUnfit);
    }
    let address = endpoints.authorize.as_ref().ok_or_else(missing)?;
    let mut url = address
        .render(|name| values.get(name), http_allowed)
        .map_err(|fault| BuildFault::Address { purpose: Purpose::Authorize, fault })?;
    let mut pairs = Pairs::default();
    for (name, value) in url.query_pairs() {
        pairs.set(&name, value.into_owned());
    }
    for (name, template) in &endpoints.authorize_parameters {
        match template.render(Place::Plain, |name| values.get(name)) {
            Ok(value) => pairs.set(name, value),
            Err(fault) if fault.is_missing() => {}
            Err(fault) => return Err(BuildFault::Value(fault)),
        }
    }
    // Ours come last and win: they are what protects the request.
    protect(&mut pairs, oauth2, client_id, scopes, redirect_uri, attempt);
    url.query_pairs_mut().clear().extend_pairs(pairs.iter());
    Ok(url)
}

fn protect(
    pairs: &mut Pairs,
    oauth2: &OAuth2,
    client_id: &str,
    scopes: &[String],
    redirect_uri: &str,
    attempt: &Attempt,
) {
    pairs.set("response_type", "code");
    pairs.set("client_id", client_id);
    pairs.set("redirect_uri", redirect_uri);
    if !scopes.is_empty() {
        pairs.set("scope", scopes.join(oauth2.scopes.separator.as_deref().unwrap_or(" ")));
    }
    pairs.set("state", attempt.state.expose_secret());
    if is_openid(scopes) {
        pairs.set("nonce", attempt.nonce.expose_secret());
    }
    if let Some(verifier) = &attempt.verifier {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.expose_secret().as_bytes());
        pairs.set("code_challenge", URL_SAFE_NO_PAD.encode(digest));
        pairs.set("code_challenge_method", "S256");
    }
}

/// The address on the requester's own machine that the browser brings the receipt to (RFC 8252, section 7.3).
pub fn loopback_address(port: u16, receipt: &SecretString) -> String {
    format!("http://127.0.0.1:{port}/?receipt={}", receipt.expose_secret())
}

/// The issuer whose answers are believed, where the connector names one (RFC 9207).
pub fn issuer(method: &Method, values: &Values) -> Option<String> {
    let address = Address::parse(method.oauth2()?.issuer.as_deref()?).ok()?;
    // It is compared and never asked, so plain HTTP is nobody's concern here.
    address.render_text(|name| values.get(name), &|_, _| true).ok()
}

/// What a browser brought back from the provider (RFC 6749, sections 4.1.2 and 4.1.2.1). Nothing in it is to be
/// believed before state and issuer are. It prints without its code.
#[derive(Clone, Debug)]
pub struct CallbackAnswer {
    /// The code, or why there is none.
    pub outcome: Result<SecretString, ProviderError>,
    /// What was repeated.
    pub state: String,
    /// Who claims to answer.
    pub issuer: Option<String>,
}

/// An error as the provider words it: foreign text, to be shown as such and never logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    /// Error code.
    pub code: String,
    /// Description for people.
    pub description: Option<String>,
}

/// An answer that no provider sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    /// A parameter stands twice (RFC 6749, section 3.1), so that two readers could see two things.
    #[error("a parameter stands twice")]
    Repeated,
    /// Neither a code nor an error, or both.
    #[error("neither a code nor an error")]
    Incomplete,
    /// No state.
    #[error("no state")]
    StateMissing,
    /// A part is longer than any that a provider sends.
    #[error("a part is too long")]
    TooLong,
}

/// Reads the query of a callback.
pub fn parse_callback(query: &str) -> Result<CallbackAnswer, CallbackFault> {
    let mut parts: [(&str, Option<String>); 5] =
        [("code", None), ("state", None), ("iss", None), ("error", None), ("error_description", None)];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some((_, part)) = parts.iter_mut().find(|(known, _)| *known == name) else { continue };
        if value.len() > PART_LIMIT {
            return Err(CallbackFault::TooLong);
        }
        if part.replace(value.into_owned()).is_some() {
            return Err(CallbackFault::Repeated);
        }
    }
    let [code, state, issuer, error, description] = parts.map(|(_, value)| value);
    let outcome = match (code.filter(|code| !code.is_empty()), error) {
        (Some(code), None) => Ok(SecretString::from(code)),
        (None, Some(code)) => Err(ProviderError { code, description }),
        _ => return Err(CallbackFault::Incomplete),
    };
    let state = state.filter(|state| !state.is_empty()).ok_or(CallbackFault::StateMissing)?;
    Ok(CallbackAnswer { outcome, state, issuer })
}

/// Whether the issuer of an answer is the one that was asked (RFC 9207, section 2.4): compared as text.
pub fn is_from(check: IssuerCheck, expected: Option<&str>, claimed: Option<&str>) -> bool {
    match (check, expected, claimed) {
        // Without an issuer of the connector's there is nothing to compare with.
        (IssuerCheck::Off, ..) | (IssuerCheck::IfPresent, _, None) | (IssuerCheck::IfPresent, None, _) => {
            true
        }
        (IssuerCheck::Required, _, None) | (IssuerCheck::Required, None, Some(_)) => false,
        (_, Some(expected), Some(claimed)) => expected == claimed,
    }
}

#[cfg(test)]
#[path = "tests/authorization.rs"]
mod tests;
