//! HTTP messages as values: what is to be sent, and what came back. They print without their secrets.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, Method};
use secrecy::SecretString;
use url::Url;

use crate::catalogue::hosts;

/// What kind of request it is; decides which recorded address it must match and how it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Authorization endpoint, to which only a browser goes.
    Authorize,
    /// Token endpoint.
    Token,
    /// Revocation endpoint.
    Revoke,
    /// The connector's verification.
    Verify,
    /// The connector's account look-up.
    Account,
    /// The metadata of an issuer, which carries no credential.
    Metadata,
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Verify => "verify",
            Self::Account => "account",
            Self::Metadata => "metadata",
        })
    }
}

/// Where a request may go by the policies that govern its Connection, besides what holds for all requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Host, as addresses write it, and port exempt from the egress guard.
    pub exceptions: BTreeSet<(String, u16)>,
    /// Lists of hosts, each of which has to cover the host and port that the request goes to.
    pub host_lists: Vec<Vec<String>>,
}

impl Reach {
    /// Whether what a request carries may go to the host and port of this address.
    pub fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        self.host_lists.iter().all(|list| hosts::any_covers(list, host, port))
    }
}

/// A request that is ready to send. Its address may carry a secret (a declared query placement), so neither the
/// address nor headers and body are ever printed; only the host is.
pub struct Request {
    /// What it is for.
    pub purpose: Purpose,
    /// HTTP method.
    pub method: Method,
    /// Complete address. Only the provider adapter reads it.
    pub url: Url,
    /// Headers, all treated as secret.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// Body, if there is one; its content type is among the headers.
    pub body: Option<SecretString>,
    /// Where it may go. What builds a request leaves this open; what sends it for a Connection says it.
    pub reach: Reach,
}

impl Request {
    /// `host:port`, which is all that messages and metrics may name of an address.
    pub fn host_and_port(&self) -> String {
        format!(
            "{}:{}",
            self.url.host_str().unwrap_or_default(),
            self.url.port_or_known_default().unwrap_or_default()
        )
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("purpose", &self.purpose)
            .field("method", &self.method)
            .field("host", &self.host_and_port())
            .finish_non_exhaustive()
    }
}

/// What a provider answered. The body may hold tokens, so it is never printed.
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers by lower-case name; of repeated ones the first.
    pub headers: std::collections::BTreeMap<String, String>,
    /// Body, already limited in size.
    pub body: zeroize::Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer. The texts name host and port, never an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// Our own egress guard refused before anything was sent.
    #[error("requests to {host} are not allowed: {cause}")]
    Denied {
        /// Host and port.
        host: String,
        /// Which rule refused.
        cause: String,
    },
    /// No connection could be made (name unknown, refused, reset, filtered).
    #[error("{host} cannot be reached: {cause}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the network said.
        cause: String,
    },
    /// TLS failed, for instance for an unknown certificate authority.
    #[error("{host} did not prove its identity: {cause}")]
    Untrusted {
        /// Host and port.
        host: String,
        /// What TLS said.
        cause: String,
    },
    /// Connected, but no complete answer in time.
    #[error("{host} did not answer within {} s", limit.as_secs())]
    TimedOut {
        /// Host and port.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// More bytes than an answer may have.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The caller's deadline passed before anything was sent (leadership about to end).
    #[error("not sent: this replica's leadership ends too soon")]
    DeadlinePassed,
    /// Too many requests to this host are waiting for our own limits already.
    #[error("not sent: too many requests to {host} are waiting for our own limits")]
    Crowded {
        /// Host and port.
        host: String,
    },
}

impl SendFailure {
    /// Whether our own side held the request back for now, which says nothing about the provider or the credential.
    pub fn is_postponed(&self) -> bool {
        matches!(self, Self::DeadlinePassed | Self::Crowded { .. })
    }
}
