//! The listener for the API server, which asks here before it stores what people write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use tokio::sync::Semaphore;

use crate::ports::{AdmissionDesk, Admitted, ReviewFault, Reviewed, Telemetry};

/// Our kinds are bounded: with the object as it was before and all metadata they stay far below this. Parsed, a body takes
/// many times its size.
const BODY_LIMIT: usize = 1024 * 1024;

/// Reviews at the same time; the listener cannot tell the API server from anybody else who reaches it.
const AT_ONCE: usize = 4;

/// Shorter than the webhooks' own timeout, so that the API server reads why there is no answer.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Clone)]
struct Reception {
    desk: Arc<dyn AdmissionDesk>,
    telemetry: Arc<dyn Telemetry>,
    places: Arc<Semaphore>,
}

/// A path for each that the webhook configurations name.
pub fn router(desk: Arc<dyn AdmissionDesk>, telemetry: Arc<dyn Telemetry>) -> Router {
    let ask = |subject| {
        post(move |State(reception): State<Reception>, request: Request| async move {
            received(&reception, subject, request).await
        })
    };
    Router::new()
        .route("/admission/connections", ask(Reviewed::Connections))
        .route("/admission/parameters", ask(Reviewed::Parameters))
        .route("/admission/folders", ask(Reviewed::Folders))
        .route("/admission/consent-requests", ask(Reviewed::ConsentRequests))
        .route("/admission/process-bindings", ask(Reviewed::ProcessBindings))
        .with_state(Reception { desk, telemetry, places: Arc::new(Semaphore::new(AT_ONCE)) })
}

/// Reads a body when there is a place for it, and neither too much of it nor for too long.
async fn received(reception: &Reception, subject: Reviewed, request: Request) -> Response {
    let body = tokio::time::timeout(PATIENCE, async {
        let place = reception.places.acquire().await;
        (place, to_bytes(request.into_body(), BODY_LIMIT).await)
    });
    match body.await {
        Ok((Ok(_place), Ok(body))) => answer(reception, subject, &body).await,
        Ok((_, Err(_))) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read, or is too large").into_response()
        }
        Ok((Err(_), _)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "too many reviews at once").into_response()
        }
    }
}

async fn answer(reception: &Reception, subject: Reviewed, body: &[u8]) -> Response {
    let started = Instant::now();
    let request: AdmissionRequest<DynamicObject> = match parsed(body) {
        Ok(request) => request,
        Err(cause) => return (StatusCode::BAD_REQUEST, cause).into_response(),
    };
    let operation = operation_of(&request.operation);
    let reviewed = match tokio::time::timeout(PATIENCE, reception.desk.review(subject, &request)).await {
        Ok(reviewed) => reviewed,
        Err(_) => Err(ReviewFault("there was no answer in time".to_owned())),
    };
    let outcome = match &reviewed {
        Err(_) => Admitted::Failed,
        Ok(response) if !response.allowed => Admitted::Refused,
        Ok(response) if response.warnings.is_some() => Admitted::Warned,
        Ok(_) => Admitted::Allowed,
    };
    reception.telemetry.admitted(subject, operation, outcome, started.elapsed());
    match reviewed {
        Ok(response) => written(response),
        Err(fault) => {
            tracing::warn!(?subject, operation, %fault, "a write could not be judged");
            (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response()
        }
    }
}

fn parsed(body: &[u8]) -> Result<AdmissionRequest<DynamicObject>, String> {
    // The fault itself would repeat what it found.
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body).map_err(|fault| {
        format!("not an AdmissionReview: line {}, column {}", fault.line(), fault.column())
    })?;
    review.try_into().map_err(|fault| format!("not an AdmissionReview with a request: {fault}"))
}

fn written(response: AdmissionResponse) -> Response {
    match serde_json::to_vec(&response.into_review()) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    }
}

fn operation_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}
