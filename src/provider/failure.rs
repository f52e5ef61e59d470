//! Turns errors of the HTTP library into fixed texts; its own texts may name addresses.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::body::DeadlineReached;
use super::egress::EgressDenial;
use crate::oauth::message::{Response, SendFailure};
use crate::ports::CallClass;

/// What an error of the HTTP library means. `limit` is the time for the whole request.
pub(super) fn send_failure(error: &reqwest::Error, host: &str, limit: Duration) -> SendFailure {
    let host = host.to_owned();
    if let Some(denial) = find::<EgressDenial>(error) {
        return SendFailure::Denied { host, cause: denial.to_string() };
    }
    if find::<DeadlineReached>(error).is_some() {
        return SendFailure::DeadlinePassed;
    }
    if let Some(fault) = find::<rustls::Error>(error) {
        return SendFailure::Untrusted { host, cause: tls_cause(fault).to_owned() };
    }
    let cause = if error.is_dns() {
        "its name cannot be resolved"
    } else if error.is_connect() {
        connect_cause(error)
    } else if error.is_timeout() {
        return SendFailure::TimedOut { host, limit };
    } else if error.is_builder() {
        "the request is not valid HTTP"
    } else {
        "the connection broke before the answer was complete"
    };
    SendFailure::Unreachable { host, cause: cause.to_owned() }
}

/// How the outcome of an exchange is counted.
pub(super) fn call_class(outcome: &Result<Response, SendFailure>) -> CallClass {
    match outcome {
        Ok(response) => match response.status {
            200..=299 => CallClass::Success,
            300..=499 => CallClass::ClientError,
            _ => CallClass::ServerError,
        },
        Err(SendFailure::Denied { .. } | SendFailure::DeadlinePassed | SendFailure::Crowded { .. }) => {
            CallClass::Refused
        }
        Err(SendFailure::Unreachable { .. } | SendFailure::Untrusted { .. }) => CallClass::Unreachable,
        Err(SendFailure::TimedOut { .. }) => CallClass::TimedOut,
        Err(SendFailure::TooLarge { .. }) => CallClass::ServerError,
    }
}

fn connect_cause(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "no connection in time";
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused",
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => "connection reset",
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => "no route to it",
        Some(io::ErrorKind::UnexpectedEof) => "connection closed during the TLS handshake",
        _ => "no connection could be made",
    }
}

fn tls_cause(fault: &rustls::Error) -> &'static str {
    match fault {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => "its certificate comes from an unknown authority",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::Revoked => "its certificate was revoked",
            _ => "its certificate is not valid",
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => "the TLS handshake failed",
    }
}

/// The first error of this type among the causes.
fn find<'a, Wanted: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a Wanted> {
    std::iter::successors(Some(error), |error| cause_of(*error)).find_map(<dyn Error>::downcast_ref)
}

/// Unlike `source`, this does not skip what an I/O error wraps, which is where TLS errors are.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
