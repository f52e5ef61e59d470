//! What the outcome of an effect teaches: facts for the status, from which the next decision follows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::connection::{
    ConnectionStatus, FailureClass, FailureStatus, VerificationResult, VerificationStatus,
};
use crate::api::names::REVOKE_FINALIZER;
use crate::domain::conditions::{bounded, whole_seconds};
use crate::domain::decision::Decision;
use crate::domain::policy::EffectivePolicy;
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenFacts, TokenState};
use super::prepare::Prepared;
use super::{Effect, account, governance, health, schedule, token};

/// What an effect brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The finalizer is there.
    Held,
    /// A token was issued and is stored.
    TokenStored(TokenFacts),
    /// No token: why.
    AttemptFailed(AttemptFailure),
    /// The provider was asked about the credential.
    Probed(ProbeOutcome),
    /// Somebody else has changed the Connection or its record meanwhile; look again.
    Superseded,
}

/// Why an attempt to authenticate failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// In one word.
    pub reason: Reason,
    /// Whether waiting may help.
    pub class: FailureClass,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// For people.
    pub message: String,
}

/// What the provider said about a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// The verification, where the connector declares one.
    pub verification: Option<VerificationOutcome>,
    /// The account, where it could be learnt.
    pub account: Option<String>,
}

/// What a verification said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerificationOutcome {
    /// The provider accepted the credential.
    Succeeded,
    /// The provider refused the credential: what it answered.
    Rejected(String),
    /// The provider said nothing about the credential.
    Inconclusive(AttemptFailure),
}

/// The snapshot as it is after an effect, with the facts that the effect taught.
pub fn learn(mut observed: Observed, outcome: Outcome, now: Timestamp) -> Observed {
    match outcome {
        Outcome::Held => {
            let finalizers = observed.connection.metadata.finalizers.get_or_insert_default();
            if !finalizers.iter().any(|finalizer| finalizer == REVOKE_FINALIZER) {
                finalizers.push(REVOKE_FINALIZER.to_owned());
            }
        }
        Outcome::TokenStored(stored) => {
            let over = !stored.valid_at(now);
            observed.token = TokenState::Present(stored);
            let mut facts = observed.status();
            let failure = facts.last_failure.take();
            token::record_facts(&observed, &mut facts);
            // Failures in a row are counted beyond a token that is of no use.
            facts.last_failure = failure;
            observed.connection.status = Some(facts);
            if over {
                // To ask at once for another one would be to ask for ever.
                fail(&mut observed, expired_already(), now);
            } else {
                observed.connection.status.get_or_insert_default().last_failure = None;
            }
        }
        Outcome::AttemptFailed(failure) => fail(&mut observed, failure, now),
        Outcome::Probed(probe) => probed(&mut observed, probe, now),
        Outcome::Superseded => {}
    }
    observed
}

/// The decision after an effect: from what the decision before it established and what the effect taught. Events tell
/// of all that is not recorded yet.
pub fn decide_again(
    observed: &Observed,
    decided: ConnectionStatus,
    outcome: Outcome,
    now: Timestamp,
) -> Decision<ConnectionStatus, Effect> {
    let recorded = observed.status();
    let mut followed = observed.clone();
    // Conditions stay as they are recorded: when one flips, it does so once.
    followed.connection.status =
        Some(ConnectionStatus { conditions: recorded.conditions.clone(), ..decided });
    let decision = super::decide(&learn(followed, outcome, now), now);
    Decision { events: super::events(&recorded, &decision.status), ..decision }
}

fn expired_already() -> AttemptFailure {
    AttemptFailure {
        reason: Reason::AnswerInvalid,
        class: FailureClass::Transient,
        retry_after: None,
        message:
            "the provider issued a token that has expired already. It is asked again later; an administrator \
                  can check the connector's lifetime and the clocks"
                .to_owned(),
    }
}

fn fail(observed: &mut Observed, failure: AttemptFailure, now: Timestamp) {
    let Ok(inputs) = super::prepare(observed).map(|prepared| prepared.inputs) else { return };
    let uid = observed.uid().to_owned();
    let status = observed.connection.status.get_or_insert_default();
    let last = status.last_failure.as_ref();
    let count = last.map_or(1, |last| last.count.saturating_add(1));
    let paid_until = last.and_then(|last| last.paid_until.as_ref()).map(|paid_until| paid_until.0);
    status.last_failure = Some(FailureStatus {
        time: whole_seconds(now),
        inputs,
        class: failure.class,
        count,
        retry_at: whole_seconds(schedule::retry_at(&uid, now, count, failure.retry_after)),
        paid_until: Some(whole_seconds(schedule::paid_until_after(now, paid_until, failure.retry_after))),
        reason: failure.reason.to_string(),
        message: bounded(failure.message),
    });
}

fn probed(observed: &mut Observed, probe: ProbeOutcome, now: Timestamp) {
    let facts = observed.status();
    let Ok((credential, verified, is_static)) = super::prepare(observed).map(|prepared: Prepared<'_>| {
        let is_static = prepared.method.auth_type().is_static();
        (health::credential_name(&prepared, &facts), prepared.credential, is_static)
    }) else {
        return;
    };
    let policy = Arc::clone(&observed.policy);
    let handled = observed.verify_at();
    let whose = match &observed.token {
        TokenState::Present(token) if token.authenticated_by.is_some() => {
            AccountOf::Consent(token.consent_id.clone())
        }
        _ if is_static => AccountOf::Credential(verified.clone()),
        _ => AccountOf::Client,
    };
    let (result, message, failure) = match probe.verification {
        None => (VerificationResult::NotDeclared, Some(health::NOT_DECLARED.to_owned()), None),
        Some(VerificationOutcome::Succeeded) => (VerificationResult::Succeeded, None, None),
        Some(VerificationOutcome::Rejected(message)) => (VerificationResult::Rejected, Some(message), None),
        Some(VerificationOutcome::Inconclusive(failure)) => {
            (VerificationResult::Inconclusive, Some(failure.message.clone()), Some(failure))
        }
    };

    let status = observed.connection.status.get_or_insert_default();
    if handled.is_some() {
        status.last_handled_verify_at = handled;
    }
    if let Some(named) = probe.account {
        learn_account(&policy, status, &whose, &named);
    }
    let retry_after = failure.as_ref().and_then(|failure| failure.retry_after);
    let paid_until = status.last_verification.as_ref().map(|last| last.paid_until.0);
    status.last_verification = Some(VerificationStatus {
        time: whole_seconds(now),
        result,
        credential: Some(credential),
        paid_until: whole_seconds(schedule::paid_until_after(now, paid_until, retry_after)),
        message: message.map(bounded),
    });
    let unproven = is_static && status.accepted_credential.as_deref() != Some(&verified);
    match (unproven, result, failure) {
        (true, VerificationResult::Succeeded, _) => {
            status.accepted_credential = Some(verified);
            status.last_failure = None;
        }
        (true, VerificationResult::Rejected, _) => status.last_failure = None,
        (true, _, Some(failure)) => fail(observed, failure, now),
        _ => {}
    }
}

/// What an account was learnt with.
enum AccountOf {
    /// A person's consent.
    Consent(String),
    /// A static credential, by its digest.
    Credential(String),
    /// A client that acts for itself, whose account is no person's.
    Client,
}

fn learn_account(policy: &EffectivePolicy, status: &mut ConnectionStatus, whose: &AccountOf, named: &str) {
    if let AccountOf::Consent(consent) = whose {
        let is_new = status.account_consent.as_ref() != Some(consent);
        account::learn(status, consent, named);
        governance::note_account(policy, status, consent, is_new);
        return;
    }
    let named = Some(account::shown(named));
    let is_other = status.account != named;
    status.account = named;
    if let AccountOf::Credential(credential) = whose {
        let verified = status.last_verification.as_ref().and_then(|last| last.credential.as_ref());
        let is_new = is_other || verified != Some(credential);
        governance::note_account(policy, status, credential, is_new);
    }
}
