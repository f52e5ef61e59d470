//! What a browser that opens a link, or comes back from the provider, may be told.

use jiff::Timestamp;

use crate::api::ConsentRequest;
use crate::api::consent_request::Phase;
use crate::domain::connection::Blocked;
use crate::domain::reason::Reason;

use super::{again, expires_at};

/// Why a link does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRefusal {
    /// There is no such link, or it was not made for who opened it. Which of both is not told.
    NotValid,
    /// Its ten minutes are over.
    Expired,
    /// It was opened before, and opens once.
    Used,
}

/// Whether the link of a request opens for who knows the secret with this digest (S256 of the start secret).
pub fn may_open(request: &ConsentRequest, start_digest: &str, now: Timestamp) -> Result<(), LinkRefusal> {
    let challenge = request.spec.challenge.as_bytes();
    // Both are digests; still, how many of their characters agree is nobody's business.
    if aws_lc_rs::constant_time::verify_slices_are_equal(challenge, start_digest.as_bytes()).is_err() {
        return Err(LinkRefusal::NotValid);
    }
    match request.status.as_ref().and_then(|status| status.phase) {
        None => Err(LinkRefusal::NotValid),
        Some(Phase::Expired) => Err(LinkRefusal::Expired),
        Some(_) if now >= expires_at(request) => Err(LinkRefusal::Expired),
        Some(Phase::Issued) => Ok(()),
        Some(_) => Err(LinkRefusal::Used),
    }
}

/// What a provider's refusal means (RFC 6749, section 4.1.2.1). The provider's own words are not repeated: they may
/// be anybody's.
pub fn refused_by_provider(request: &ConsentRequest, code: &str, redirect_uri: &str) -> Blocked {
    let again = again(request);
    let (reason, message) = match code {
        "access_denied" => (
            Reason::ConsentDenied,
            format!("the person, or the provider for them, did not consent (access_denied); {again}"),
        ),
        "redirect_uri_mismatch" | "invalid_redirect_uri" | "bad_redirect_uri" => {
            (Reason::RedirectURIMismatch, mismatch(redirect_uri))
        }
        "invalid_scope" => (
            Reason::ScopeRejected,
            format!("the provider rejected the scopes (invalid_scope); correct spec.scopes, or the scopes of the OAuth app; then \
             {again}"),
        ),
        "unauthorized_client" | "invalid_client" => (
            Reason::ClientRejected,
            "the provider rejected the OAuth client; check clientId in the Secret named in spec.oauthApp.secretRef, \
             and that the app may use the authorization code grant"
                .to_owned(),
        ),
        "server_error" | "temporarily_unavailable" => {
            (Reason::ProviderUnavailable, format!("the provider is unavailable; {again}"))
        }
        _ => (
            Reason::RequestRejected,
            "the provider rejected the authorization request; an administrator can check the connector's description"
                .to_owned(),
        ),
    };
    Blocked { reason, message }
}

/// What to register where a provider does not know the redirect address.
fn mismatch(redirect_uri: &str) -> String {
    format!(
        "the provider does not know the redirect address; register exactly {redirect_uri} for the OAuth app, then \
         authenticate again"
    )
}

/// Why a code was not redeemed, told to who can mend it.
pub fn not_redeemed(request: &ConsentRequest, reason: Reason, message: &str, redirect_uri: &str) -> Blocked {
    let message = if reason == Reason::RedirectURIMismatch {
        mismatch(redirect_uri)
    } else {
        // A code is good for one attempt, so that nothing is asked again later by itself.
        let once = message.replace(" It is asked again later.", "");
        format!("{} Then {}.", once.replace("It is asked again later; an", "An"), again(request))
    };
    Blocked { reason, message }
}
