//! The public listener, which people's browsers reach. It knows no probe, no metric and no secret.

use axum::Router;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// What a browser is told with every answer: nothing may be framed, loaded, kept or passed on.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The front page says what this is; everything else is not found.
pub fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|| async {
                (
                    HEADERS,
                    "Liaison connects this cluster to applications. See `kubectl get connections -A`.\n",
                )
            }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, HEADERS, "not found\n").into_response() })
}
