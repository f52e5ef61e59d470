//! The adapter itself.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use reqwest::redirect;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::body::{DeadlineBody, has_passed};
use super::egress::{EgressDenial, EgressPolicy, Route};
use super::failure::{call_class, send_failure};
use super::limits::{HostLimits, Place};
use super::resolver::{GuardedResolver, NameLookup, SystemNames};
use crate::oauth::message::{Request, Response, SendFailure};
use crate::ports::{CallClass, CallObserver, ProviderClient};

const USER_AGENT: &str = concat!("liaison/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than what most servers keep, so that a request seldom meets a connection that is just being closed: then
/// nobody knows whether it was handled, which costs a rotating refresh token.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How requests are sent. The defaults suit a public provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Time for a whole request, from connecting to the last byte of the answer, and for waiting before it;
    /// 10 s by default.
    pub request_timeout: Duration,
    /// Largest body of an answer in bytes; 1 MiB by default.
    pub body_limit: usize,
    /// Requests at the same time to one host and port; 8 by default, at least 1.
    pub per_host_concurrency: usize,
    /// Requests in a second to one host and port; 20 by default, at least 1.
    pub per_host_rate: u32,
    /// What may be reached.
    pub egress: EgressPolicy,
    /// Certificate authorities to trust beside the system's, as PEM; may be empty.
    pub extra_ca_pem: Vec<u8>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            body_limit: 1024 * 1024,
            per_host_concurrency: 8,
            per_host_rate: 20,
            egress: EgressPolicy::default(),
            extra_ca_pem: Vec::new(),
        }
    }
}

/// Why the adapter cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderSetupFault {
    /// The extra certificate authorities are not PEM certificates.
    #[error("the extra certificate authorities are not certificates in PEM form")]
    CertificateAuthorities,
    /// A limit that would let nothing through.
    #[error("{limit} must be at least 1")]
    ZeroLimit {
        /// The name of the setting.
        limit: &'static str,
    },
    /// The TLS library refused: a certificate authority that it cannot use, or none on this system.
    #[error("TLS cannot be set up with the system's and the extra certificate authorities")]
    Tls,
}

/// Sends requests to providers with reqwest.
pub struct HttpProvider {
    guarded: reqwest::Client,
    exempted: reqwest::Client,
    policy: Arc<EgressPolicy>,
    limits: HostLimits,
    request_timeout: Duration,
    body_limit: usize,
    observer: Arc<dyn CallObserver>,
}

/// What a request needs to be sent, once our own side allows it.
struct Admitted {
    route: Route,
    _place: Place,
}

impl HttpProvider {
    /// An adapter with connections of its own. `observer` is told of every request.
    pub fn new(
        settings: ProviderSettings,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, ProviderSetupFault> {
        Self::with_names(settings, observer, &(Arc::new(SystemNames) as Arc<dyn NameLookup>))
    }

    pub(super) fn with_names(
        settings: ProviderSettings,
        observer: Arc<dyn CallObserver>,
        names: &Arc<dyn NameLookup>,
    ) -> Result<Self, ProviderSetupFault> {
        let rate = NonZeroU32::new(settings.per_host_rate)
            .ok_or(ProviderSetupFault::ZeroLimit { limit: "the rate per host" })?;
        if settings.per_host_concurrency == 0 {
            return Err(ProviderSetupFault::ZeroLimit { limit: "the concurrency per host" });
        }
        let policy = Arc::new(settings.egress);
        let authorities = certificates(&settings.extra_ca_pem)?;
        let client = |route| {
            let (policy, names) = (Arc::clone(&policy), Arc::clone(names));
            let resolver = GuardedResolver { route, policy, names };
            http_client(resolver, authorities.clone(), settings.per_host_concurrency)
        };
        Ok(Self {
            guarded: client(Route::Guarded)?,
            exempted: client(Route::Exempted)?,
            limits: HostLimits::new(settings.per_host_concurrency, rate),
            request_timeout: settings.request_timeout,
            body_limit: settings.body_limit,
            policy,
            observer,
        })
    }

    /// Everything that can refuse before a connection is used: egress, limits per host, deadline.
    async fn admit(
        &self,
        request: &Request,
        host: &str,
        deadline: Option<Instant>,
    ) -> Result<Admitted, SendFailure> {
        let reach = &request.reach;
        let checked = self.policy.check_url_with(&request.url, &reach.exceptions);
        let route = checked.map_err(|denial| denied(host, &denial))?;
        if !reach.covers(&request.url) {
            return Err(denied(host, "no policy lets what it carries go to that host"));
        }
        if has_passed(deadline) {
            return Err(SendFailure::DeadlinePassed);
        }
        let latest = Instant::now() + self.request_timeout;
        let give_up = deadline.map_or(latest, |deadline| deadline.min(latest));
        match self.limits.acquire(host, give_up).await {
            Ok(place) => Ok(Admitted { route, _place: place }),
            Err(_) if deadline.is_some_and(|deadline| deadline <= latest) => Err(SendFailure::DeadlinePassed),
            Err(_) => Err(SendFailure::Crowded { host: host.to_owned() }),
        }
    }

    async fn exchange(
        &self,
        route: Route,
        request: Request,
        host: &str,
        deadline: Option<Instant>,
    ) -> Result<Response, SendFailure> {
        let request = outgoing(request, host, deadline)?;
        let client = match route {
            Route::Guarded => &self.guarded,
            Route::Exempted => &self.exempted,
        };
        if has_passed(deadline) {
            return Err(SendFailure::DeadlinePassed);
        }
        let response = client
            .execute(request)
            .await
            .map_err(|error| send_failure(&error, host, self.request_timeout))?;
        let peer = response.remote_addr().ok_or(EgressDenial::UnknownPeer);
        peer.and_then(|peer| route.check_address(&self.policy, peer.ip()))
            .map_err(|denial| denied(host, &denial))?;
        self.read(response, host).await
    }

    async fn read(&self, mut response: reqwest::Response, host: &str) -> Result<Response, SendFailure> {
        let too_large = || SendFailure::TooLarge { host: host.to_owned(), limit: self.body_limit };
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > self.body_limit {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(announced));
        while let Some(chunk) =
            response.chunk().await.map_err(|error| send_failure(&error, host, self.request_timeout))?
        {
            if chunk.len() > self.body_limit - body.len() {
                return Err(too_large());
            }
            append(&mut body, &chunk);
        }
        Ok(Response { status: response.status().as_u16(), headers: text_headers(&response), body })
    }
}

#[async_trait]
impl ProviderClient for HttpProvider {
    async fn send(&self, request: Request, deadline: Option<Instant>) -> Result<Response, SendFailure> {
        let (purpose, host) = (request.purpose, request.host_and_port());
        let admitted = match self.admit(&request, &host, deadline).await {
            Ok(admitted) => admitted,
            Err(failure) => {
                self.observer.observed(purpose, &host, CallClass::Refused, Duration::ZERO);
                return Err(failure);
            }
        };
        let started = Instant::now();
        let exchange = self.exchange(admitted.route, request, &host, deadline);
        let outcome = tokio::time::timeout(self.request_timeout, exchange).await.unwrap_or_else(|_| {
            Err(SendFailure::TimedOut { host: host.clone(), limit: self.request_timeout })
        });
        self.observer.observed(purpose, &host, call_class(&outcome), started.elapsed());
        outcome
    }
}

fn http_client(
    resolver: GuardedResolver,
    authorities: Vec<reqwest::Certificate>,
    connections_per_host: usize,
) -> Result<reqwest::Client, ProviderSetupFault> {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(connections_per_host)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .dns_resolver(resolver)
        .tls_certs_merge(authorities)
        .build()
        .map_err(|_| ProviderSetupFault::Tls)
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, ProviderSetupFault> {
    if pem.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    match reqwest::Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ProviderSetupFault::CertificateAuthorities),
    }
}

fn outgoing(
    request: Request,
    host: &str,
    deadline: Option<Instant>,
) -> Result<reqwest::Request, SendFailure> {
    let Request { purpose: _, method, url, headers, body, reach: _ } = request;
    let mut outgoing = reqwest::Request::new(method, url);
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| denied(host, "a header has characters that HTTP does not allow"))?;
        value.set_sensitive(true);
        outgoing.headers_mut().append(name, value);
    }
    if let Some(body) = body {
        *outgoing.body_mut() = Some(reqwest::Body::wrap(DeadlineBody::new(body, deadline)));
    }
    Ok(outgoing)
}

fn text_headers(response: &reqwest::Response) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            headers.entry(name.as_str().to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    headers
}

/// Appends without leaving an unwiped copy behind when there is no room.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut larger = Vec::with_capacity((body.len() + chunk.len()) * 2);
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(chunk);
}

fn denied(host: &str, cause: &(impl ToString + ?Sized)) -> SendFailure {
    SendFailure::Denied { host: host.to_owned(), cause: cause.to_string() }
}
