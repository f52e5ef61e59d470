//! Whose account it is: what the provider says with a consent, and what is shown of it.

use crate::api::connection::ConnectionStatus;
use crate::api::names::ACCOUNT_BEFORE_AUTHENTICATION;

use super::observed::TokenFacts;

/// Characters of an account that are shown.
const ACCOUNT_LIMIT: usize = 256;

/// An account as a status can hold it.
pub(super) fn shown(account: &str) -> String {
    account.chars().take(ACCOUNT_LIMIT).collect()
}

/// Whether the provider, or the record, has named an account.
pub(super) fn is_known(facts: &ConnectionStatus) -> bool {
    facts.account.as_deref().is_some_and(|account| account != ACCOUNT_BEFORE_AUTHENTICATION)
}

/// Whether the account of this token's consent is still to be learnt.
pub(super) fn is_awaited(facts: &ConnectionStatus, token: &TokenFacts) -> bool {
    token.authenticated_by.is_some() && facts.account_consent.as_deref() != Some(&token.consent_id)
}

/// Takes the account over that the record names, once for each consent; a later name from the provider stays.
pub(super) fn from_record(facts: &mut ConnectionStatus, token: &TokenFacts) {
    if let Some(account) = &token.account
        && (is_awaited(facts, token) || !is_known(facts))
    {
        learn(facts, &token.consent_id, account);
    }
}

/// Takes note of the account that the provider names for a consent, and of the one before where it is another.
pub(super) fn learn(facts: &mut ConnectionStatus, consent_id: &str, account: &str) {
    let account = shown(account);
    if facts.account_consent.as_deref() != Some(consent_id) {
        let before = facts.account.take().filter(|before| before != ACCOUNT_BEFORE_AUTHENTICATION);
        facts.previous_account = before.filter(|before| *before != account);
        facts.account_consent = Some(consent_id.to_owned());
    }
    facts.account = Some(account);
}

/// What is said where the last consent was given by another account than the one before.
pub(super) fn change(facts: &ConnectionStatus) -> Option<String> {
    let before = facts.previous_account.as_ref()?;
    let now = facts.account.as_ref().filter(|_| is_known(facts))?;
    Some(format!("the last consent was given by the account \"{now}\", the one before by \"{before}\""))
}
