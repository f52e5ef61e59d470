//! The part of an API server that keeps Secrets: versions, conflicts, dry runs, and faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::NAMESPACE;

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Value>,
    version: u64,
    /// How the next writes are refused.
    faults: VecDeque<u16>,
    writes: usize,
}

impl State {
    fn put(&mut self, name: &str, mut secret: Value) -> Value {
        self.version += 1;
        let before = self.secrets.get(name).map(|secret| secret["metadata"]["uid"].clone());
        secret["metadata"]["uid"] = before.unwrap_or_else(|| format!("uid-{}", self.version).into());
        secret["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.secrets.insert(name.to_owned(), secret.clone());
        secret
    }

    fn write(&mut self, method: &Method, name: &str, secret: Value, dry_run: bool) -> (u16, Value) {
        if let Some(fault) = self.faults.pop_front() {
            return refusal(fault);
        }
        let present = self.secrets.get(name);
        let fits = match (method, present) {
            (&Method::POST, present) => present.is_none(),
            (_, None) => false,
            (_, Some(present)) => ["uid", "resourceVersion"]
                .iter()
                .all(|key| present["metadata"][key] == secret["metadata"][key]),
        };
        if !fits {
            return refusal(409);
        }
        if dry_run {
            return (200, secret);
        }
        self.writes += 1;
        (200, self.put(name, secret))
    }
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        403 => "Forbidden",
        409 => "Conflict",
        _ => "InternalError",
    };
    let message = "exceeded quota";
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

#[derive(Clone)]
pub(super) struct ApiServer {
    state: Arc<Mutex<State>>,
    address: String,
}

impl ApiServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let server = Self { state: Arc::clone(&state), address };
        let router = Router::new().fallback(move |request: Request| answer(Arc::clone(&state), request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(super) fn client(&self) -> Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Client::try_from(kube::Config::new(self.address.parse().unwrap())).unwrap()
    }

    pub(super) fn put_secret(&self, name: &str, label: &str, value: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().map(|(key, value)| (*key, STANDARD.encode(value))).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": { label: value } },
        });
        self.state.lock().unwrap().put(name, secret);
    }

    /// Somebody writes the Secret as it is.
    pub(super) fn touch(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        let secret = state.secrets[name].clone();
        state.put(name, secret);
    }

    /// The next writes are refused so.
    pub(super) fn refuse(&self, faults: &[u16]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// Writes that were more than rehearsals.
    pub(super) fn writes(&self) -> usize {
        self.state.lock().unwrap().writes
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let name = parts.uri.path().rsplit('/').next().unwrap().to_owned();
    let dry_run = parts.uri.query().unwrap_or_default().contains("dryRun=All");
    let mut state = state.lock().unwrap();
    let (status, answer) = if parts.method == Method::GET {
        state.secrets.get(&name).map_or_else(|| refusal(404), |secret| (200, secret.clone()))
    } else {
        let secret: Value = serde_json::from_slice(&body).unwrap();
        let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
        state.write(&parts.method, &name, secret, dry_run)
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}
