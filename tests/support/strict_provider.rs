//! A provider for what no real server does on demand: answers that a test scripts, and a record of every request.
//! It is strict: a path that was not scripted answers 404 and is recorded, so that a test sees it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// What came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What goes out.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string(),
        }
    }
}

type Script = dyn Fn(&Received) -> Option<Answer> + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    received: Mutex<Vec<Received>>,
}

/// A running provider. It lives as long as the test binary.
#[derive(Clone)]
pub struct StrictProvider {
    port: u16,
    shared: Arc<Shared>,
}

impl StrictProvider {
    /// Listens on this listener, which was bound before so that its port could be told to the operator.
    pub fn serve(listener: TcpListener) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(|_: &Received| None)),
            received: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        // A thread and a runtime of its own: tests each have a runtime that ends with them.
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router).await
            })
        });
        Ok(Self { port, shared })
    }

    /// Listens on a free port.
    pub fn start() -> Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
    }

    /// Answers from now on.
    pub fn script(&self, script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// `host:port`, as an egress exception names it.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub fn endpoint(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests a path has had so far.
    pub fn count(&self, path: &str) -> usize {
        self.received().iter().filter(|request| request.path == path).count()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let headers = parts.headers.iter();
    let received = Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let script = Arc::clone(&shared.script.lock().unwrap_or_else(PoisonError::into_inner));
    let scripted = script(&received);
    shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    let Some(scripted) = scripted else { return (StatusCode::NOT_FOUND, "not scripted").into_response() };
    let mut response = Response::builder().status(scripted.status);
    for (name, value) in &scripted.headers {
        response = response.header(name, value);
    }
    response.body(scripted.body.into()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
