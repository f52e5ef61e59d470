//! The adapter against real sockets on this host.

mod egress;
mod exchange;
mod tls;
mod trace;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Method;
use http::header::AUTHORIZATION;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use url::Url;

use super::resolver::NameLookup;
use super::*;
use crate::oauth::message::{Purpose, Reach, Request, Response, SendFailure};
use crate::ports::{CallClass, CallObserver, ProviderClient};

/// Stands in every part of a request and an answer that must not be printed.
const MARKER: &str = "marker-that-must-not-show";

/// What was observed, in order.
#[derive(Default)]
struct Observed(Mutex<Vec<(Purpose, String, CallClass)>>);

impl CallObserver for Observed {
    fn observed(&self, purpose: Purpose, host: &str, class: CallClass, _duration: Duration) {
        self.0.lock().unwrap().push((purpose, host.to_owned(), class));
    }
}

/// Names of the test; all others are unknown.
#[derive(Default)]
struct Names(HashMap<&'static str, Vec<IpAddr>>);

impl Names {
    fn with(mut self, name: &'static str, addresses: &[&str]) -> Self {
        self.0.insert(name, addresses.iter().map(|address| address.parse().unwrap()).collect());
        self
    }
}

#[async_trait]
impl NameLookup for Names {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct Bench {
    provider: HttpProvider,
    observed: Arc<Observed>,
}

impl Bench {
    fn new(settings: ProviderSettings, names: impl NameLookup + 'static) -> Self {
        let observed = Arc::new(Observed::default());
        let names: Arc<dyn NameLookup> = Arc::new(names);
        let provider = HttpProvider::with_names(settings, Arc::clone(&observed) as _, &names).unwrap();
        Self { provider, observed }
    }

    fn allowing(exceptions: &[&str]) -> Self {
        Self::new(settings(exceptions), Names::default())
    }

    async fn send(&self, url: &str) -> Result<Response, SendFailure> {
        self.send_before(url, None).await
    }

    /// Sends a request that has the marker in all its parts, and looks for it in the failure.
    async fn send_before(&self, url: &str, deadline: Option<Instant>) -> Result<Response, SendFailure> {
        let outcome = self.provider.send(request(url), deadline).await;
        if let Err(failure) = &outcome {
            let printed = format!("{failure} {failure:?}");
            assert!(!printed.contains(MARKER), "{printed}");
        }
        outcome
    }

    fn last_class(&self) -> CallClass {
        self.observed.0.lock().unwrap().last().unwrap().2
    }
}

fn settings(exceptions: &[&str]) -> ProviderSettings {
    let exceptions = exceptions.iter().map(|exception| exception.parse().unwrap()).collect();
    ProviderSettings {
        egress: EgressPolicy { exceptions, ..EgressPolicy::default() },
        ..ProviderSettings::default()
    }
}

fn request(url: &str) -> Request {
    let mut url = Url::parse(url).unwrap();
    url.set_path(&format!("{}/{MARKER}", url.path()));
    url.set_query(Some(&format!("key={MARKER}")));
    Request {
        purpose: Purpose::Token,
        method: Method::POST,
        url,
        headers: vec![(AUTHORIZATION, format!("Bearer {MARKER}").into())],
        body: Some(format!("refresh_token={MARKER}").into()),
        reach: Reach::default(),
    }
}

/// A listener on loopback and its `host:port`.
async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    (listener, host)
}

/// Whether somebody connected since; a connection that was made is in the queue already.
fn was_reached(listener: TcpListener) -> bool {
    listener.into_std().unwrap().accept().is_ok()
}

/// Reads one request of HTTP/1.1 with a known length, as text.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}
