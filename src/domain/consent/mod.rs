//! The life of a ConsentRequest: from the link that one person can open to the token that their consent brings.
//!
//! ```text
//! (made) → Issued → Started → Returned → Redeeming → Succeeded
//!             └────────┴──────────┴───────────┴──────→ Failed, or Expired after ten minutes
//! ```
//! Issued → Started and Started → Returned happen where a browser is served, each by compare-and-swap; all else here.

pub mod addresses;
mod check;
mod link;
mod terms;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::consent_request::{ConsentRequestStatus, Phase};
use crate::api::{Connection, ConsentRequest};

use super::admission::{OPEN_LIMIT, too_many};
use super::conditions::{bounded, whole_seconds};
use super::connection::{self, Blocked, is_by_policy};
use super::decision::Decision;
use super::reason::Reason;

use check::{Ended, check};
pub use link::{LinkRefusal, may_open, not_redeemed, refused_by_provider};
pub use terms::{Terms, terms_of};

/// How long a person has, from the moment of the request.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// How long the outcome stays to be read.
pub const KEPT_AFTER_END: Duration = Duration::from_mins(5);

/// What a decision about a ConsentRequest is made from. No field holds a secret.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen")]
pub struct ObservedConsent {
    /// The request, with the status that was last recorded.
    pub request: ConsentRequest,
    /// Whether the stamp of its requester carries our seal.
    pub stamped: bool,
    /// The Connection with the uid that the request names, and all that it depends on.
    pub connection: Option<Box<connection::Observed>>,
    /// Open requests of the same person that are older.
    pub older_open: usize,
    /// What stands in the sealed result.
    pub result: ResultState,
    /// Whether the requester may authenticate the Connection; asked once a receipt is there.
    pub authorized: bool,
    /// Whether the Connection's record comes from this request.
    pub recorded: bool,
    /// Whether the request of an earlier leader can no longer be under way.
    pub settled: bool,
    /// Whether a token could be stored; `None` while nobody has tried.
    pub rehearsal: Option<Result<(), String>>,
}

/// What stands in the sealed result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultState {
    /// Nothing, or no receipt to compare it with yet.
    Absent,
    /// Something that our keys do not open.
    Unreadable,
    /// What the person agreed to, and whether the receipt is the one that their browser was given.
    Opened {
        /// Whether the receipt is the right one.
        receipt_matches: bool,
        /// What the person agreed to, by name.
        terms: BTreeMap<String, String>,
    },
}

/// One thing to do for a ConsentRequest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find out whether a token could be stored.
    Rehearse,
    /// Record that the code is being redeemed, then redeem it.
    Redeem,
    /// Delete the request, whose outcome has been there to read for long enough.
    Delete,
}

type ConsentDecision = Decision<ConsentRequestStatus, Effect>;

/// Decides about a ConsentRequest.
pub fn decide(observed: &ObservedConsent, now: Timestamp) -> ConsentDecision {
    let status = observed.request.status.clone().unwrap_or_default();
    if status.phase.is_some_and(Phase::is_final) {
        return after_end(status, now);
    }
    if status.phase == Some(Phase::Redeeming) {
        return redeeming(observed, status, now);
    }
    match check(observed, now) {
        Err(Ended::Expired) => {
            ended(observed, Phase::Expired, Reason::SessionExpired, expired(observed), now)
        }
        Err(Ended::Failed(blocked)) => ended(observed, Phase::Failed, blocked.reason, blocked.message, now),
        Ok(()) if status.phase.is_none() => issue(observed, status, now),
        Ok(()) if status.phase == Some(Phase::Returned) && observed.request.spec.receipt.is_some() => {
            let status =
                ConsentRequestStatus { phase: Some(Phase::Redeeming), sealed_result: None, ..status };
            Decision { status, events: Vec::new(), effect: Some(Effect::Redeem), next: None }
        }
        Ok(()) => waiting(status, Some(expires_at(&observed.request))),
    }
}

fn issue(observed: &ObservedConsent, status: ConsentRequestStatus, now: Timestamp) -> ConsentDecision {
    if observed.older_open >= OPEN_LIMIT {
        return ended(observed, Phase::Failed, Reason::TooManyConsents, too_many(observed.older_open), now);
    }
    match &observed.rehearsal {
        None => Decision { status, events: Vec::new(), effect: Some(Effect::Rehearse), next: None },
        Some(Err(cause)) => {
            let message =
                format!("the token Secret cannot be written, so nobody is asked to consent: {cause}");
            ended(observed, Phase::Failed, Reason::TokenStoreBlocked, message, now)
        }
        Some(Ok(())) => {
            let metadata = &observed.request.metadata;
            let url = observed.connection.as_ref().map(|connection| {
                addresses::consent_page(
                    &connection.settings.public_url,
                    metadata.namespace.as_deref().unwrap_or_default(),
                    metadata.name.as_deref().unwrap_or_default(),
                )
            });
            let expires_at = expires_at(&observed.request);
            let status = ConsentRequestStatus {
                phase: Some(Phase::Issued),
                url,
                expires_at: Some(whole_seconds(expires_at)),
                ..status
            };
            waiting(status, Some(expires_at))
        }
    }
}

/// A request that was being redeemed when somebody last looked: its code is spent, and either there is a record of
/// it, or the answer is lost.
fn redeeming(observed: &ObservedConsent, status: ConsentRequestStatus, now: Timestamp) -> ConsentDecision {
    if observed.recorded {
        return ended(observed, Phase::Succeeded, Reason::Authenticated, succeeded(), now);
    }
    if !observed.settled {
        return waiting(status, Some(now + Duration::from_secs(1)));
    }
    let message = format!(
        "the operator stopped while it redeemed the code, and the provider's answer, if there was one, is lost; {}",
        again(&observed.request)
    );
    ended(observed, Phase::Failed, Reason::ReconsentRequired, message, now)
}

/// The status of a request whose code was redeemed, or why it was not.
pub fn concluded(
    request: &ConsentRequest,
    outcome: Result<(), Blocked>,
    now: Timestamp,
) -> ConsentRequestStatus {
    match outcome {
        Ok(()) => end(request, Phase::Succeeded, Reason::Authenticated, succeeded(), now),
        Err(blocked) => end(request, Phase::Failed, blocked.reason, blocked.message, now),
    }
}

fn succeeded() -> String {
    "the provider issued a token".to_owned()
}

fn ended(
    observed: &ObservedConsent,
    phase: Phase,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> ConsentDecision {
    after_end(end(&observed.request, phase, reason, message, now), now)
}

fn end(
    request: &ConsentRequest,
    phase: Phase,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> ConsentRequestStatus {
    let status = request.status.clone().unwrap_or_default();
    ConsentRequestStatus {
        phase: Some(phase),
        // A link that opens nothing any more is no link, and what the provider said is of no more use.
        url: None,
        sealed_result: None,
        ended_at: Some(whole_seconds(now)),
        reason: Some(reason.to_string()),
        message: Some(bounded(message)),
        ..status
    }
}

fn after_end(status: ConsentRequestStatus, now: Timestamp) -> ConsentDecision {
    let ended_at = status.ended_at.as_ref().or(status.expires_at.as_ref());
    let gone_at = ended_at.map_or(Timestamp::UNIX_EPOCH, |ended_at| ended_at.0) + KEPT_AFTER_END;
    if now < gone_at {
        return waiting(status, Some(gone_at));
    }
    Decision { status, events: Vec::new(), effect: Some(Effect::Delete), next: None }
}

fn waiting(status: ConsentRequestStatus, next: Option<Timestamp>) -> ConsentDecision {
    Decision { status, events: Vec::new(), effect: None, next }
}

/// When a request expires.
pub fn expires_at(request: &ConsentRequest) -> Timestamp {
    let made = request.metadata.creation_timestamp.as_ref();
    made.map_or(Timestamp::UNIX_EPOCH, |made| made.0) + LIFETIME
}

fn expired(observed: &ObservedConsent) -> String {
    let phase = observed.request.status.as_ref().and_then(|status| status.phase);
    let connection = observed.connection.as_deref();
    let redirect_uri = connection.and_then(|connection| {
        connection.connection.status.as_ref()?.authentication.as_ref()?.redirect_uri.clone()
    });
    let again = again(&observed.request);
    match (phase, redirect_uri) {
        (Some(Phase::Started), Some(redirect_uri)) => format!(
            "nobody came back from the provider within ten minutes; if it complained about the redirect address, \
             register exactly {redirect_uri} for the OAuth app; then {again}"
        ),
        _ => format!("nobody finished within ten minutes; {again}"),
    }
}

/// The next command of a person whose request came to nothing.
pub fn again(request: &ConsentRequest) -> String {
    let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
    format!("run `kubectl liaison connect {} -n {namespace}` again", request.spec.connection_ref.name)
}

/// Whether a consent that failed for this reason says something of its Connection: what the provider answered, or what
/// became of the answer. What the Connection lacks is said by its own conditions, as long as it lacks it. All else is
/// between the request and who made it, and may be anybody's doing.
pub fn says_something_of_connection(reason: Reason) -> bool {
    let by_policy = is_by_policy(reason) && reason != Reason::AccountNotAllowed;
    !by_policy
        && !matches!(
            reason,
            Reason::FolderNotFound
                | Reason::FolderNotReady
                | Reason::NamespaceTerminating
                | Reason::ConnectorNotFound
                | Reason::ConnectorInvalid
                | Reason::AuthTypeRequired
                | Reason::AuthTypeNotSupported
                | Reason::ParametersMissing
                | Reason::ParametersInvalid
                | Reason::CredentialsMissing
                | Reason::ClientCredentialsMissing
                | Reason::RequesterNotStamped
                | Reason::ConsentOutdated
                | Reason::ConsentNotNeeded
                | Reason::Suspended
                | Reason::CodeEntryNotAllowed
                | Reason::TooManyConsents
                | Reason::ReceiptMismatch
                | Reason::AuthenticateForbidden
        )
}

/// Whether a request is for this very Connection.
pub fn concerns(request: &ConsentRequest, connection: &Connection) -> bool {
    request.metadata.namespace == connection.metadata.namespace
        && Some(&request.spec.connection_ref.uid) == connection.metadata.uid.as_ref()
}
