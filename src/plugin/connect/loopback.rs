//! The listener on the person's own machine, to which their browser brings the receipt (RFC 8252, section 7.3). A
//! browser that was sent the link by somebody else comes to its own machine, where nobody listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kube::Api;
use tokio::net::TcpListener;
use url::form_urlencoded;

use crate::api::ConsentRequest;
use crate::api::consent_request::{ConsentRequestStatus, Phase};
use crate::pages::{self, ConnectionNames, Failure, Language, Page};

use super::request;

/// How long the browser waits for the outcome before it is told to look at the terminal.
const PATIENCE: Duration = Duration::from_secs(20);

/// Length of a receipt in characters.
const RECEIPT_LENGTH: usize = 43;

/// A listener that nobody but this machine reaches.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

struct Serving {
    requests: Api<ConsentRequest>,
    name: String,
    namespace: String,
    authority: String,
}

impl Loopback {
    /// Listens on a port that the system chooses.
    pub(super) async fn listen() -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).await.context("listen on this machine")?;
        let port = listener.local_addr().context("listen on this machine")?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Takes receipts until it is dropped.
    pub(super) async fn serve(
        self,
        requests: Api<ConsentRequest>,
        name: String,
        namespace: String,
    ) -> anyhow::Result<()> {
        let authority = format!("127.0.0.1:{}", self.port);
        let serving = Arc::new(Serving { requests, name, namespace, authority });
        let router = Router::new().fallback(receive).with_state(serving);
        axum::serve(self.listener, router).await.context("serve the browser that comes back")
    }
}

async fn receive(
    State(serving): State<Arc<Serving>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let language = Language::of_accept_language(header(header::ACCEPT_LANGUAGE).unwrap_or_default());
    // A name that somebody made to lead here is not this machine's.
    let is_own = header(header::HOST) == Some(serving.authority.as_str());
    let is_own = is_own && is_navigation(&headers);
    let receipt = receipt(uri.query().unwrap_or_default());
    let (true, &Method::GET, "/", Some(receipt)) = (is_own, &method, uri.path(), receipt) else {
        return answer(StatusCode::NOT_FOUND, pages::not_valid(language));
    };
    if let Err(error) = request::hand_in(&serving.requests, &serving.name, &receipt).await {
        // It may have been handed in already: a browser that loads the page again sees the outcome again.
        tracing::debug!(%error, "the receipt could not be handed in");
    }
    let ended = tokio::time::timeout(PATIENCE, request::ended(&serving.requests, &serving.name)).await;
    let page = match ended {
        Ok(Ok(ended)) => last_page(language, &serving.namespace, &ended),
        Ok(Err(_)) | Err(_) => pages::waiting(language),
    };
    answer(StatusCode::OK, page)
}

/// What the person sees last.
fn last_page(language: Language, namespace: &str, ended: &ConsentRequest) -> Page {
    let status: ConsentRequestStatus = ended.status.clone().unwrap_or_default();
    let name = &ended.spec.connection_ref.name;
    match status.phase {
        Some(Phase::Succeeded) => {
            pages::connected(language, &ConnectionNames { namespace, name, display_name: None }, None)
        }
        Some(Phase::Expired) => pages::expired(language),
        _ => {
            let message = status.message.unwrap_or_default();
            pages::failed(language, &Failure::Reported(&message), None)
        }
    }
}

/// Whether a person's browser comes here, and not an image or a script of some page that guesses ports: a wrong receipt
/// would end the consent that is under way.
fn is_navigation(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_none_or(|destination| destination == "document")
}

/// The receipt in a query, if it can be one.
fn receipt(query: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "receipt");
    let value = values.next()?.1.into_owned();
    let fits = value.len() == RECEIPT_LENGTH
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (fits && values.next().is_none()).then_some(value)
}

fn answer(status: StatusCode, page: Page) -> Response {
    let policy = page.content_security_policy(false);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers, page.html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_loads_brings_no_receipt() {
        let from = |destination: &'static str| {
            is_navigation(&HeaderMap::from_iter([(
                header::HeaderName::from_static("sec-fetch-dest"),
                HeaderValue::from_static(destination),
            )]))
        };
        assert!(from("document") && is_navigation(&HeaderMap::new()));
        for destination in ["image", "script", "empty", "iframe", ""] {
            assert!(!from(destination), "{destination}");
        }
    }

    #[test]
    fn a_receipt_is_taken_once_and_only_in_its_shape() {
        let good = "A".repeat(RECEIPT_LENGTH);
        assert_eq!(receipt(&format!("receipt={good}")), Some(good.clone()));
        assert_eq!(receipt(&format!("receipt={good}&receipt={good}")), None);
        assert_eq!(receipt("receipt=short"), None);
        assert_eq!(receipt(&format!("receipt={}%2F", "A".repeat(42))), None);
        assert_eq!(receipt(""), None);
    }
}
