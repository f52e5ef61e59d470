//! The public listener, which people's browsers reach. It knows no probe, no metric and no secret of its own; what it
//! is told goes to the desk, and what it shows comes from there.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use url::{Url, form_urlencoded};

use crate::domain::consent::LinkRefusal;
use crate::pages::{self, ConnectionNames, Failure, Language, Page, Start, Target};
use crate::ports::{Arrival, ConsentDesk, ConsentLink, Departure, Invitation, Receipt, VisitRefusal};

use super::answer::{self, Form, language, page};
use super::cookies::Cookies;

/// Longest form that is read, in bytes; ours has one field.
const FORM_LIMIT: usize = 4096;

/// Requests that this replica answers in a second. Nobody is signed in here, so that there is one limit for all.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

#[derive(Clone)]
struct Public {
    desk: Arc<dyn ConsentDesk>,
    cookies: Cookies,
    /// Path of the public address, without a slash at its end.
    base: Arc<str>,
    limit: Arc<DefaultDirectRateLimiter>,
}

/// Pages and callbacks below `public_url`, whose path is part of every route.
pub fn router(desk: Arc<dyn ConsentDesk>, public_url: &Url) -> Router {
    let base = public_url.path().trim_end_matches('/').to_owned();
    let public = Public {
        desk,
        cookies: Cookies { secure: public_url.scheme() == "https" },
        base: base.as_str().into(),
        limit: Arc::new(RateLimiter::direct(Quota::per_second(REQUESTS_PER_SECOND))),
    };
    let at = |path: &str| format!("{base}{path}");
    Router::new()
        .route(&at("/"), get(front))
        .route(&at("/connections/{namespace}/{name}"), get(connection))
        .route(&at("/consent/{namespace}/{name}"), get(invite))
        .route(&at("/consent/{namespace}/{name}"), post(depart))
        .route(&at("/callback"), get(arrive))
        .route(&at("/callback/{connector}"), get(arrive))
        .route(&at("/callback/{namespace}/{name}"), get(arrive))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(middleware::from_fn_with_state(public.clone(), limited))
        .with_state(public)
}

/// One limit for everybody, and no embedding: a page of ours is opened by a person or not at all.
async fn limited(State(public): State<Public>, request: Request, next: Next) -> Response {
    let language = language(request.headers());
    if public.limit.check().is_err() {
        let interrupted = pages::failed(language, &Failure::Interrupted, None);
        return page(StatusCode::TOO_MANY_REQUESTS, interrupted, Form::None);
    }
    if is_embedded(request.headers()) || is_speculative(request.headers()) {
        return refused(request.headers(), LinkRefusal::NotValid);
    }
    guarded(language, next.run(request).await)
}

/// What the framework answers by itself, such as that a method is not allowed, becomes a page of ours with all that
/// guards one.
fn guarded(language: Language, response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        return response;
    }
    let mut guarded = page(response.status(), pages::not_found(language), Form::None);
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        guarded.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    guarded
}

/// Whether something else than a person's navigation asks (Fetch Metadata). What says nothing is no browser of today.
fn is_embedded(headers: &HeaderMap) -> bool {
    let destination = headers.get("sec-fetch-dest").and_then(|value| value.to_str().ok());
    destination.is_some_and(|destination| destination != "document")
}

/// Whether a browser asks ahead of its person, who may never come: a code is good once.
fn is_speculative(headers: &HeaderMap) -> bool {
    let purpose = headers.get("sec-purpose").and_then(|value| value.to_str().ok());
    purpose.is_some_and(|purpose| purpose.contains("prefetch"))
}

async fn front(headers: HeaderMap) -> Response {
    page(StatusCode::OK, pages::front(language(&headers)), Form::None)
}

async fn not_found(headers: HeaderMap) -> Response {
    page(StatusCode::NOT_FOUND, pages::not_found(language(&headers)), Form::None)
}

/// A Connection's page. It looks nothing up, so that it says the same of what exists and what does not.
async fn connection(headers: HeaderMap, Path((namespace, name)): Path<(String, String)>) -> Response {
    match pages::connection(language(&headers), &namespace, &name) {
        Some(found) => page(StatusCode::OK, found, Form::None),
        None => not_found(headers).await,
    }
}

async fn invite(
    State(public): State<Public>,
    headers: HeaderMap,
    uri: Uri,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let start = field(uri.query().unwrap_or_default().as_bytes(), "start");
    let Some(link) = link(namespace, name, start) else {
        return refused(&headers, LinkRefusal::NotValid);
    };
    match public.desk.invite(&link).await {
        Ok(invitation) => {
            let action = format!("{}/consent/{}/{}", public.base, link.namespace, link.name);
            page(StatusCode::OK, start_page(&headers, &link, &invitation, &action), Form::Own)
        }
        Err(refusal) => answer::refusal(language(&headers), &refusal),
    }
}

fn start_page(headers: &HeaderMap, link: &ConsentLink, invitation: &Invitation, action: &str) -> Page {
    let connection = ConnectionNames {
        namespace: &invitation.namespace,
        name: &invitation.name,
        display_name: invitation.display_name.as_deref(),
    };
    let start = Start {
        action,
        start: &link.start,
        requester: &invitation.requester,
        folder: &invitation.folder,
        connection,
        application: &invitation.application,
        scopes: &invitation.scopes,
        host: &invitation.host,
    };
    pages::start(language(headers), &start)
}

async fn depart(
    State(public): State<Public>,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    // The form stands on our own page; another site's form is somebody else's idea.
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let start =
        field(&body, "start").filter(|_| site.is_none_or(|site| matches!(site, "same-origin" | "none")));
    let Some(link) = link(namespace, name, start) else {
        return refused(&headers, LinkRefusal::NotValid);
    };
    match public.desk.depart(&link).await {
        Ok(Departure { location, uid, sealed, max_age, .. }) => {
            moving(&headers, Target::checked(&location), &public.cookies.set(&uid, &sealed, max_age))
        }
        Err(refusal) => answer::refusal(language(&headers), &refusal),
    }
}

async fn arrive(State(public): State<Public>, method: Method, headers: HeaderMap, uri: Uri) -> Response {
    if method != Method::GET {
        // A code is good once; what only asks for headers does not get to spend it.
        return refused(&headers, LinkRefusal::NotValid);
    }
    let cookies = public.cookies.of(&headers);
    let arrived = public.desk.arrive(uri.path(), uri.query().unwrap_or_default(), &cookies).await;
    match arrived {
        Ok(Arrival { uid, receipt: Receipt::Brought(location) }) => {
            moving(&headers, Target::of(&location), &public.cookies.remove(&uid))
        }
        Ok(Arrival { uid, receipt: Receipt::Entered(code) }) => {
            let shown = pages::code(language(&headers), &code);
            with_cookie(language(&headers), shown, &public.cookies.remove(&uid))
        }
        Err(refusal) => answer::refusal(language(&headers), &refusal),
    }
}

/// A page that moves the browser on. A redirect would be held against the page before, ours or the provider's.
fn moving(headers: &HeaderMap, target: Option<Target>, cookie: &str) -> Response {
    let language = language(headers);
    match target {
        Some(target) => with_cookie(language, pages::moving_on(language, &target), cookie),
        None => answer::refusal(language, &VisitRefusal::TryLater),
    }
}

fn with_cookie(language: Language, shown: Page, cookie: &str) -> Response {
    let Ok(cookie) = HeaderValue::from_str(cookie) else {
        return answer::refusal(language, &VisitRefusal::TryLater);
    };
    let mut response = page(StatusCode::OK, shown, Form::None);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn refused(headers: &HeaderMap, refusal: LinkRefusal) -> Response {
    answer::refusal(language(headers), &VisitRefusal::Link(refusal))
}

/// The link that was opened, if there can be a request of that name. The names become part of an address of the API
/// server, where anything else would ask, with the operator's rights, for something else.
fn link(namespace: String, name: String, start: Option<String>) -> Option<ConsentLink> {
    pages::is_name_in_namespace(&namespace, &name).then_some(ConsentLink { namespace, name, start: start? })
}

/// The one value of a field in a form or query; nothing where it stands twice.
fn field(form: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(form).filter(|(known, _)| known == name);
    let value = values.next()?.1.into_owned();
    values.next().is_none().then_some(value)
}
