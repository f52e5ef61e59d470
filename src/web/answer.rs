//! A page as an answer: what a browser may do with it goes along.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::consent::LinkRefusal;
use crate::domain::reason::Reason;
use crate::pages::{self, Failure, Language, Page, ProviderWords};
use crate::ports::VisitRefusal;

/// Whether a page has a form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It posts to where it came from.
    Own,
    /// None.
    None,
}

/// The language that a browser asks for.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::of_accept_language(header.unwrap_or_default())
}

/// A page: nothing may frame it, keep it or learn from where it led.
pub(super) fn page(status: StatusCode, page: Page, form: Form) -> Response {
    let policy = page.content_security_policy(form == Form::Own);
    let mut response = Response::new(Body::from(page.html));
    *response.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Language"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let opener = HeaderValue::from_static("same-origin");
    response.headers_mut().insert("cross-origin-opener-policy", opener);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The page for who gets no further.
pub(super) fn refusal(language: Language, refusal: &VisitRefusal) -> Response {
    let (status, text) = match refusal {
        VisitRefusal::Link(LinkRefusal::NotValid) => (StatusCode::NOT_FOUND, pages::not_valid(language)),
        VisitRefusal::Link(LinkRefusal::Expired) => (StatusCode::GONE, pages::expired(language)),
        VisitRefusal::Link(LinkRefusal::Used) => (StatusCode::CONFLICT, pages::used(language)),
        VisitRefusal::Blocked(blocked) => {
            (StatusCode::CONFLICT, pages::failed(language, &Failure::Reported(&blocked.message), None))
        }
        VisitRefusal::Provider { blocked, error } => {
            let failure = match blocked.reason {
                Reason::ConsentDenied => Failure::Declined,
                // Whoever began can mend these, and reads how.
                Reason::RedirectURIMismatch | Reason::ScopeRejected | Reason::ClientRejected => {
                    Failure::Reported(&blocked.message)
                }
                _ => Failure::ProviderError,
            };
            let words = ProviderWords { code: &error.code, description: error.description.as_deref() };
            (StatusCode::OK, pages::failed(language, &failure, Some(&words)))
        }
        VisitRefusal::TryLater => {
            (StatusCode::SERVICE_UNAVAILABLE, pages::failed(language, &Failure::Interrupted, None))
        }
    };
    page(status, text, Form::None).into_response()
}
