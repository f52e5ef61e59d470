//! The internal listener: probes and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::ports::SelfReport;

/// Content type of the OpenMetrics text format, version 1.0.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(report: Arc<dyn SelfReport>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(report)
}

async fn ready(State(report): State<Arc<dyn SelfReport>>) -> Response {
    match report.ready() {
        Ok(()) => "ok".into_response(),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, cause).into_response(),
    }
}

async fn metrics(State(report): State<Arc<dyn SelfReport>>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], report.metrics()).into_response()
}
