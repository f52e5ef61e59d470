//! What policies mean for one Connection: what they do not allow, and whether that stops it.

use crate::api::connection::{ConnectionStatus, State};
use crate::api::connection_policy::Enforcement;
use crate::domain::conditions::Verdict;
use crate::domain::policy::{self, EffectivePolicy, Violation};
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenState};
use super::prepare::{self, Blocked, Prepared};
use super::{account, token};

/// What policies do not allow about the Connection as it is written.
pub(super) fn stands_against(observed: &Observed) -> Option<Violation> {
    let spec = &observed.connection.spec;
    policy::violation(spec, prepare::definition(observed), &observed.policy)
}

/// What policies do not allow about the account that the present credential has. An account that was not allowed when
/// it was learnt has never been.
pub(super) fn account_stands_against(observed: &Observed, prepared: &Prepared<'_>) -> Option<Violation> {
    let status = observed.status();
    let violation = |account: &str, always| {
        let blocked = policy::account_violation(account, &observed.policy)?;
        Some(Violation { blocked, always })
    };
    if let TokenState::Present(token) = &observed.token
        && account::is_awaited(&status, token)
    {
        // Not learnt yet, though the record may name it.
        return violation(token.account.as_deref()?, true);
    }
    let credential = credential_of_account(observed, prepared, &status)?;
    let account = status.account.as_deref().filter(|_| account::is_known(&status))?;
    violation(account, status.account_refused.as_ref() == Some(&credential))
}

/// The credential that the known account belongs to, if that is the present one: a person's consent, or a digest. A
/// client that acts for itself has no account of a person.
fn credential_of_account(
    observed: &Observed,
    prepared: &Prepared<'_>,
    status: &ConnectionStatus,
) -> Option<String> {
    match &observed.token {
        TokenState::Present(token) if token.authenticated_by.is_some() => {
            status.account_consent.clone().filter(|consent| *consent == token.consent_id)
        }
        _ if prepared.method.auth_type().is_static() => {
            let verified = status.last_verification.as_ref()?.credential.as_ref()?;
            Some(prepared.credential.clone()).filter(|credential| credential == verified)
        }
        _ => None,
    }
}

/// What is said while the account is still to be learnt, where policies allow only some: the provider is asked for it,
/// and nothing is handed out before.
pub(super) fn awaits_account(
    observed: &Observed,
    prepared: Result<&Prepared<'_>, &Blocked>,
    facts: &ConnectionStatus,
) -> Option<Blocked> {
    let prepared = prepared.ok()?;
    let by = observed.policy.restricts_accounts()?;
    let has_account = prepared.method.auth_type().needs_person() || prepared.method.auth_type().is_static();
    if !has_account || prepared.reported.is_some() || prepared.definition.account_request().is_none() {
        return None;
    }
    let is_learnt = match &observed.token {
        TokenState::Present(token) => !account::is_awaited(facts, token),
        _ => account::is_known(facts) && credential_of_account(observed, prepared, facts).is_some(),
    };
    (!is_learnt).then(|| Blocked {
        reason: Reason::AccountNotAllowed,
        message: format!(
            "policy \"{by}\" allows only some accounts, and the provider has not said yet which one this is"
        ),
    })
}

/// Whether a violation stops the Connection. Where policies only report, what was authenticated before goes on.
pub(super) fn stops(observed: &Observed, violation: &Violation) -> bool {
    violation.always || observed.policy.enforcement() == Enforcement::Suspend || !was_authenticated(observed)
}

/// Whether there is something that was authenticated before: a token, or a static credential that counts.
fn was_authenticated(observed: &Observed) -> bool {
    match &observed.token {
        TokenState::Present(facts) => !token::rolled_back(observed, facts),
        TokenState::Unreadable(_) => false,
        TokenState::Missing => {
            let keeps_none = prepare::chosen(observed).is_some_and(|(_, method)| !method.issues_token());
            keeps_none && observed.status().state == State::Connected
        }
    }
}

/// Lists of hosts, each of which has to cover every host that a request for the Connection goes to, whatever was decided
/// before: what is lent, and where policies suspend, has no other way to go.
pub fn host_lists(observed: &Observed) -> Vec<Vec<String>> {
    let spec = &observed.connection.spec;
    let policy = &observed.policy;
    let lends = prepare::chosen(observed).is_none_or(|(_, method)| policy::lends(spec, method, policy));
    let entry = policy.default.as_ref().filter(|said| lends && said.what.secrets().next().is_some());
    let of_entry = entry.map(|said| said.what.allowed_hosts.clone());
    let lists = policy.host_lists().filter(|_| policy.enforcement() == Enforcement::Suspend);
    of_entry.into_iter().chain(lists.map(|said| said.what.clone())).collect()
}

/// The condition PolicyAllowed.
pub(super) fn verdict(observed: &Observed, prepared: Result<&Prepared<'_>, &Blocked>) -> Verdict {
    let blocked = match prepared {
        Ok(prepared) => prepared.reported.as_ref().map(|violation| violation.blocked.clone()),
        Err(blocked) if is_by_policy(blocked.reason) => Some(blocked.clone()),
        Err(_) => stands_against(observed).map(|violation| violation.blocked),
    };
    match blocked {
        Some(blocked) => Verdict::no(blocked.reason, blocked.message),
        None => Verdict::yes(Reason::Allowed, ""),
    }
}

/// Whether a policy is what stands in the way.
pub(in crate::domain) fn is_by_policy(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectorDisabled
            | Reason::AuthTypeDisabled
            | Reason::PasswordGrantDenied
            | Reason::HostNotAllowed
            | Reason::AccountNotAllowed
    )
}

/// Takes note of whether policies allow an account at the moment when it is learnt; `credential` is what it was learnt
/// with.
pub(super) fn note_account(
    policy: &EffectivePolicy,
    facts: &mut ConnectionStatus,
    credential: &str,
    is_new: bool,
) {
    let account = facts.account.clone().filter(|_| account::is_known(facts)).unwrap_or_default();
    let is_refused = policy::account_violation(&account, policy).is_some();
    if !is_refused {
        facts.account_refused = None;
    } else if is_new {
        facts.account_refused = Some(credential.to_owned());
    }
}
