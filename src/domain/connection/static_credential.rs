//! Connections whose credential is read from its Secret at each use. Nothing is kept of it but a keyed digest;
//! whether it authenticates comes from verification.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::connection::{ConnectionStatus, FailureClass, FailureStatus, State, VerificationResult};
use crate::domain::conditions::Verdict;
use crate::domain::reason::Reason;

use super::observed::Observed;
use super::prepare::Prepared;
use super::{Assessment, Effect, health, schedule};

/// Whether the credential authenticates, and whether to ask the provider now.
pub(super) fn assess(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    if let Some(moved) = moved(prepared, facts) {
        return Assessment::of(moved);
    }
    if !prepared.definition.declares_verification() {
        return Assessment::of(Verdict::yes(
            Reason::CredentialsUnverified,
            "the connector declares no verification; the credential is taken as it is",
        ));
    }
    if facts.accepted_credential.as_deref() == Some(&prepared.credential) {
        return Assessment::of(accepted());
    }
    unproven(observed, prepared, facts, now)
}

/// The verdict on a credential that the provider accepted.
pub(super) fn accepted() -> Verdict {
    Verdict::yes(Reason::CredentialsVerified, "the provider accepted the credential")
}

/// Keeps the credential from other addresses than the ones that it was first meant for.
fn moved(prepared: &Prepared<'_>, facts: &mut ConnectionStatus) -> Option<Verdict> {
    let wanted = prepared.asked.clone();
    let anew = wanted.is_some() && wanted != facts.last_handled_reauthenticate_at;
    if anew {
        facts.last_handled_reauthenticate_at = wanted;
        facts.accepted_credential = None;
        facts.last_failure = None;
        if let Some(last) = &mut facts.last_verification {
            // What was said of the credential before no longer counts.
            last.credential = None;
        }
    }
    // A Connector may declare no address at all; one that comes later is a change as well.
    let first = facts.credential_targets.is_empty() && facts.state == State::Inactive;
    if anew || first {
        facts.credential_targets.clone_from(&prepared.targets);
    }
    let known: BTreeSet<_> = facts.credential_targets.iter().collect();
    (known != prepared.targets.iter().collect()).then(|| {
        Verdict::no(
            Reason::ReauthenticationRequired,
            format!(
                "the credential would go to [{}], but it was meant for [{}]; nothing was sent there. Somebody with \
                 the right to authenticate has to set the annotation liaison.dev/reauthenticate-at",
                prepared.targets.join(", "),
                facts.credential_targets.join(", ")
            ),
        )
    })
}

/// A credential that the provider has not accepted yet.
fn unproven(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    let asked_for = health::asked_for(observed, facts);
    let last = facts.last_verification.as_ref();
    let same = last.filter(|last| last.credential.as_deref() == Some(&prepared.credential));
    let rejected = same.filter(|last| last.result == VerificationResult::Rejected);
    if let Some(rejected) = rejected
        && !asked_for
    {
        let message = rejected.message.clone().unwrap_or_default();
        return Assessment::of(Verdict::no(Reason::CredentialsRejected, message));
    }
    let verdict = facts.last_failure.as_ref().map_or_else(
        || {
            Verdict::no(
                Reason::AwaitingAuthentication,
                "the provider is being asked whether it accepts the credential",
            )
        },
        failed,
    );
    let allowed_at = last.map(|last| schedule::verification_allowed_at(last.time.0, last.paid_until.0));
    let unchanged =
        facts.last_failure.as_ref().filter(|failure| failure.inputs == prepared.inputs && !asked_for);
    if unchanged.is_some_and(|failure| failure.class == FailureClass::Permanent) {
        return Assessment::of(verdict);
    }
    let retry_at = unchanged.map(|failure| failure.retry_at.0);
    match allowed_at.max(retry_at) {
        Some(time) if now < time => Assessment::of(verdict).again_at(Some(time)),
        _ => Assessment::of(verdict).then(Effect::Probe),
    }
}

fn failed(failure: &FailureStatus) -> Verdict {
    let reason = failure.reason.parse().unwrap_or(Reason::ProviderUnavailable);
    Verdict::no(reason, &failure.message)
}
