//! A proxy between the operator and the API server. It records every request, and at a chosen boundary it takes the
//! operator out of the world: before the request reaches the API server, or after, before the answer comes back.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::boundaries::Boundaries;
use super::waiting;

/// Headers that belong to one connection, or that the client of the other side writes itself.
const OF_ONE_CONNECTION: [HeaderName; 4] = [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Begins the name of a boundary at which nothing changes, on either side.
pub const REHEARSAL: &str = "rehearsal: ";

/// A request as the proxy saw it.
#[derive(Clone, Debug)]
pub struct Forwarded {
    pub method: String,
    pub path: String,
    pub query: String,
    pub user_agent: String,
    pub accept: String,
    /// What the API server answered; 0 where the request never got there.
    pub status: u16,
}

impl Forwarded {
    /// Whether it changes what people see: neither bookkeeping (leases, Events) nor a rehearsal nor a question.
    pub fn changes_state(&self) -> bool {
        self.is_write() && !self.is_rehearsal()
    }

    fn is_rehearsal(&self) -> bool {
        self.query.contains("dryRun=All")
    }

    fn is_write(&self) -> bool {
        let resources: Vec<_> = self.path.split('/').collect();
        let bookkeeping = ["leases", "events"].iter().any(|kind| resources.contains(kind));
        let review = self.path.ends_with("reviews");
        let mutating = ["POST", "PUT", "PATCH", "DELETE"].contains(&self.method.as_str());
        mutating && !bookkeeping && !review
    }

    /// `PATCH connections/status`: what, without the names that differ from run to run.
    pub fn what(&self) -> String {
        let parts: Vec<_> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        // `api/v1` or `apis/group/version`, then perhaps `namespaces/name`.
        let rest = parts.get(if parts.first() == Some(&"api") { 2 } else { 3 }..).unwrap_or_default();
        let rest = if rest.first() == Some(&"namespaces") && rest.len() > 2 { &rest[2..] } else { rest };
        let subresource = rest.get(2).map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{subresource}", self.method, rest.first().unwrap_or(&""))
    }

    /// The boundary that it passes, if it does: a write or its rehearsal, with the phase that it brings about.
    fn boundary(&self, body: &[u8]) -> Option<String> {
        if !self.is_write() {
            return None;
        }
        let written: Value = serde_json::from_slice(body).unwrap_or_default();
        let phase = written["status"]["phase"].as_str().map(|phase| format!(" {phase}")).unwrap_or_default();
        let rehearsal = if self.is_rehearsal() { REHEARSAL } else { "" };
        Some(format!("{rehearsal}{}{phase}", self.what()))
    }
}

struct Shared {
    upstream: reqwest::Client,
    url: String,
    token: String,
    boundaries: Arc<Boundaries>,
    forwarded: Mutex<Vec<Forwarded>>,
    lag: Mutex<Option<(String, Duration)>>,
}

/// A running proxy. It lives as long as the test binary.
#[derive(Clone)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    /// For the operator: it leads through this proxy.
    pub kubeconfig: PathBuf,
}

impl FaultProxy {
    /// Stands between this kubeconfig's API server and whoever uses the kubeconfig that is written to `directory`.
    pub fn start(kubeconfig: &Path, directory: &Path, boundaries: Arc<Boundaries>) -> Result<Self> {
        super::install_cryptography();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let original = Kubeconfig::read_from(kubeconfig)?;
        let cluster = original.clusters.into_iter().find_map(|named| named.cluster).context("cluster")?;
        let user = original.auth_infos.into_iter().find_map(|named| named.auth_info).context("user")?;
        let token = user.token.context("the kubeconfig has a bearer token")?.expose_secret().to_owned();
        let authority = authority_of(cluster.certificate_authority_data.context("authority")?.as_str())?;
        let upstream = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
            .no_proxy()
            .build()?;
        let url = cluster.server.context("server")?.trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            upstream,
            url,
            token,
            boundaries,
            forwarded: Mutex::default(),
            lag: Mutex::default(),
        });

        let router = Router::new().fallback(forward).with_state(Arc::clone(&shared));
        // A runtime of its own: it must not hang on the runtime of the test that is being slow.
        std::thread::spawn(move || serve(listener, router));
        let path = directory.join(format!("proxy-{port}.kubeconfig"));
        std::fs::write(
            &path,
            serde_yaml::to_string(&json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
                "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
                "users": [{ "name": "proxy", "user": {} }],
                "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy" } }],
            }))?,
        )?;
        Ok(Self { shared, kubeconfig: path })
    }

    /// All requests that have been answered so far (of a watch, that have begun to be).
    pub fn forwarded(&self) -> Vec<Forwarded> {
        self.shared.forwarded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches of this resource that begin from now on tell everything that much later.
    pub fn lag(&self, resource: &str, by: Duration) {
        let lag = Some((resource.to_owned(), by));
        *self.shared.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }

    /// The end of the record now, to count from.
    pub fn mark(&self) -> usize {
        self.shared.forwarded.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn serve(listener: TcpListener, router: Router) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        Ok(axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await?)
    })
}

fn authority_of(encoded: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(encoded).context("authority of the kubeconfig")
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name| {
        let value = parts.headers.get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    };
    let mut seen = Forwarded {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        user_agent: header(USER_AGENT),
        accept: header(ACCEPT),
        status: 0,
    };
    let body: Bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap_or_default();
    let passage = seen.boundary(&body).and_then(|what| shared.boundaries.arrives(&what));
    if passage.as_ref().is_some_and(|passage| passage.cut) {
        return record(&shared, seen, (StatusCode::BAD_GATEWAY, "cut off").into_response());
    }
    let address = format!("{}{}", shared.url, parts.uri.path_and_query().map_or("/", |path| path.as_str()));
    let mut headers = parts.headers.clone();
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
    let sent = shared.upstream.request(parts.method.clone(), address).headers(headers);
    let answer = match sent.header(AUTHORIZATION, format!("Bearer {}", shared.token)).body(body).send().await
    {
        Ok(answer) => answer,
        Err(error) => {
            return record(&shared, seen, (StatusCode::BAD_GATEWAY, error.to_string()).into_response());
        }
    };
    seen.status = answer.status().as_u16();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| !OF_ONE_CONNECTION.contains(name)) {
        response = response.header(name, value);
    }
    let lag = shared.lag.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lag = lag
        .filter(|(resource, _)| seen.query.contains("watch=true") && seen.path.ends_with(resource.as_str()));
    let lag = lag.map_or(Duration::ZERO, |(_, lag)| lag);
    let chunks = answer.bytes_stream().then(move |chunk| async move {
        waiting::late_by(lag).await;
        chunk
    });
    let response = response.body(Body::from_stream(chunks));
    let response = response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    if let Some(passage) = passage {
        shared.boundaries.leaves(&passage);
    }
    record(&shared, seen, response)
}

fn record(shared: &Shared, seen: Forwarded, response: Response) -> Response {
    shared.forwarded.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    response
}
