//! Answers of token endpoints, read leniently: as RFC 6749 (section 5) has them, and as providers send them.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;
use url::form_urlencoded;

use super::failure::{Failure, may_pass};
use super::jwt::unverified_claims;
use super::message::Response;
use crate::api::oauth2::{ExpiryUnit, Lifetime, OAuth2};
use crate::domain::reason::Reason;

/// Lifetimes beyond this (a hundred years) are taken as none: the token does not expire.
const LIFETIME_LIMIT_SECONDS: f64 = 3_155_760_000.0;

/// What a provider granted. It prints without its tokens and cannot be serialised.
#[derive(Clone, Debug)]
pub struct TokenGrant {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token; absent where the provider sent none (RFC 6749, section 6: then an old one stays).
    pub refresh_token: Option<SecretString>,
    /// When the access token expires; nothing where it does not, or nobody says so.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token expires, where the provider says so.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// The scopes granted: those in the answer, else the ones asked for (RFC 6749, section 5.1).
    pub granted_scopes: Vec<String>,
    /// The ID token, where there is one; not verified.
    pub id_token: Option<SecretString>,
}

/// Error codes that are named in messages (RFC 6749, sections 4.1.2.1 and 5.2; RFC 8707). Every other one, like
/// every description, could repeat what was sent, and is not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
    UnsupportedGrantType,
    AccessDenied,
    /// Not of any RFC; several providers name it one way or another.
    RedirectUriMismatch,
    ServerError,
    TemporarilyUnavailable,
    Unknown,
}

impl ErrorCode {
    fn parse(text: &str) -> Self {
        match text {
            "invalid_request" => Self::InvalidRequest,
            "invalid_client" => Self::InvalidClient,
            "invalid_grant" => Self::InvalidGrant,
            "invalid_scope" => Self::InvalidScope,
            "invalid_target" => Self::InvalidTarget,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            "access_denied" => Self::AccessDenied,
            "redirect_uri_mismatch" | "invalid_redirect_uri" | "bad_redirect_uri" => {
                Self::RedirectUriMismatch
            }
            "server_error" => Self::ServerError,
            "temporarily_unavailable" => Self::TemporarilyUnavailable,
            _ => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::AccessDenied => "access_denied",
            Self::RedirectUriMismatch => "redirect_uri_mismatch",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Unknown => "unknown error code",
        }
    }
}

/// Reads the answer of a token endpoint. `host` (host and port) is named in messages; `requested_scopes` count as
/// granted where the answer names none.
pub fn parse(
    oauth2: &OAuth2,
    host: &str,
    response: &Response,
    requested_scopes: &[String],
    now: Timestamp,
) -> Result<TokenGrant, Failure> {
    let status = response.status;
    if may_pass(status) || (300..400).contains(&status) {
        return Err(Failure::from_status(host, status, &response.headers, now));
    }
    let document = read_document(&response.body);
    let error = document.as_ref().and_then(|document| error_code(oauth2, document));
    match (status, document, error) {
        (200..=299, Some(document), None) => grant(oauth2, &document, requested_scopes, now)
            .ok_or_else(|| unreadable(host, "holds no usable access token")),
        (200..=299, None, _) => Err(unreadable(host, "is neither JSON nor a form")),
        (_, _, error) => Err(rejection(host, response, error, now)),
    }
}

/// The body as JSON, or a form read as a flat object (some providers answer like this unless asked otherwise).
fn read_document(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(document) = serde_json::from_slice(body) {
        return Some(document);
    }
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_form = text
        .split('&')
        .any(|pair| pair.starts_with("access_token=") || pair.starts_with("error=") || pair == "error");
    let has_markup = text.starts_with(['<', '{', '[', '"']);
    (is_form && !has_markup).then(|| {
        let pairs = form_urlencoded::parse(text.as_bytes());
        pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
    })
}

/// The error of an answer, if it has one. Providers also send `"error": null`, `false`, `0` or `""` for none.
fn error_code(oauth2: &OAuth2, document: &Value) -> Option<ErrorCode> {
    match find(document, oauth2.response.error.as_deref(), "/error")? {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(text) => Some(ErrorCode::parse(text)),
        _ => Some(ErrorCode::Unknown),
    }
}

fn find<'a>(document: &'a Value, pointer: Option<&str>, default: &str) -> Option<&'a Value> {
    document.pointer(pointer.unwrap_or(default))
}

fn unreadable(host: &str, what: &str) -> Failure {
    Failure::transient(
        Reason::AnswerInvalid,
        format!(
            "the answer of {host} {what}. It is asked again later; an administrator can check the connector's \
             tokenURL and response mapping."
        ),
    )
}

/// An answer that says no. A status of 2xx with an error is one as well.
fn rejection(host: &str, response: &Response, error: Option<ErrorCode>, now: Timestamp) -> Failure {
    let status = response.status;
    let named =
        error.map_or_else(|| format!("status {status}"), |code| format!("{}, status {status}", code.name()));
    let client = || {
        Failure::permanent(
            Reason::ClientRejected,
            format!(
                "{host} rejected the OAuth client ({named}). Check clientId and clientSecret in the Secret named \
                 in spec.oauthApp.secretRef, and that the client may use this grant."
            ),
        )
    };
    match error {
        Some(ErrorCode::InvalidClient | ErrorCode::UnauthorizedClient | ErrorCode::AccessDenied) => client(),
        Some(ErrorCode::InvalidGrant) => Failure::permanent(
            Reason::ReconsentRequired,
            format!("{host} no longer accepts the consent or credential ({named}). Authenticate again."),
        ),
        Some(ErrorCode::RedirectUriMismatch) => Failure::permanent(
            Reason::RedirectURIMismatch,
            format!("{host} does not know the redirect address ({named})."),
        ),
        Some(ErrorCode::InvalidScope) => Failure::permanent(
            Reason::ScopeRejected,
            format!(
                "{host} rejected the scopes ({named}). Correct spec.scopes, or the scopes of the OAuth app."
            ),
        ),
        Some(ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable) => {
            // The status of such an answer is often 400; the code is what counts.
            let unavailable = Failure::from_status(host, 503, &response.headers, now);
            Failure {
                message: format!("{host} is unavailable ({named}). It is asked again later."),
                ..unavailable
            }
        }
        Some(ErrorCode::Unknown) if (200..300).contains(&status) => {
            unreadable(host, &format!("reports an error ({named})"))
        }
        Some(ErrorCode::Unknown) | None if status == 401 => client(),
        Some(_) | None => Failure::permanent(
            Reason::RequestRejected,
            format!(
                "{host} rejected the token request ({named}). Check the connection's parameters; an \
                 administrator can check the connector's description."
            ),
        ),
    }
}

/// The grant in an answer, or nothing where there is no access token that could go into a header.
fn grant(
    oauth2: &OAuth2,
    document: &Value,
    requested_scopes: &[String],
    now: Timestamp,
) -> Option<TokenGrant> {
    let mapping = &oauth2.response;
    let access_token = token(find(document, mapping.access_token.as_deref(), "/access_token")?)?;
    let refresh_token = find(document, mapping.refresh_token.as_deref(), "/refresh_token").and_then(token);
    let refresh_token_expires_at = ["/refresh_token_expires_in", "/refresh_expires_in"]
        .into_iter()
        .find_map(|pointer| document.pointer(pointer))
        .and_then(|value| end_of(value, ExpiryUnit::Seconds, now));
    let granted_scopes = find(document, mapping.scope.as_deref(), "/scope")
        .and_then(|value| scopes(value, oauth2.scopes.separator.as_deref(), requested_scopes))
        .unwrap_or_else(|| requested_scopes.to_vec());
    Some(TokenGrant {
        expires_at: expires_at(oauth2, document, access_token, now),
        access_token: SecretString::from(access_token),
        refresh_token: refresh_token.map(SecretString::from),
        refresh_token_expires_at,
        granted_scopes,
        id_token: document.pointer("/id_token").and_then(token).map(SecretString::from),
    })
}

/// A token: printable ASCII (RFC 6749, appendix A.12), so that it cannot add anything to a header.
fn token(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let fits = !text.is_empty() && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    fits.then_some(text)
}

fn expires_at(oauth2: &OAuth2, document: &Value, access_token: &str, now: Timestamp) -> Option<Timestamp> {
    let declared = || after(oauth2.lifetime_seconds.map(SignedDuration::from_secs)?, now);
    let named = || {
        find(document, oauth2.response.expires_in.as_deref(), "/expires_in")
            .and_then(|value| end_of(value, oauth2.response.expires_unit, now))
    };
    match oauth2.lifetime {
        Lifetime::Never => None,
        Lifetime::Fixed => declared(),
        Lifetime::FromResponse => named().or_else(declared),
        Lifetime::JWT => unverified_claims(access_token)
            .and_then(|claims| end_of(claims.get("exp")?, ExpiryUnit::UnixSeconds, now))
            .or_else(named)
            .or_else(declared),
    }
}

/// When a named lifetime ends. Zero and less count as not named: providers that send them mean "never" as often
/// as "now", and a token that is really over shows at its first use.
fn end_of(value: &Value, unit: ExpiryUnit, now: Timestamp) -> Option<Timestamp> {
    if let Some(end) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        return Some(end);
    }
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let (start, seconds) = match unit {
        ExpiryUnit::Seconds => (now, number),
        ExpiryUnit::Milliseconds => (now, number / 1000.0),
        ExpiryUnit::UnixSeconds => (Timestamp::UNIX_EPOCH, number),
    };
    // Not a number fails both comparisons.
    if seconds > 0.0 && seconds <= LIFETIME_LIMIT_SECONDS {
        after(SignedDuration::try_from_secs_f64(seconds).ok()?, start)
    } else {
        None
    }
}

fn after(lifetime: SignedDuration, start: Timestamp) -> Option<Timestamp> {
    start.checked_add(lifetime).ok()
}

/// Granted scopes: a list, or text with separators. Commas separate too, unless a requested scope has one:
/// several providers take spaces and answer with commas.
fn scopes(value: &Value, separator: Option<&str>, requested: &[String]) -> Option<Vec<String>> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let comma_separates = requested.iter().all(|scope| !scope.contains(','));
    let mut scopes: Vec<String> = Vec::new();
    for text in texts {
        let text = separator
            .filter(|separator| !separator.is_empty())
            .map_or_else(|| text.to_owned(), |separator| text.replace(separator, " "));
        let parts = text.split(|character: char| {
            character.is_ascii_whitespace() || (comma_separates && character == ',')
        });
        for scope in parts.filter(|scope| !scope.is_empty()) {
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
    }
    Some(scopes)
}

#[cfg(test)]
#[path = "tests/token_answer.rs"]
mod tests;
