//! What the answers to verification and account look-up say.

use jiff::Timestamp;
use serde_json::Value;

use super::failure::{Failure, may_pass};
use super::message::Response;
use crate::catalogue::Definition;
use crate::catalogue::definition::AccountSource;
use crate::catalogue::success::Answer;
use crate::domain::reason::Reason;

/// Characters that an account's name may have.
const ACCOUNT_LIMIT: usize = 256;

/// What a verification found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerificationOutcome {
    /// The provider accepted the credential.
    Succeeded,
    /// The provider rejected the credential.
    Rejected {
        /// What happened and what to do next.
        message: String,
    },
    /// Nothing is known about the credential.
    Inconclusive {
        /// Why.
        failure: Failure,
    },
}

/// Judges the answer to a verification by the connector's success rule. `host` is named in messages.
pub fn verification(
    definition: &Definition,
    host: &str,
    response: &Response,
    now: Timestamp,
) -> VerificationOutcome {
    let status = response.status;
    let answer = Answer { status, headers: &response.headers, body: &response.body };
    let verdict = definition.success_rule().evaluate(&answer);
    if verdict == Ok(true) {
        return VerificationOutcome::Succeeded;
    }
    let failure = || Failure::from_status(host, status, &response.headers, now);
    match (status, verdict) {
        (status, _) if may_pass(status) => VerificationOutcome::Inconclusive { failure: failure() },
        (401 | 403, _) => VerificationOutcome::Rejected {
            message: format!(
                "{host} rejected the credential (status {status}). Replace it or authenticate again."
            ),
        },
        (200..=299, Ok(_)) => VerificationOutcome::Rejected {
            message: format!(
                "{host} rejected the credential (status {status}, but the connector's success rule says no). \
                 Replace it or authenticate again."
            ),
        },
        (200..=299, Err(fault)) => VerificationOutcome::Inconclusive {
            failure: Failure::transient(
                Reason::AnswerInvalid,
                format!(
                    "the answer of {host} cannot be judged: {fault}. An administrator can check the connector's \
                     success rule."
                ),
            ),
        },
        _ => VerificationOutcome::Inconclusive { failure: failure() },
    }
}

/// The account's name in the answer to an account look-up, else its identifier. Numbers become text; control
/// characters are dropped; at most 256 characters are kept.
pub fn account(definition: &Definition, response: &Response) -> Option<String> {
    let Some(AccountSource::Request { id, name, .. }) = definition.account() else {
        return None;
    };
    if !(200..300).contains(&response.status) {
        return None;
    }
    let document: Value = serde_json::from_slice(&response.body).ok()?;
    let named = name.as_ref().and_then(|pointer| pointer.find(&document)).and_then(account_text);
    named.or_else(|| id.find(&document).and_then(account_text))
}

pub(super) fn account_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let cleaned: String =
        text.chars().filter(|character| !character.is_control()).take(ACCOUNT_LIMIT).collect();
    let trimmed = cleaned.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
#[path = "tests/api_answer.rs"]
mod tests;
