//! Connections whose token Liaison asks for and keeps: when to ask, and what the record says.

use std::fmt::Write;

use aws_lc_rs::digest;
use jiff::Timestamp;

use crate::api::connection::{ConnectionStatus, FailureClass, FailureStatus, TokenStatus};
use crate::api::names::ACCOUNT_BEFORE_AUTHENTICATION;
use crate::domain::conditions::{Verdict, whole_seconds};
use crate::domain::decision::sooner;
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenFacts, TokenState};
use super::prepare::Prepared;
use super::{Assessment, Effect, TokenPlan, schedule};

/// Longest consent id that a record can carry.
const CONSENT_ID_LIMIT: usize = 64;

/// Copies what the record says into the status, which is never trusted for it.
pub(super) fn record_facts(observed: &Observed, facts: &mut ConnectionStatus) {
    let TokenState::Present(token) = &observed.token else { return };
    if rolled_back(observed, token) {
        return;
    }
    if facts.account.as_deref().is_none_or(|account| account == ACCOUNT_BEFORE_AUTHENTICATION) {
        // A client that acts for itself is its own account, until the provider names a better one.
        facts.account = Some(token.client_id.clone());
    }
    facts.token = Some(TokenStatus {
        sequence: token.sequence,
        expires_at: token.expires_at.map(whole_seconds),
        last_refresh_time: Some(whole_seconds(token.issued_at)),
        granted_scopes: token.granted_scopes.clone(),
    });
}

/// The verdict on a valid token.
pub(super) fn issued() -> Verdict {
    Verdict::yes(Reason::TokenIssued, "the provider issued a token")
}

/// Which request to authenticate anew the Connection carries, in the form in which a record keeps it.
fn wanted_consent(observed: &Observed) -> String {
    let wanted = observed.reauthenticate_at().unwrap_or_default();
    if wanted.len() <= CONSENT_ID_LIMIT {
        return wanted.to_owned();
    }
    digest::digest(&digest::SHA256, wanted.as_bytes()).as_ref().iter().fold(
        String::new(),
        |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}

fn rolled_back(observed: &Observed, token: &TokenFacts) -> bool {
    observed.status().token.is_some_and(|known| token.sequence < known.sequence)
}

/// Whether the Connection is authenticated, and whether to ask for a token now.
pub(super) fn assess(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    let wanted = wanted_consent(observed);
    match &observed.token {
        TokenState::Missing => {
            let present = facts.token.as_ref().map_or(0, |token| token.sequence);
            let awaited =
                Verdict::no(Reason::AwaitingAuthentication, "the provider is being asked for a token");
            attempt(observed, prepared, facts, plan(present, true, wanted), awaited, now)
        }
        TokenState::Unreadable(cause) => {
            if is_new(facts, &wanted) {
                let present = facts.token.as_ref().map_or(0, |token| token.sequence);
                let verdict = Verdict::no(Reason::TokenUnreadable, cause);
                return attempt(observed, prepared, facts, plan(present, true, wanted), verdict, now);
            }
            Assessment::of(Verdict::no(
                Reason::TokenUnreadable,
                format!(
                    "{cause}; restore the operator's keyring, or set the annotation liaison.dev/reauthenticate-at"
                ),
            ))
        }
        TokenState::Present(token) => {
            facts.last_handled_reauthenticate_at = Some(token.consent_id.clone()).filter(|id| !id.is_empty());
            present(observed, prepared, facts, token, wanted, now)
        }
    }
}

fn present(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    token: &TokenFacts,
    wanted: String,
    now: Timestamp,
) -> Assessment {
    let anew = !wanted.is_empty() && wanted != token.consent_id;
    let known = observed.status().token.map_or(0, |known| known.sequence);
    if rolled_back(observed, token) {
        let verdict = Verdict::no(
            Reason::TokenRolledBack,
            format!(
                "the token record has number {}, but number {known} was the last one known: an older Secret was put \
                 back; set the annotation liaison.dev/reauthenticate-at",
                token.sequence
            ),
        );
        return if anew {
            attempt(observed, prepared, facts, plan(known, false, wanted), verdict, now)
        } else {
            Assessment::of(verdict)
        };
    }
    let moved = changes(token, prepared);
    if !anew && let Some(changed) = moved {
        return Assessment::of(Verdict::no(
            Reason::ReauthenticationRequired,
            format!(
                "{changed}; nothing was sent there. Somebody with the right to authenticate has to set the \
                 annotation liaison.dev/reauthenticate-at"
            ),
        ));
    }

    let valid = moved.is_none() && token.valid_at(now);
    let verdict = if valid {
        issued()
    } else {
        Verdict::no(Reason::TokenExpired, "the token has expired; a new one is being asked for")
    };
    let fraction = observed.settings.refresh_fraction;
    let due = schedule::refresh_at(observed.uid(), token.issued_at, token.expires_at, fraction);
    if anew || due.is_some_and(|due| due <= now) {
        let consent = if anew { wanted } else { token.consent_id.clone() };
        let plan = plan(token.sequence, token.rotates, consent);
        let mut assessment = attempt(observed, prepared, facts, plan, verdict, now);
        if valid {
            // The verdict changes by itself when the token expires.
            assessment.next = sooner(assessment.next, token.expires_at);
        }
        return assessment;
    }
    facts.last_failure = None;
    Assessment::of(verdict).again_at(due)
}

fn plan(present_sequence: i64, rehearse: bool, consent_id: String) -> TokenPlan {
    TokenPlan { present_sequence, rehearse, consent_id }
}

fn is_new(facts: &ConnectionStatus, wanted: &str) -> bool {
    !wanted.is_empty() && facts.last_handled_reauthenticate_at.as_deref() != Some(wanted)
}

/// What differs between where the token may go and where it would go now.
fn changes(token: &TokenFacts, prepared: &Prepared<'_>) -> Option<String> {
    if let Some(client_id) = &prepared.client_id
        && *client_id != token.client_id
    {
        return Some("the OAuth client has changed since the token was issued".to_owned());
    }
    (token.targets != prepared.targets).then(|| {
        format!(
            "requests would go to [{}], but the token was issued for [{}]",
            prepared.targets.join(", "),
            token.targets.join(", ")
        )
    })
}

/// Asks for a token, unless an earlier failure says to wait or that only a change can help.
fn attempt(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &ConnectionStatus,
    plan: TokenPlan,
    verdict: Verdict,
    now: Timestamp,
) -> Assessment {
    let verdict_after = |failure: &FailureStatus| match (verdict.holds(), failure.reason.parse::<Reason>()) {
        (false, Ok(reason)) => Verdict::no(reason, &failure.message),
        _ => verdict.clone(),
    };
    if let Some(failure) = &facts.last_failure {
        let unchanged = failure.inputs == prepared.inputs;
        if failure.class == FailureClass::Permanent && unchanged {
            return Assessment::of(verdict_after(failure));
        }
        // A change is worth a new attempt, but not at any pace.
        let retry_at = if unchanged {
            failure.retry_at.0
        } else {
            failure.retry_at.0.min(schedule::later(failure.time.0, schedule::FIRST_RETRY))
        };
        if now < retry_at {
            return Assessment::of(verdict_after(failure)).again_at(Some(retry_at));
        }
    }
    let hold = prepared.definition.declares_revocation(prepared.method) && !observed.held_for_revocation();
    let effect = if hold { Effect::HoldForRevocation } else { Effect::RequestToken(plan) };
    let verdict = facts.last_failure.as_ref().map_or_else(|| verdict.clone(), verdict_after);
    Assessment::of(verdict).then(effect)
}
