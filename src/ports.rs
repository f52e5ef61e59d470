//! What the adapters need of each other and of the process, as the few traits that join them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::api::AuthType;
use crate::domain::connection::Blocked;
use crate::domain::consent::LinkRefusal;
use crate::domain::hand_out::Wanted;
use crate::oauth::ProviderError;
use crate::oauth::message::{Purpose, Request, Response, SendFailure};

/// Sends a request to a provider, within limits of time, size and rate, and only where egress is allowed.
#[async_trait]
pub trait ProviderClient: Send + Sync {
    /// Sends once, never follows a redirect, never retries. `deadline` is checked just before bytes are written:
    /// past it nothing is sent and the answer is [`SendFailure::DeadlinePassed`].
    async fn send(&self, request: Request, deadline: Option<Instant>) -> Result<Response, SendFailure>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Whether, and for how long, this replica is the one that acts.
pub trait Leadership: Send + Sync {
    /// Until when another replica cannot have taken over, by this process's monotonic clock. `None`: not leading.
    fn leads_until(&self) -> Option<Instant>;
    /// Since when this replica leads.
    fn leads_since(&self) -> Option<Instant>;
}

/// Receives what is worth counting. Implementations must not block.
pub trait Telemetry: Send + Sync {
    /// One pass over one object has ended.
    fn reconciled(&self, kind: &'static str, duration: Duration, failed: bool);
    /// A pass has begun (`change` is 1) or ended (-1).
    fn running(&self, kind: &'static str, change: i64);
    /// A token was asked for. `result` is `Succeeded` or the reason why not.
    fn token_requested(&self, result: &str, duration: Duration);
    /// The API server asked about a write.
    fn admitted(&self, subject: Reviewed, operation: &'static str, outcome: Admitted, duration: Duration);
    /// A process asked for a credential.
    fn handed_out(&self, outcome: HandOut, duration: Duration);
}

/// How a process's question for a credential ended, as coarsely as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandOut {
    /// It got a token.
    Token,
    /// It got the values of a Secret.
    Static,
    /// It was told that the application needs no credential.
    NothingNeeded,
    /// The question could not be understood.
    Malformed,
    /// Nothing shows who asks.
    Unauthenticated,
    /// There is no such connection, or it may not be used by who asks.
    NotAccessible,
    /// There is nothing to hand out until somebody has acted.
    Refused,
    /// There is nothing to hand out now.
    Waiting,
    /// Too many questions.
    Limited,
    /// There was no answer, by our own fault or the API server's.
    Failed,
}

/// What the API server asks about, a webhook each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reviewed {
    /// A Connection that was made or whose spec was changed.
    Connections,
    /// Parameters of a Connection that refers to Secrets.
    Parameters,
    /// A Folder that was made or is to be deleted.
    Folders,
    /// A ConsentRequest that was made.
    ConsentRequests,
    /// A ProcessBinding that names another namespace.
    ProcessBindings,
}

/// What became of a write that the API server asked about, as coarsely as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admitted {
    /// It passed.
    Allowed,
    /// It passed, and its author was told something.
    Warned,
    /// It was refused.
    Refused,
    /// There was no answer; the webhook's failurePolicy decided.
    Failed,
}

/// Why a write could not be judged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReviewFault(pub String);

/// Judges writes before the API server stores them.
#[async_trait]
pub trait AdmissionDesk: Send + Sync {
    /// What to answer. An error leaves the decision to the webhook's failurePolicy.
    async fn review(
        &self,
        subject: Reviewed,
        request: &AdmissionRequest<DynamicObject>,
    ) -> Result<AdmissionResponse, ReviewFault>;
}

/// What a process gets of a Connection that it may use. A refresh token has no place in it.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// The credential.
    pub credential: Credential,
    /// The auth type in effect.
    pub auth_type: AuthType,
    /// Where API requests start.
    pub base_url: Option<String>,
    /// The account at the provider.
    pub account: Option<String>,
}

/// A credential, as processes use it. It prints without its secrets, and wipes them when it is dropped.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An access token, to be sent as `Authorization: Bearer` (RFC 6750) where the Connector says nothing else.
    Token {
        /// The token.
        access_token: SecretString,
        /// When it stops being valid; absent where it does not.
        expires_at: Option<Timestamp>,
        /// What the provider granted.
        granted_scopes: Vec<String>,
    },
    /// The values of the Connector's secret parameters, by their names.
    Static(BTreeMap<String, SecretString>),
    /// The application needs none.
    Nothing,
}

/// A process's question for the credential of a Connection.
pub struct CredentialRequest {
    /// The ServiceAccount token that it brings.
    pub bearer: Option<SecretString>,
    /// The address that it asks from.
    pub source: IpAddr,
    /// What it asks for; or why that cannot be understood.
    pub wanted: Result<Wanted, String>,
}

/// Answers processes that ask for credentials.
#[async_trait]
pub trait TokenDesk: Send + Sync {
    /// What the process gets, and the Connection that it is of as `namespace/name`.
    async fn answer(&self, request: CredentialRequest) -> Result<(String, HandedOut), NotHandedOut>;
}

/// Why a process gets nothing.
#[derive(Clone, Debug)]
pub enum NotHandedOut {
    /// It brings no token.
    NoToken,
    /// Its token is not accepted.
    TokenRejected,
    /// Its token is bound to no Pod.
    BoundToNoPod {
        /// What a token that is taken has to be for.
        audience: String,
    },
    /// The question cannot be understood.
    Malformed(String),
    /// Too many questions; worth another one after that time.
    Limited(Duration),
    /// What it asks for is not there, or not for it.
    NotAccessible(Blocked),
    /// Nothing is handed out until somebody has acted.
    Refused(Blocked),
    /// Nothing is handed out now.
    Waiting(Blocked),
    /// Our own side's fault; the log has the cause.
    TryLater,
}

/// A TLS certificate with its key, both in DER.
pub struct Leaf {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its private key (PKCS #8).
    pub key: Zeroizing<Vec<u8>>,
}

/// Shows a certificate to everyone who connects from now on.
pub trait CertificateHolder: Send + Sync {
    /// Replaces the certificate; open connections keep theirs. The error says what is wrong with it.
    fn hold(&self, leaf: Leaf) -> Result<(), String>;
}

/// How a request to a provider ended, as coarsely as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    /// An answer with a status of 2xx.
    Success,
    /// An answer with a status of 3xx or 4xx; redirects are never followed.
    ClientError,
    /// An answer with any other status, or one that is larger than allowed.
    ServerError,
    /// Our own side refused, before anything was sent where it could know: the egress guard, the limits per host, or the deadline.
    Refused,
    /// No connection, no trust in it, or it broke before the answer was complete.
    Unreachable,
    /// No complete answer in time.
    TimedOut,
}

/// Is told of every request to a provider, once it has ended; for metrics.
pub trait CallObserver: Send + Sync {
    /// `host` is `host:port`; for [`CallClass::Refused`] it may be any text that a user wrote. `duration` counts
    /// from when the request was handed to the connection, without waiting for our own limits.
    fn observed(&self, purpose: Purpose, host: &str, class: CallClass, duration: Duration);
}

/// What the internal listener tells about this process.
pub trait SelfReport: Send + Sync {
    /// Whether this process can do its work; if not, what it waits for.
    fn ready(&self) -> Result<(), String>;
    /// All metrics, in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// Finds what a link leads to, and records what browsers do. It never asks a provider for anything.
#[async_trait]
pub trait ConsentDesk: Send + Sync {
    /// What a person is asked to agree to. Changes nothing, so that link scanners burn nothing.
    async fn invite(&self, link: &ConsentLink) -> Result<Invitation, VisitRefusal>;
    /// The person agrees to go on: the link is used up, once.
    async fn depart(&self, link: &ConsentLink) -> Result<Departure, VisitRefusal>;
    /// The browser comes back. `path` and `query` are those of the callback; `cookies` are the sealed sessions that
    /// it brings, by the uid of their request.
    async fn arrive(
        &self,
        path: &str,
        query: &str,
        cookies: &[(String, String)],
    ) -> Result<Arrival, VisitRefusal>;
}

/// A link as it was opened.
pub struct ConsentLink {
    /// Namespace of the ConsentRequest.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The start secret. Never logged.
    pub start: String,
}

/// What a person is asked to agree to.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Who asks, as the API server knows them.
    pub requester: String,
    /// The folder's name.
    pub folder: String,
    /// The Connection's namespace.
    pub namespace: String,
    /// The Connection's name.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// The application.
    pub application: String,
    /// Scopes that are asked for.
    pub scopes: Vec<String>,
    /// Host that the person is sent to.
    pub host: String,
}

/// Where a browser goes to, and what it carries.
pub struct Departure {
    /// The authorization request. It holds the state: never logged.
    pub location: String,
    /// Uid of the request, which names the cookie.
    pub uid: String,
    /// The sealed session.
    pub sealed: String,
    /// How long the session is good for.
    pub max_age: Duration,
}

/// Where a browser that came back goes to.
pub struct Arrival {
    /// Uid of the request, whose cookie is of no more use.
    pub uid: String,
    /// What becomes of the receipt.
    pub receipt: Receipt,
}

/// How the receipt reaches the command. Never logged.
pub enum Receipt {
    /// The browser brings it: the address on the requester's own machine, with the receipt.
    Brought(String),
    /// The person enters it as a code, where a policy allows that.
    Entered(String),
}

/// Why a browser gets no further.
#[derive(Clone, Debug)]
pub enum VisitRefusal {
    /// The link or the answer is not good.
    Link(LinkRefusal),
    /// Something has to be mended first.
    Blocked(Blocked),
    /// The provider said no.
    Provider {
        /// What that means.
        blocked: Blocked,
        /// Its own words, which may be anybody's: to be shown as such, escaped.
        error: ProviderError,
    },
    /// Our own side's fault; the log has the cause.
    TryLater,
}
