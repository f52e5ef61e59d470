//! The listener for workloads that ask for a credential. Its answers have the shape of a token endpoint's (RFC 6749,
//! section 5).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::domain::connection::Blocked;
use crate::domain::hand_out::wanted;
use crate::oauth::hand_out_answer::{Described, ErrorAnswer, plain_answer, static_answer, token_answer};
use crate::oauth::service_account::bearer;
use crate::ports::{
    Clock, Credential, CredentialRequest, HandOut, HandedOut, NotHandedOut, Telemetry, TokenDesk,
};

/// Longest form that is read, in bytes.
const FORM_LIMIT: usize = 4096;

/// How long a form may take to arrive, and an answer to be made.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this it is worth asking again where nothing is handed out now.
const RETRY: Duration = Duration::from_secs(5);

const FORM: &str = "application/x-www-form-urlencoded";

const CHALLENGE: &str = "Bearer realm=\"liaison\"";

/// Where there was a token (RFC 6750, section 3.1).
const INVALID_TOKEN: &str = "Bearer realm=\"liaison\", error=\"invalid_token\"";

#[derive(Clone)]
struct Counter {
    desk: Arc<dyn TokenDesk>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<dyn Telemetry>,
}

/// `POST /token`.
pub fn router(desk: Arc<dyn TokenDesk>, clock: Arc<dyn Clock>, telemetry: Arc<dyn Telemetry>) -> Router {
    Router::new().route("/token", post(asked)).with_state(Counter { desk, clock, telemetry })
}

async fn asked(
    State(counter): State<Counter>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (outcome, response) = match tokio::time::timeout(PATIENCE, answered(&counter, source, request)).await
    {
        Ok(answered) => answered,
        Err(_) => refusal(&NotHandedOut::TryLater),
    };
    counter.telemetry.handed_out(outcome, started.elapsed());
    response
}

async fn answered(counter: &Counter, source: SocketAddr, request: Request) -> (HandOut, Response) {
    let (head, body) = request.into_parts();
    let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let request = CredentialRequest {
        bearer: authorization.and_then(bearer),
        source: source.ip().to_canonical(),
        wanted: match form(&head.headers, body).await {
            Ok(parameters) => wanted(&parameters),
            Err(why) => Err(why.to_owned()),
        },
    };
    match counter.desk.answer(request).await {
        Ok((connection, handed_out)) => success(&connection, &handed_out, counter.clock.as_ref()),
        Err(why) => refusal(&why),
    }
}

async fn form(headers: &HeaderMap, body: Body) -> Result<Vec<(String, String)>, &'static str> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(FORM) {
        return Err("the body has to be a form: application/x-www-form-urlencoded");
    }
    let body = to_bytes(body, FORM_LIMIT).await.map_err(|_| "the body cannot be read, or is too large")?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

fn success(connection: &str, handed_out: &HandedOut, clock: &dyn Clock) -> (HandOut, Response) {
    let HandedOut { credential, auth_type, base_url, account } = handed_out;
    let described = Described {
        connection: connection.to_owned(),
        auth_type: auth_type.to_string(),
        base_url: base_url.clone(),
        account: account.clone(),
    };
    let (outcome, body) = match credential {
        Credential::Token { access_token, expires_at, granted_scopes } => {
            let body = token_answer(access_token, *expires_at, granted_scopes, &described, clock.now());
            (HandOut::Token, body)
        }
        Credential::Static(values) => (HandOut::Static, static_answer(values, &described)),
        Credential::Nothing => (HandOut::NothingNeeded, plain_answer(&described)),
    };
    match body {
        Some(body) => (outcome, json(StatusCode::OK, wiped(body))),
        None => refusal(&NotHandedOut::TryLater),
    }
}

/// Bytes that are wiped once they are sent.
fn wiped(body: Zeroizing<Vec<u8>>) -> Bytes {
    struct Owner(Zeroizing<Vec<u8>>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Owner(body))
}

fn refusal(why: &NotHandedOut) -> (HandOut, Response) {
    match why {
        NotHandedOut::NoToken => {
            unauthenticated("send the token of a service account as Authorization: Bearer", CHALLENGE)
        }
        NotHandedOut::TokenRejected => unauthenticated(
            "the token is not a service account's, has ended, is for another audience, or its pod is gone",
            INVALID_TOKEN,
        ),
        NotHandedOut::BoundToNoPod { audience } => {
            let message = format!(
                "the token is bound to no pod; send the one of a projected volume: serviceAccountToken with audience \"{audience}\""
            );
            unauthenticated(&message, INVALID_TOKEN)
        }
        NotHandedOut::Malformed(message) => {
            let answer = ErrorAnswer::new("invalid_request", None, message);
            (HandOut::Malformed, error(StatusCode::BAD_REQUEST, &answer))
        }
        NotHandedOut::NotAccessible(blocked) => {
            (HandOut::NotAccessible, error(StatusCode::FORBIDDEN, &blocking("access_denied", blocked)))
        }
        NotHandedOut::Refused(blocked) => {
            (HandOut::Refused, error(StatusCode::BAD_REQUEST, &blocking("invalid_grant", blocked)))
        }
        NotHandedOut::Waiting(blocked) => {
            let answer = blocking("temporarily_unavailable", blocked);
            (HandOut::Waiting, later(error(StatusCode::SERVICE_UNAVAILABLE, &answer), RETRY))
        }
        NotHandedOut::Limited(wait) => {
            let answer = ErrorAnswer::new("slow_down", None, "too many requests");
            (HandOut::Limited, later(error(StatusCode::TOO_MANY_REQUESTS, &answer), *wait))
        }
        NotHandedOut::TryLater => {
            let answer =
                ErrorAnswer::new("server_error", None, "no answer can be given now; try again later");
            (HandOut::Failed, later(error(StatusCode::SERVICE_UNAVAILABLE, &answer), RETRY))
        }
    }
}

fn unauthenticated(message: &str, challenge: &'static str) -> (HandOut, Response) {
    let answer = ErrorAnswer::new("invalid_client", None, message);
    (HandOut::Unauthenticated, challenged(&answer, challenge))
}

fn blocking(code: &'static str, blocked: &Blocked) -> ErrorAnswer {
    ErrorAnswer::new(code, Some(blocked.reason.as_str()), &blocked.message)
}

fn error(status: StatusCode, answer: &ErrorAnswer) -> Response {
    json(status, Bytes::from(answer.to_json()))
}

fn challenged(answer: &ErrorAnswer, challenge: &'static str) -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, answer);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// With the whole seconds after which it is worth trying again.
fn later(mut response: Response, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// Nothing may keep it (RFC 6749, section 5.1).
fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
