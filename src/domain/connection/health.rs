//! What the last verification said, and when the next one is due. A verification alters no token.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::connection::{
    ConnectionStatus, FailureClass, FailureStatus, VerificationResult, VerificationStatus,
};
use crate::domain::conditions::{Verdict, whole_seconds};
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenState};
use super::prepare::Prepared;
use super::{Assessment, Effect, account, schedule};

/// An inconclusive verification is repeated after this: 96 a day, which together with the tries for a token stays
/// below the 300 requests a day that a failing Connection may make.
const AFTER_INCONCLUSIVE: Duration = Duration::from_mins(15);

/// What is said of a verification that a connector does not declare.
pub(super) const NOT_DECLARED: &str = "the connector declares no verification request";

/// Whether the annotation asks for a verification that has not been made.
pub(super) fn asked_for(observed: &Observed, facts: &ConnectionStatus) -> bool {
    let wanted = observed.verify_at();
    wanted.is_some() && wanted != facts.last_handled_verify_at
}

/// What the credential is called in the record of verifications: a digest, or the token's number.
pub(super) fn credential_name(prepared: &Prepared<'_>, facts: &ConnectionStatus) -> String {
    match &facts.token {
        Some(token) => format!("token-{}", token.sequence),
        None => prepared.credential.clone(),
    }
}

/// The condition Healthy, and whether to verify now.
pub(super) fn assess(
    observed: &Observed,
    prepared: &Prepared<'_>,
    authenticated: &Verdict,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    let declares =
        prepared.definition.declares_verification() || prepared.definition.account_request().is_some();
    if !declares {
        note_that_nothing_is_declared(observed, facts, now);
    }
    if !authenticated.holds() || !declares {
        return Assessment::of(verdict(facts));
    }
    let due = due_at(observed, prepared, facts);
    let allowed = facts
        .last_verification
        .as_ref()
        .map_or(Timestamp::MIN, |last| schedule::verification_allowed_at(last.time.0, last.paid_until.0));
    let due = due.max(allowed);
    let assessment = Assessment::of(verdict(facts));
    if due <= now { assessment.then(Effect::Probe) } else { assessment.again_at(Some(due)) }
}

fn due_at(observed: &Observed, prepared: &Prepared<'_>, facts: &ConnectionStatus) -> Timestamp {
    let Some(last) = facts.last_verification.as_ref() else { return Timestamp::MIN };
    let other = last.credential.as_deref() != Some(credential_name(prepared, facts).as_str());
    let settled = last.result == VerificationResult::Succeeded || facts.token.is_none();
    let unnamed = prepared.definition.account_request().is_some()
        && matches!(&observed.token, TokenState::Present(token) if account::is_awaited(facts, token));
    if asked_for(observed, facts) || (other && (!settled || unnamed)) {
        return Timestamp::MIN;
    }
    let interval = match last.result {
        VerificationResult::Inconclusive => AFTER_INCONCLUSIVE,
        _ => observed.settings.verify_interval,
    };
    schedule::verification_due_at(observed.uid(), last.time.0, interval)
}

/// A verification that somebody asked for, on a connector that declares none, is answered so.
fn note_that_nothing_is_declared(observed: &Observed, facts: &mut ConnectionStatus, now: Timestamp) {
    if !asked_for(observed, facts) {
        return;
    }
    let paid_until = facts.last_verification.as_ref().map_or(now, |last| last.paid_until.0.max(now));
    facts.last_handled_verify_at = observed.verify_at();
    facts.last_verification = Some(VerificationStatus {
        time: whole_seconds(now),
        result: VerificationResult::NotDeclared,
        credential: None,
        paid_until: whole_seconds(paid_until),
        message: Some(NOT_DECLARED.to_owned()),
    });
}

/// Failed attempts in a row from which on somebody should look, instead of trying once more.
const REPEATED: i64 = 3;

/// Whether only a change can help, and changes have not helped so far.
fn is_repeated(failure: &FailureStatus) -> bool {
    failure.class == FailureClass::Permanent && failure.count >= REPEATED
}

/// The condition Healthy as it follows from the last verification.
pub(super) fn verdict(facts: &ConnectionStatus) -> Verdict {
    if let Some(failure) = facts.last_failure.as_ref().filter(|failure| is_repeated(failure)) {
        return Verdict::no(
            Reason::RepeatedAuthenticationFailures,
            format!(
                "{} attempts to authenticate failed in a row, the last one with {}; nothing more is asked of the provider \
                 until the Connection, its Secret or its Connector changes, or somebody authenticates it anew",
                failure.count, failure.reason
            ),
        );
    }
    let Some(last) = &facts.last_verification else {
        return Verdict::unknown(Reason::NotVerified, "nothing has been verified yet");
    };
    let message = last.message.clone().unwrap_or_default();
    match last.result {
        VerificationResult::Succeeded => Verdict::yes(Reason::Verified, ""),
        VerificationResult::Rejected => Verdict::no(Reason::CredentialsRejected, message),
        VerificationResult::Inconclusive => Verdict::no(Reason::ProviderUnavailable, message),
        VerificationResult::NotDeclared => Verdict::unknown(Reason::VerificationNotDeclared, message),
    }
}
