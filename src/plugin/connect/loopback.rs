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
use tokio::sync::{oneshot, watch};
use url::form_urlencoded;

use crate::api::{Connection, ConsentRequest};
use crate::pages::{self, Language, Page};

use super::{outcome, request};

/// How long the browser waits for the outcome before it is told to look at the terminal.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a page that is made may take to be sent.
const SENT: Duration = Duration::from_secs(1);

/// The lowest port that a ConsentRequest may name. Linux, macOS and Windows give higher ones by default.
const LOWEST_PORT: u16 = 32_768;

/// Ports that are asked for until one is high enough.
const ATTEMPTS: usize = 64;

/// Length of a receipt in characters.
const RECEIPT_LENGTH: usize = 43;

/// A listener that nobody but this machine reaches.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What the browser that comes back is about.
pub(super) struct Serving {
    requests: Api<ConsentRequest>,
    name: String,
    connections: Api<Connection>,
    /// As it was before.
    connection: Connection,
    /// Pages that are being made.
    under_way: watch::Sender<usize>,
}

impl Serving {
    /// The request of this name, for this Connection.
    pub(super) fn new(
        requests: Api<ConsentRequest>,
        name: String,
        connections: Api<Connection>,
        connection: Connection,
    ) -> Arc<Self> {
        let under_way = watch::Sender::new(0);
        Arc::new(Self { requests, name, connections, connection, under_way })
    }

    /// The last page, once the outcome is known.
    async fn last_page(&self, language: Language) -> Page {
        let ended = tokio::time::timeout(PATIENCE, request::ended(&self.requests, &self.name)).await;
        let Ok(Ok(ended)) = ended else { return pages::waiting(language) };
        let connected = if outcome::is_success(&ended) {
            outcome::connected(&self.connections, &self.connection).await
        } else {
            None
        };
        outcome::last_page(language, connected.as_ref().unwrap_or(&self.connection), &ended)
    }
}

impl Loopback {
    /// Listens on a port that the system chooses.
    pub(super) async fn listen() -> anyhow::Result<Self> {
        // Held until one fits, so that the system does not give the same one again.
        let mut too_low = Vec::new();
        while too_low.len() < ATTEMPTS {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let listener = TcpListener::bind(address).await.context("listen on this machine")?;
            let port = listener.local_addr().context("listen on this machine")?.port();
            if port >= LOWEST_PORT {
                return Ok(Self { listener, port });
            }
            too_low.push(listener);
        }
        anyhow::bail!("this machine gives no port from {LOWEST_PORT} on; see its range of ephemeral ports")
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Takes receipts while this lasts. Whoever has come until then still gets their page.
    pub(super) async fn serve_while<T>(self, serving: Arc<Serving>, lasting: impl Future<Output = T>) -> T {
        let authority = format!("127.0.0.1:{}", self.port);
        let mut under_way = serving.under_way.subscribe();
        let router = Router::new().fallback(receive).with_state((serving, authority));
        let (over, is_over) = oneshot::channel::<()>();
        let served = axum::serve(self.listener, router).with_graceful_shutdown(async {
            let _ = is_over.await;
        });
        let served = tokio::spawn(served.into_future());
        let result = lasting.await;
        let _ = tokio::time::timeout(PATIENCE, under_way.wait_for(|pages| *pages == 0)).await;
        drop(over);
        // A browser that keeps a connection open without asking for anything is not waited for.
        let _ = tokio::time::timeout(SENT, served).await;
        result
    }
}

async fn receive(
    State((serving, authority)): State<(Arc<Serving>, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let language = Language::of_accept_language(header(header::ACCEPT_LANGUAGE).unwrap_or_default());
    // A name that somebody made to lead here is not this machine's.
    let is_own = header(header::HOST) == Some(authority.as_str()) && is_navigation(&headers);
    let receipt = receipt(uri.query().unwrap_or_default());
    let (true, &Method::GET, "/", Some(receipt)) = (is_own, &method, uri.path(), receipt) else {
        return answer(StatusCode::NOT_FOUND, pages::not_valid(language));
    };
    serving.under_way.send_modify(|pages| *pages += 1);
    if let Err(error) = request::hand_in(&serving.requests, &serving.name, &receipt).await {
        // It may have been handed in already: a browser that loads the page again sees the outcome again.
        tracing::debug!(%error, "the receipt could not be handed in");
    }
    let page = serving.last_page(language).await;
    serving.under_way.send_modify(|pages| *pages -= 1);
    answer(StatusCode::OK, page)
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
    (is_receipt(&value) && values.next().is_none()).then_some(value)
}

/// Whether a text has the shape of a receipt.
pub(super) fn is_receipt(text: &str) -> bool {
    text.len() == RECEIPT_LENGTH
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
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
