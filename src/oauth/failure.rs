//! What went wrong with a request, whether waiting helps, and who can mend it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::message::SendFailure;
use crate::domain::reason::Reason;

/// Longest wait that a provider's Retry-After is believed for.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_hours(1);

/// A request that did not lead to what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word for it.
    pub reason: Reason,
    /// Whether waiting helps.
    pub class: Class,
    /// What happened, at which host, and what to do next. It holds no address, no secret and no text of the
    /// provider's own.
    pub message: String,
}

/// Whether waiting helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same request would fail again: something has to change first.
    Permanent,
    /// The same request may succeed later.
    Transient {
        /// How long the provider asks to wait, at most [`RETRY_AFTER_LIMIT`].
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// A failure that only a change can mend.
    pub fn permanent(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, class: Class::Permanent, message: message.into() }
    }

    /// A failure that may pass.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, class: Class::Transient { retry_after: None }, message: message.into() }
    }

    /// Whether waiting helps.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, Class::Transient { .. })
    }

    /// How long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.class {
            Class::Transient { retry_after } => retry_after,
            Class::Permanent => None,
        }
    }

    /// A request that got no answer. `egress_addresses` are the addresses that our requests come from, for
    /// providers that accept only listed ones.
    pub fn from_send(failure: &SendFailure, egress_addresses: &[String]) -> Self {
        match failure {
            // A name may come to stand for another address.
            SendFailure::Denied { .. } => Self::transient(
                Reason::EgressDenied,
                format!("{failure}. An administrator can name the host and port in egressExceptions."),
            ),
            SendFailure::Unreachable { .. } => Self::transient(
                Reason::EgressBlocked,
                format!(
                    "{failure}. The provider may only accept listed addresses; {}.",
                    ours(egress_addresses)
                ),
            ),
            SendFailure::Untrusted { .. } => Self::transient(
                Reason::ProviderUntrusted,
                format!("{failure}. An administrator can add the authority that issued its certificate."),
            ),
            SendFailure::TimedOut { .. } => {
                Self::transient(Reason::ProviderUnavailable, format!("{failure}. It is asked again later."))
            }
            SendFailure::TooLarge { .. } => Self::transient(
                Reason::AnswerInvalid,
                format!("{failure}. Check that the connector's address is the right one."),
            ),
            SendFailure::DeadlinePassed | SendFailure::Crowded { .. } => {
                Self::transient(Reason::ProviderUnavailable, format!("{failure}; it is sent later."))
            }
        }
    }

    /// An answer of which only the status says anything: 408, 429 and 5xx may pass, everything else needs a
    /// change.
    pub fn from_status(host: &str, status: u16, headers: &BTreeMap<String, String>, now: Timestamp) -> Self {
        let class = Class::Transient { retry_after: retry_after(headers, now) };
        match status {
            429 => Self {
                reason: Reason::RateLimited,
                class,
                message: format!("{host} asks for fewer requests (status 429). It is asked again later."),
            },
            408 | 500..=599 => Self {
                reason: Reason::ProviderUnavailable,
                class,
                message: format!("{host} answered with status {status}. It is asked again later."),
            },
            300..=399 => Self::permanent(
                Reason::RequestRejected,
                format!(
                    "{host} answered with a redirect, which is never followed (status {status}). \
                     An administrator can correct the connector's address."
                ),
            ),
            _ => Self::permanent(
                Reason::RequestRejected,
                format!(
                    "{host} rejected the request (status {status}). Check the connection's parameters; \
                     an administrator can check the connector's description."
                ),
            ),
        }
    }
}

/// Whether the status means that the same request may succeed later.
pub fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// How long the provider asks to wait: seconds or an HTTP date (RFC 9110, section 10.2.3), at most
/// [`RETRY_AFTER_LIMIT`]. A date that has passed means no wait.
pub fn retry_after(headers: &BTreeMap<String, String>, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long wait all the same.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_LIMIT))
}

fn ours(egress_addresses: &[String]) -> String {
    if egress_addresses.is_empty() {
        "ours are not configured, ask whoever runs Liaison".to_owned()
    } else {
        format!("ours are {}", egress_addresses.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn host() -> String {
        "api.example.com:443".to_owned()
    }

    fn headers(retry_after: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("retry-after".to_owned(), retry_after.to_owned())])
    }

    #[rstest]
    #[case(400, false)]
    #[case(401, false)]
    #[case(403, false)]
    #[case(404, false)]
    #[case(302, false)]
    #[case(408, true)]
    #[case(429, true)]
    #[case(500, true)]
    #[case(502, true)]
    #[case(503, true)]
    #[case(504, true)]
    #[case(599, true)]
    fn n16_only_throttling_and_server_errors_are_retried(#[case] status: u16, #[case] transient: bool) {
        let failure = Failure::from_status(&host(), status, &BTreeMap::new(), now());
        assert_eq!(failure.is_transient(), transient);
        assert_eq!(may_pass(status), transient);
        assert!(failure.message.contains("api.example.com:443"));
    }

    #[rstest]
    #[case::seconds("120", Some(120))]
    #[case::zero("0", Some(0))]
    #[case::spaces(" 7 ", Some(7))]
    #[case::date("Tue, 24 Nov 2026 12:01:30 GMT", Some(90))]
    #[case::past("Tue, 24 Nov 2026 11:00:00 GMT", Some(0))]
    #[case::capped("86400", Some(3600))]
    #[case::capped_date("Wed, 25 Nov 2026 12:00:00 GMT", Some(3600))]
    #[case::huge("99999999999999999999999999", Some(3600))]
    #[case::negative("-5", None)]
    #[case::words("soon", None)]
    #[case::empty("", None)]
    fn n16_retry_after_is_honoured_up_to_an_hour(#[case] text: &str, #[case] seconds: Option<u64>) {
        let failure = Failure::from_status(&host(), 429, &headers(text), now());
        assert_eq!(failure.retry_after(), seconds.map(Duration::from_secs));
        assert_eq!(failure.reason, Reason::RateLimited);
    }

    #[test]
    fn a_permanent_failure_has_no_wait() {
        assert_eq!(Failure::from_status(&host(), 404, &headers("5"), now()).retry_after(), None);
    }

    #[rstest]
    #[case(SendFailure::Denied { host: host(), cause: "private range".into() }, Reason::EgressDenied, true)]
    #[case(SendFailure::Unreachable { host: host(), cause: "refused".into() }, Reason::EgressBlocked, true)]
    #[case(SendFailure::Untrusted { host: host(), cause: "unknown issuer".into() }, Reason::ProviderUntrusted, true)]
    #[case(SendFailure::TimedOut { host: host(), limit: Duration::from_secs(10) }, Reason::ProviderUnavailable, true)]
    #[case(SendFailure::TooLarge { host: host(), limit: 10 }, Reason::AnswerInvalid, true)]
    #[case(SendFailure::DeadlinePassed, Reason::ProviderUnavailable, true)]
    fn a_request_without_answer_has_a_reason_and_a_class(
        #[case] cause: SendFailure,
        #[case] reason: Reason,
        #[case] transient: bool,
    ) {
        let failure = Failure::from_send(&cause, &[]);
        assert_eq!((failure.reason, failure.is_transient()), (reason, transient));
    }

    #[test]
    fn s15_an_unreachable_provider_is_named_with_our_addresses() {
        let cause = SendFailure::Unreachable { host: host(), cause: "connection reset".into() };
        let failure = Failure::from_send(&cause, &["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]);
        assert_eq!(
            failure.message,
            "api.example.com:443 cannot be reached: connection reset. The provider may only accept listed \
             addresses; ours are 192.0.2.1, 192.0.2.2."
        );
    }
}
