//! The life of a Connection: what is observed, what is decided, and what an effect's outcome teaches.

mod account;
mod beside;
mod deletion;
mod governance;
mod health;
mod learn;
mod observed;
mod person;
mod prepare;
pub(super) mod schedule;
mod secrets;
mod static_credential;
mod token;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::api::connection::{ConnectionStatus, State};
use crate::api::names::ACCOUNT_BEFORE_AUTHENTICATION;
use crate::api::{AuthType, Connection};

use super::conditions::{self, ConditionType, Status, Verdict};
use super::decision::{self, Decision, Event};
use super::policy::{self, Violation};
use super::reason::{Fixer, Reason};

pub use beside::display_name_taken;
pub use governance::host_lists;
pub(in crate::domain) use governance::is_by_policy;
pub use learn::{AttemptFailure, Outcome, ProbeOutcome, VerificationOutcome, decide_again, learn};
pub(super) use observed::digest_of;
pub use observed::{
    ConnectorState, FailedConsent, FolderState, Observed, SecretState, Settings, TokenFacts, TokenState,
};
pub use prepare::{Blocked, Prepared, prepare, prepare_anew, prepare_requests};
pub(in crate::domain) use prepare::{method, parameters};
#[cfg(test)]
pub(crate) use tests::{PERSON, at, person, valid};

/// Longest address that a status shows.
const ADDRESS_LIMIT: usize = 2048;

/// One thing to do outside for a Connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Add the finalizer, so that a token which is about to be issued will be revoked.
    HoldForRevocation,
    /// Ask the provider for a token and store it under this number.
    RequestToken(TokenPlan),
    /// Ask the provider whether the credential works and, where that is not known, whose it is.
    Probe,
    /// Revoke the token where that is possible, once, and let the Connection go.
    Release,
}

/// How a token is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlan {
    /// What is presented to the provider.
    pub grant: Grant,
    /// The number of the token that is there now, 0 for none. Another number means that somebody was faster.
    pub present_sequence: i64,
    /// Whether to make sure first that the answer can be stored.
    pub rehearse: bool,
    /// Which request to authenticate anew this answers; empty for none.
    pub consent_id: String,
}

/// What a token is asked for with (RFC 6749, section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The client acts for itself.
    ClientCredentials,
    /// The refresh token that came of a person's consent.
    Refresh,
}

/// What one part of the decision says.
#[derive(Clone, Debug)]
struct Assessment {
    verdict: Verdict,
    effect: Option<Effect>,
    next: Option<Timestamp>,
}

impl Assessment {
    fn of(verdict: Verdict) -> Self {
        Self { verdict, effect: None, next: None }
    }

    fn then(self, effect: Effect) -> Self {
        Self { effect: Some(effect), ..self }
    }

    fn again_at(self, next: Option<Timestamp>) -> Self {
        Self { next, ..self }
    }
}

/// Decides about a Connection: what its status should be, and what to do next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<ConnectionStatus, Effect> {
    if observed.deleting() {
        return deletion::decide(observed);
    }
    if matches!(observed.folder, FolderState::Terminating | FolderState::Settling) {
        // Writing into a namespace that is being deleted only delays it; and of a folder that was applied together
        // with the Connection more is known in a moment, when its watch tells.
        return Decision { status: observed.status(), events: Vec::new(), effect: None, next: None };
    }

    let mut facts = ConnectionStatus {
        observed_generation: observed.connection.metadata.generation,
        policy: observed.policy.to_status(),
        ..observed.status()
    };
    token::record_facts(observed, &mut facts);
    person::describe(observed, &mut facts);

    let prepared = prepare(observed);
    let authenticated = match &prepared {
        Err(blocked) => {
            if let Some(failure) = &mut facts.last_failure {
                // What is missing now may come back as it was; that is a change too.
                failure.inputs.clear();
            }
            blocked_authentication(observed, blocked, &facts, now)
        }
        Ok(prepared) => {
            describe(observed, prepared, &mut facts);
            authentication(observed, prepared, &mut facts, now)
        }
    };
    let healthy = match &prepared {
        Ok(prepared) => health::assess(observed, prepared, &authenticated.verdict, &mut facts, now),
        Err(_) => Assessment::of(health::verdict(&facts)),
    };
    let wanted = prepared.as_ref().map(|prepared| prepared.scopes.as_slice()).unwrap_or_default();
    let scopes = scopes_verdict(observed, wanted, &authenticated.verdict);
    person::conclude(observed, prepared.as_ref(), &scopes, &mut facts);
    beside::describe(observed, &mut facts, now);
    let allowed = governance::verdict(observed, prepared.as_ref());
    let suspended = observed.connection.spec.suspend;
    let awaited = governance::awaits_account(observed, prepared.as_ref(), &facts);
    let blocked = prepared.as_ref().err().or(awaited.as_ref());
    let ready = ready_verdict(suspended, blocked, &[&authenticated.verdict, &scopes, &healthy.verdict]);

    let next = decision::sooner(authenticated.next, healthy.next);
    let effect = authenticated.effect.or(healthy.effect).filter(|_| !suspended);
    let verdicts = [
        (ConditionType::Authenticated, authenticated.verdict),
        (ConditionType::Healthy, healthy.verdict),
        (ConditionType::PolicyAllowed, allowed),
        (ConditionType::ScopesSatisfied, scopes),
        (ConditionType::Ready, ready),
    ];
    let status = with_conditions(observed, facts, verdicts, now);
    let events = events(&observed.status(), &status);
    let next = if suspended { end_of_token(observed, now) } else { next };
    Decision { status, events, effect, next }
}

fn authentication(
    observed: &Observed,
    prepared: &Prepared<'_>,
    facts: &mut ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    match prepared.method.auth_type() {
        auth_type if auth_type.is_static() => {
            let assessment = static_credential::assess(observed, prepared, facts, now);
            if assessment.verdict.holds() { assessment } else { unless_reported(prepared, assessment) }
        }
        AuthType::OAuth2ClientCredentials => {
            let assessment = token::assess(observed, prepared, facts, now);
            let waits = person::calls(assessment.verdict.reason);
            if waits { unless_reported(prepared, assessment) } else { assessment }
        }
        AuthType::None => Assessment::of(Verdict::yes(Reason::NoCredentialsNeeded, "")),
        auth_type if auth_type.needs_person() => person::assess(observed, prepared, facts, now),
        auth_type => Assessment::of(Verdict::no(
            Reason::AuthTypeNotAvailable,
            format!("this version of Liaison cannot authenticate with {auth_type} yet"),
        )),
    }
}

/// What waits for a new authentication waits for the policies first, where these report something.
fn unless_reported(prepared: &Prepared<'_>, assessment: Assessment) -> Assessment {
    match &prepared.reported {
        Some(Violation { blocked, .. }) => Assessment::of(Verdict::no(blocked.reason, &blocked.message)),
        None => assessment,
    }
}

/// A Connection that lacks something keeps a token that is still valid; otherwise it is what it lacks.
fn blocked_authentication(
    observed: &Observed,
    blocked: &Blocked,
    facts: &ConnectionStatus,
    now: Timestamp,
) -> Assessment {
    match &observed.token {
        TokenState::Present(token) if token.valid_at(now) && !token::rolled_back(observed, token) => {
            let verdict = token::after(facts.last_failure.as_ref(), token::issued());
            Assessment::of(verdict).again_at(end_of_token(observed, now))
        }
        _ => Assessment::of(Verdict::no(blocked.reason, &blocked.message)),
    }
}

/// When a token that is valid now expires, which changes what is said even where nothing is done.
fn end_of_token(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    match &observed.token {
        TokenState::Present(token) => token.expires_at.filter(|expires_at| now < *expires_at),
        _ => None,
    }
}

/// What is known before authentication, and shown for people.
fn describe(observed: &Observed, prepared: &Prepared<'_>, facts: &mut ConnectionStatus) {
    let spec = &observed.connection.spec;
    let method = prepared.method;
    facts.auth_type = Some(method.auth_type());
    let base_url = prepared.definition.base_url(&prepared.values).ok().flatten();
    facts.base_url = base_url.filter(|url| url.len() <= ADDRESS_LIMIT);
    let app = observed.oauth_app_choice();
    let credentials = policy::credentials(spec, &observed.policy);
    let source = policy::for_method(app, method.auth_type().has_oauth_client())
        .or_else(|| policy::for_method(credentials, !method.secret_names().is_empty()));
    facts.credential_source = source.map(|source| source.shown());
}

fn scopes_verdict(observed: &Observed, wanted: &[String], authenticated: &Verdict) -> Verdict {
    match &observed.token {
        _ if !authenticated.holds() => Verdict::unknown(Reason::NotAuthenticated, ""),
        TokenState::Present(token) => {
            // What is asked for since a person consented is not granted by any refresh.
            let since = wanted
                .iter()
                .filter(|scope| token.authenticated_by.is_some() && !token.requested_scopes.contains(scope));
            let missing: Vec<_> = token
                .requested_scopes
                .iter()
                .chain(since)
                .filter(|scope| !token.granted_scopes.contains(scope))
                .collect();
            if missing.is_empty() {
                return Verdict::yes(Reason::ScopesGranted, "");
            }
            let listed = missing.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
            let then = if token.authenticated_by.is_some() {
                format!("run {}", person::connect_command(observed))
            } else {
                "set the annotation liaison.dev/reauthenticate-at".to_owned()
            };
            Verdict::no(
                Reason::ScopesMissing,
                format!(
                    "the provider did not grant: {listed}; allow them for the OAuth client, or remove them from \
                     spec.scopes, then {then}"
                ),
            )
        }
        _ => Verdict::yes(Reason::ScopesGranted, ""),
    }
}

fn ready_verdict(suspended: bool, blocked: Option<&Blocked>, parts: &[&Verdict; 3]) -> Verdict {
    if suspended {
        return Verdict::no(Reason::Suspended, "spec.suspend is true; set it to false to resume");
    }
    if let Some(blocked) = blocked {
        return Verdict::no(blocked.reason, &blocked.message);
    }
    let [authenticated, scopes, healthy] = parts;
    for needed in [authenticated, scopes] {
        if !needed.holds() {
            return Verdict::no(needed.reason, &needed.message);
        }
    }
    if healthy.status == Status::False && healthy.reason == Reason::CredentialsRejected {
        return Verdict::no(healthy.reason, &healthy.message);
    }
    Verdict::yes(Reason::Ready, "")
}

fn with_conditions(
    observed: &Observed,
    mut facts: ConnectionStatus,
    verdicts: [(ConditionType, Verdict); 5],
    now: Timestamp,
) -> ConnectionStatus {
    let [(_, authenticated), .., (_, ready)] = &verdicts;
    facts.state = match (authenticated.holds(), facts.state) {
        (true, _) => State::Connected,
        (false, State::Inactive) => State::Inactive,
        (false, _) => State::Disconnected,
    };
    if facts.state == State::Inactive {
        facts.account = Some(ACCOUNT_BEFORE_AUTHENTICATION.to_owned());
    } else if facts.account.as_deref() == Some(ACCOUNT_BEFORE_AUTHENTICATION) {
        facts.account = None;
    }
    facts.display_name = observed.connection.spec.display_name.clone().or_else(|| facts.account.clone());

    let progress = conditions::progress_of(ready);
    let generation = observed.connection.metadata.generation;
    let all = verdicts.into_iter().chain(progress);
    facts.conditions = conditions::merge(&facts.conditions, all, generation, now);
    facts
}

/// An Event where a person should know: on becoming authenticated, and on a new cause of not being ready.
fn events(old: &ConnectionStatus, new: &ConnectionStatus) -> Vec<Event> {
    let status_of = |status: &ConnectionStatus, condition_type| {
        conditions::find(&status.conditions, condition_type)
            .map(|condition| (condition.status.clone(), condition.reason.clone()))
            .unwrap_or_default()
    };
    let mut events = Vec::new();
    let is = |pair: &(String, String), status: Status| pair.0 == status.as_str();

    let (before, after) =
        (status_of(old, ConditionType::Authenticated), status_of(new, ConditionType::Authenticated));
    if is(&after, Status::True) && !is(&before, Status::True) {
        events.push(Event::normal(Reason::Authenticated));
    }
    if new.previous_account.is_some() && new.previous_account != old.previous_account {
        events.push(Event::warning(Reason::AccountChanged));
    }
    let of_policy = |status| status_of(status, ConditionType::PolicyAllowed);
    let (before, allowed) = (of_policy(old), of_policy(new));
    let reported =
        allowed.1.parse::<Reason>().ok().filter(|_| is(&allowed, Status::False) && before != allowed);
    events.extend(reported.map(Event::warning));
    let (before, after) = (status_of(old, ConditionType::Ready), status_of(new, ConditionType::Ready));
    let reason = after.1.parse::<Reason>().ok().filter(|reason| reported != Some(*reason));
    if let Some(reason) = reason
        && is(&after, Status::False)
        && before.1 != after.1
        && reason.fixer() != Fixer::Nobody
    {
        let awaited = matches!(reason, Reason::AwaitingAuthentication | Reason::Suspended);
        events.push(if awaited { Event::normal(reason) } else { Event::warning(reason) });
    }
    events.extend(beside::events(old, new));
    events
}

/// Whether a Connection itself refers to a Secret of its namespace.
pub fn refers_to_secret(connection: &Connection, secret: &str) -> bool {
    policy::names_own_secret(&connection.spec, secret)
}
