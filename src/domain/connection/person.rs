//! Connections that only a person in a browser can authenticate. Their tokens come of a consent, which is not made
//! here; what is decided here is when to refresh one, and when and how a person is called.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::connection::{AuthenticationStatus, ConnectionStatus, ConsentFailureStatus};
use crate::domain::conditions::{Status, Verdict, bounded, whole_seconds};
use crate::domain::consent::addresses;
use crate::domain::decision::sooner;
use crate::domain::reason::Reason;

use super::observed::{FailedConsent, Observed, TokenFacts, TokenState};
use super::prepare::{self, Blocked, Prepared};
use super::{ADDRESS_LIMIT, Assessment, Effect, Grant, TokenPlan, account, schedule, token};

/// What is shown of authentication in a browser before anything is decided: the address to register, for all who need
/// one, because registering comes before there is a client.
pub(super) fn describe(observed: &Observed, facts: &mut ConnectionStatus) {
    let of_person = prepare::chosen(observed).filter(|(_, method)| method.auth_type().needs_person());
    facts.authentication = of_person.map(|(definition, _)| AuthenticationStatus {
        url: None,
        redirect_uri: shown(observed.redirect_uri(definition)),
    });
}

/// Whether the Connection is authenticated, whether to refresh its token now, and whether a person has to act.
pub(super) fn assess(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    let assessment = match &observed.token {
        TokenState::Missing => {
            // What failed, failed with a token that is not there any more.
            facts.last_failure = None;
            awaited(observed)
        }
        TokenState::Unreadable(cause) => Assessment::of(Verdict::no(
            Reason::TokenUnreadable,
            format!("{cause}; restore the operator's keyring, or run {}", connect_command(observed)),
        )),
        TokenState::Present(token) if token::rolled_back(observed, token) => put_back(observed, facts, token),
        TokenState::Present(token) => present(observed, prepared, facts, token, now),
    };
    if let Some(reported) = prepared.reported.as_ref().filter(|_| calls(assessment.verdict.reason)) {
        // Nobody is called who would be turned away.
        return Assessment::of(Verdict::no(reported.blocked.reason, &reported.blocked.message));
    }
    let verdict = assessment.verdict;
    let called = calls(verdict.reason);
    let verdict = if verdict.holds() {
        facts.last_consent_failure = None;
        with_notes(observed, prepared, facts, verdict)
    } else {
        after_failed_consent(observed, prepared, facts, verdict, now)
    };
    if called || (verdict.holds() && asked_anew(prepared, facts)) {
        show_page(observed, facts);
    }
    Assessment { verdict, ..assessment }
}

/// Reasons that a person mends by authenticating.
pub(super) fn calls(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AwaitingAuthentication
            | Reason::ReconsentRequired
            | Reason::ReauthenticationRequired
            | Reason::TokenUnreadable
            | Reason::TokenRolledBack
    )
}

fn awaited(observed: &Observed) -> Assessment {
    Assessment::of(Verdict::no(
        Reason::AwaitingAuthentication,
        format!("a person has to authenticate this connection: {}", invitation(observed)),
    ))
}

fn put_back(observed: &Observed, facts: &ConnectionStatus, token: &TokenFacts) -> Assessment {
    let known = facts.token.as_ref().map_or(0, |known| known.sequence);
    Assessment::of(Verdict::no(
        Reason::TokenRolledBack,
        format!(
            "the token record has number {}, but number {known} was the last one known: an older Secret was put \
             back; run {}",
            token.sequence,
            connect_command(observed)
        ),
    ))
}

fn present(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    token: &TokenFacts,
    now: Timestamp,
) -> Assessment {
    if token.answers.is_some() {
        facts.last_handled_reauthenticate_at.clone_from(&token.answers);
    }
    let assessment = match token::changes(token, prepared) {
        Some(changed) => Assessment::of(Verdict::no(
            Reason::ReauthenticationRequired,
            format!(
                "{changed}; nothing was sent. If the change is wanted, run {}",
                connect_command(observed)
            ),
        )),
        None if renewable_at(token, now) => refreshed(observed, prepared, facts, token, now),
        None => unrefreshed(observed, facts, token, now),
    };
    // The consent was made elsewhere; from here on its token is revoked before the Connection goes.
    let hold = prepared.definition.declares_revocation(prepared.method) && !observed.held_for_revocation();
    if hold { assessment.then(Effect::HoldForRevocation) } else { assessment }
}

/// Whether there is a refresh token that may still be valid.
fn renewable_at(token: &TokenFacts, now: Timestamp) -> bool {
    token.refreshable && token.refresh_token_expires_at.is_none_or(|end| now < end)
}

/// A refresh token that had less than this left when the access token was issued is not used for its own sake.
const WORTH_KEEPING_UP: Duration = Duration::from_hours(1);

/// A token that is refreshed in time.
fn refreshed(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    token: &TokenFacts,
    now: Timestamp,
) -> Assessment {
    let verdict = if token.valid_at(now) { token::issued() } else { token::expired(observed) };
    let fraction = observed.settings.refresh_fraction;
    let share_of = |end| schedule::refresh_at(observed.uid(), token.issued_at, end, fraction);
    // A refresh token that ends first is used before it does; not again and again where its end does not move.
    let ends_first = token.refresh_token_expires_at.filter(|end| {
        let at_issue = Duration::try_from(end.duration_since(token.issued_at)).unwrap_or_default();
        at_issue >= WORTH_KEEPING_UP && share_of(token.expires_at).is_some_and(|due| *end <= due)
    });
    let due = share_of(ends_first.or(token.expires_at));
    if due.is_none_or(|due| now < due) {
        facts.last_failure = None;
        return Assessment::of(verdict).again_at(due);
    }
    let plan = TokenPlan {
        grant: Grant::Refresh,
        present_sequence: token.sequence,
        rehearse: true,
        consent_id: token.consent_id.clone(),
    };
    let mut assessment = token::attempt(observed, prepared, facts, plan, verdict, now);
    if assessment.verdict.holds() {
        assessment.next = sooner(assessment.next, token.expires_at);
    }
    assessment
}

/// A token that nothing but a new consent can follow.
fn unrefreshed(
    observed: &Observed,
    facts: &ConnectionStatus,
    token: &TokenFacts,
    now: Timestamp,
) -> Assessment {
    if token.valid_at(now) {
        let verdict = token::after(facts.last_failure.as_ref(), token::issued());
        return Assessment::of(verdict).again_at(token.expires_at);
    }
    let cause = if token.refreshable {
        "the token and its refresh token have expired"
    } else {
        "the token has expired, and the provider gave no refresh token with it"
    };
    Assessment::of(Verdict::no(
        Reason::ReconsentRequired,
        format!("{cause}; a person has to authenticate again: {}", invitation(observed)),
    ))
}

/// What a valid token's verdict says besides: whose account it has become, and that a new consent was asked for.
fn with_notes(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &ConnectionStatus,
    verdict: Verdict,
) -> Verdict {
    let asked = asked_anew(prepared, facts).then(|| {
        format!("a new consent was asked for; the token stays in use until then: {}", invitation(observed))
    });
    let notes = [Some(verdict.message), account::change(facts), asked];
    let message = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    Verdict::yes(verdict.reason, message)
}

/// Whether the annotation asks for a consent that was not given yet.
fn asked_anew(prepared: &Prepared<'_>, facts: &ConnectionStatus) -> bool {
    prepared.asked.is_some() && prepared.asked != facts.last_handled_reauthenticate_at
}

/// What is said where a consent came to nothing after the last token was lost, and nothing has changed since.
fn after_failed_consent(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    verdict: Verdict,
    now: Timestamp,
) -> Verdict {
    if !matches!(verdict.reason, Reason::AwaitingAuthentication | Reason::ReconsentRequired) {
        return verdict;
    }
    let lost_at = whole_seconds(lost_at(observed, facts, now));
    if let Some(failed) = observed.consent.as_ref().filter(|failed| is_news(failed, facts)) {
        facts.last_consent_failure = Some(ConsentFailureStatus {
            consent: failed.id.clone(),
            time: whole_seconds(failed.at),
            inputs: prepared.inputs.clone(),
            reason: failed.reason.to_string(),
            message: bounded(failed.message.clone()),
        });
    }
    let told = facts.last_consent_failure.as_ref();
    let told = told.filter(|failed| failed.time >= lost_at && failed.inputs == prepared.inputs);
    let failed = told.and_then(|failed| Some((failed.reason.parse().ok()?, failed.message.clone())));
    let (reason, message) = failed.unwrap_or((verdict.reason, verdict.message));
    let command = connect_command(observed);
    if message.contains(&command) {
        return Verdict::no(reason, message);
    }
    Verdict::no(reason, format!("{} To authenticate, run {command}", sentence(&message)))
}

/// Whether a failed consent is later than the one that is known.
fn is_news(failed: &FailedConsent, facts: &ConnectionStatus) -> bool {
    let known = facts.last_consent_failure.as_ref();
    known.is_none_or(|known| known.consent != failed.id && known.time <= whole_seconds(failed.at))
}

/// Since when a person is needed, as far as that is known.
fn lost_at(observed: &Observed, facts: &ConnectionStatus, now: Timestamp) -> Timestamp {
    let TokenState::Present(token) = &observed.token else { return Timestamp::MIN };
    let expired = token.expires_at.filter(|expires_at| *expires_at <= now);
    let failed = facts.last_failure.as_ref().map(|failure| failure.time.0);
    [Some(token.issued_at), expired, failed].into_iter().flatten().max().unwrap_or(Timestamp::MIN)
}

/// The last word on the page: nobody is sent there who cannot act, and those are who have to grant more scopes, or to
/// come with another account.
pub(super) fn conclude(
    observed: &Observed,
    prepared: Result<&Prepared<'_>, &Blocked>,
    scopes: &Verdict,
    facts: &mut ConnectionStatus,
) {
    if facts.authentication.is_none() {
        return;
    }
    let (may_come, has_to) = match prepared {
        Ok(prepared) => (prepared.reported.is_none(), scopes.status == Status::False),
        Err(blocked) => (blocked.reason == Reason::AccountNotAllowed, true),
    };
    if !may_come || observed.connection.spec.suspend {
        facts.authentication.get_or_insert_default().url = None;
    } else if has_to {
        show_page(observed, facts);
    }
}

fn show_page(observed: &Observed, facts: &mut ConnectionStatus) {
    facts.authentication.get_or_insert_default().url = shown(page(observed));
}

fn page(observed: &Observed) -> String {
    addresses::connection_page(&observed.settings.public_url, observed.namespace(), observed.name())
}

/// An address, where it fits its field.
fn shown(address: String) -> Option<String> {
    Some(address).filter(|address| address.len() <= ADDRESS_LIMIT)
}

fn invitation(observed: &Observed) -> String {
    format!("run {}, or open {}", connect_command(observed), page(observed))
}

/// The command with which a person begins.
pub(super) fn connect_command(observed: &Observed) -> String {
    format!("`kubectl liaison connect {} -n {}`", observed.name(), observed.namespace())
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
