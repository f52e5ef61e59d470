//! Connections whose token Liaison asks for and keeps: when to ask, and what the record says.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::connection::{ConnectionStatus, FailureClass, FailureStatus, TokenStatus};
use crate::domain::conditions::{Verdict, whole_seconds};
use crate::domain::decision::sooner;
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenFacts, TokenState};
use super::prepare::Prepared;
use super::{Assessment, Effect, Grant, TokenPlan, account, governance, schedule};

/// Characters of a cluster's user name that are shown.
const USER_LIMIT: usize = 1024;

/// Scopes that a status lists, and the length of one.
const SCOPES_LIMIT: usize = 64;
const SCOPE_LENGTH_LIMIT: usize = 256;

/// Two tokens that people ask for are at least this far apart.
const ANEW_GAP: Duration = Duration::from_secs(5);

/// Copies what the record says into the status, which is never trusted for it.
pub(super) fn record_facts(observed: &Observed, facts: &mut ConnectionStatus) {
    let TokenState::Present(token) = &observed.token else { return };
    if rolled_back(observed, token) {
        return;
    }
    if facts.token.as_ref().is_none_or(|known| known.sequence < token.sequence) {
        // What failed did so before this token was stored.
        facts.last_failure = None;
    }
    if token.authenticated_by.is_some() {
        let is_new = account::is_awaited(facts, token);
        account::from_record(facts, token);
        if token.account.is_some() {
            governance::note_account(&observed.policy, facts, &token.consent_id, is_new);
        }
    } else if !account::is_known(facts) {
        // A client that acts for itself is its own account, until the provider names a better one.
        facts.account = Some(account::shown(&token.client_id));
    }
    facts.authenticated_by = token.authenticated_by.as_deref().map(shown_user);
    facts.token = Some(TokenStatus {
        sequence: token.sequence,
        expires_at: token.expires_at.map(whole_seconds),
        last_refresh_time: Some(whole_seconds(token.issued_at)),
        granted_scopes: shown_scopes(&token.granted_scopes),
        refresh_token_expires_at: token.refresh_token_expires_at.map(whole_seconds),
    });
}

/// A cluster's user as a status can hold it.
fn shown_user(user: &str) -> String {
    user.chars().take(USER_LIMIT).collect()
}

/// Scopes as a status can hold them, in an order of their own, so that it does not follow the provider's moods.
/// What does not fit RFC 6749, section 3.3, is the record's alone.
fn shown_scopes(granted: &[String]) -> Vec<String> {
    let fits = |scope: &&String| {
        (1..=SCOPE_LENGTH_LIMIT).contains(&scope.len())
            && scope.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\')
    };
    let sorted: BTreeSet<_> = granted.iter().filter(fits).cloned().collect();
    sorted.into_iter().take(SCOPES_LIMIT).collect()
}

/// The verdict on a valid token.
pub(super) fn issued() -> Verdict {
    Verdict::yes(Reason::TokenIssued, "the provider issued a token")
}

/// Whether the record is older than the last one known.
pub(super) fn rolled_back(observed: &Observed, token: &TokenFacts) -> bool {
    observed.status().token.is_some_and(|known| token.sequence < known.sequence)
}

/// Whether the Connection is authenticated, and whether to ask for a token now.
pub(super) fn assess(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    let wanted = prepared.asked.clone().unwrap_or_default();
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
        TokenState::Present(token) if rolled_back(observed, token) => {
            put_back(observed, prepared, facts, token, wanted, now)
        }
        TokenState::Present(token) => {
            facts.last_handled_reauthenticate_at = Some(token.consent_id.clone()).filter(|id| !id.is_empty());
            present(observed, prepared, facts, token, wanted, now)
        }
    }
}

/// An older record is no credential, and asks for nothing by itself.
fn put_back(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &ConnectionStatus,
    token: &TokenFacts,
    wanted: String,
    now: Timestamp,
) -> Assessment {
    let known = facts.token.as_ref().map_or(0, |known| known.sequence);
    let verdict = Verdict::no(
        Reason::TokenRolledBack,
        format!(
            "the token record has number {}, but number {known} was the last one known: an older Secret was put \
             back; set the annotation liaison.dev/reauthenticate-at",
            token.sequence
        ),
    );
    if is_new(facts, &wanted) {
        return attempt(observed, prepared, facts, plan(known, true, wanted), verdict, now);
    }
    Assessment::of(verdict)
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
    let moved = changes(token, prepared);
    if !anew && let Some(changed) = moved {
        return Assessment::of(Verdict::no(
            Reason::ReauthenticationRequired,
            format!(
                "{changed}; nothing was sent. Somebody with the right to authenticate has to set the \
                 annotation liaison.dev/reauthenticate-at"
            ),
        ));
    }

    let valid = moved.is_none() && token.valid_at(now);
    let verdict = if valid { issued() } else { lost(observed, moved.is_some()) };
    let fraction = observed.settings.refresh_fraction;
    let due = schedule::refresh_at(observed.uid(), token.issued_at, token.expires_at, fraction);
    let due = if anew { Some(schedule::later(token.issued_at, ANEW_GAP)) } else { due };
    if due.is_none_or(|due| now < due) {
        if !anew {
            facts.last_failure = None;
        }
        return Assessment::of(verdict).again_at(due);
    }
    let consent = if anew { wanted } else { token.consent_id.clone() };
    let plan = plan(token.sequence, token.refreshable, consent);
    let mut assessment = attempt(observed, prepared, facts, plan, verdict, now);
    if assessment.verdict.holds() {
        // The verdict changes by itself when the token expires.
        assessment.next = sooner(assessment.next, token.expires_at);
    }
    assessment
}

/// What is said of a token that cannot be used, until there is another one.
fn lost(observed: &Observed, moved: bool) -> Verdict {
    if moved {
        return Verdict::no(Reason::AwaitingAuthentication, "the provider is being asked for a token");
    }
    expired(observed)
}

/// What is said of a token that has expired and can be replaced without a person.
pub(super) fn expired(observed: &Observed) -> Verdict {
    let what_next = if observed.connection.spec.suspend {
        "none is asked for while spec.suspend is true"
    } else {
        "a new one is being asked for"
    };
    Verdict::no(Reason::TokenExpired, format!("the token has expired; {what_next}"))
}

fn plan(present_sequence: i64, rehearse: bool, consent_id: String) -> TokenPlan {
    TokenPlan { grant: Grant::ClientCredentials, present_sequence, rehearse, consent_id }
}

fn is_new(facts: &ConnectionStatus, wanted: &str) -> bool {
    !wanted.is_empty() && facts.last_handled_reauthenticate_at.as_deref() != Some(wanted)
}

/// What differs between where the token may go and where it would go now.
pub(super) fn changes(token: &TokenFacts, prepared: &Prepared<'_>) -> Option<String> {
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

/// What is said after a failed attempt: its reason, unless there is a token that is still valid. Where the provider
/// takes back what it granted, there is none.
pub(super) fn after(failure: Option<&FailureStatus>, verdict: Verdict) -> Verdict {
    let Some(failure) = failure else { return verdict };
    let Ok(reason) = failure.reason.parse::<Reason>() else { return verdict };
    let taken_back = failure.class == FailureClass::Permanent
        && matches!(reason, Reason::ReconsentRequired | Reason::ClientRejected);
    if verdict.holds() && !taken_back { verdict } else { Verdict::no(reason, &failure.message) }
}

/// Asks for a token, unless an earlier failure says to wait or that only a change can help.
pub(super) fn attempt(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &ConnectionStatus,
    plan: TokenPlan,
    verdict: Verdict,
    now: Timestamp,
) -> Assessment {
    let verdict = after(facts.last_failure.as_ref(), verdict);
    if let Some(failure) = &facts.last_failure {
        let unchanged = failure.inputs == prepared.inputs;
        if failure.class == FailureClass::Permanent && unchanged {
            return Assessment::of(verdict);
        }
        // A change is worth a new attempt, but not at any pace.
        let retry_at = if unchanged { failure.retry_at.0 } else { schedule::retry_after_change_at(failure) };
        if now < retry_at {
            return Assessment::of(verdict).again_at(Some(retry_at));
        }
    }
    let hold = prepared.definition.declares_revocation(prepared.method) && !observed.held_for_revocation();
    let effect = if hold { Effect::HoldForRevocation } else { Effect::RequestToken(plan) };
    Assessment::of(verdict).then(effect)
}
