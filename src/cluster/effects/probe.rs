//! Read-only requests that show whether a credential works, and whose it is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::api::connection::FailureClass;
use crate::catalogue::Definition;
use crate::cluster::{Context, Error, token_store};
use crate::domain::connection::{
    AttemptFailure, Observed, Outcome, Prepared, ProbeOutcome, VerificationOutcome, prepare,
};
use crate::domain::policy;
use crate::domain::reason::Reason;
use crate::envelope::TokenRecord;
use crate::oauth::message::{Request, Response};
use crate::oauth::{self, Credential};

use super::{attempt_failure, send};

/// A credential, read for one use.
enum Held {
    Secrets(BTreeMap<String, SecretString>),
    Token(Box<TokenRecord>),
}

/// Asks whether the credential works, and whose it is; where both are one request, it is sent once.
pub(in crate::cluster) async fn probe(context: &Context, observed: &Observed) -> Result<Outcome, Error> {
    let Ok(prepared) = prepare(observed) else { return Ok(Outcome::Superseded) };
    let Some(held) = credential(context, observed, &prepared).await? else { return Ok(Outcome::Superseded) };
    let credential = match &held {
        Held::Secrets(values) => Credential::Secrets(values),
        Held::Token(record) => Credential::AccessToken(&record.access_token),
    };
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let Prepared { definition, method, values, .. } = &prepared;
    let verification = oauth::verification_request(definition, method, values, credential, &http_allowed);
    // An account that cannot be asked for is not a reason to doubt the credential.
    let mut account =
        oauth::account_request(definition, method, values, credential, &http_allowed).ok().flatten();

    let mut outcome = ProbeOutcome::default();
    match verification {
        Ok(None) => {}
        Err(fault) => {
            outcome.verification = Some(VerificationOutcome::Inconclusive(attempt_failure(fault.failure())));
        }
        Ok(Some(request)) => {
            let shared = account.take_if(|account| oauth::same_request(&request, account)).is_some();
            let Some(verified) = verify(context, observed, definition, request, shared).await else {
                return Ok(Outcome::Superseded);
            };
            outcome = verified;
        }
    }
    let doubtful = outcome.verification.as_ref().is_some_and(|said| *said != VerificationOutcome::Succeeded);
    if let Some(request) = account.filter(|_| !doubtful) {
        let response = send(context, observed, request).await.and_then(Result::ok);
        outcome.account = response.and_then(|response| oauth::account(definition, &response));
    }
    Ok(Outcome::Probed(outcome))
}

async fn credential(
    context: &Context,
    observed: &Observed,
    prepared: &Prepared<'_>,
) -> Result<Option<Held>, Error> {
    if prepared.method.auth_type().is_static() {
        let choice = policy::credentials(&observed.connection.spec, &observed.policy);
        let values = context.secrets.values(observed.namespace(), choice.as_ref()).await?;
        return Ok(Some(Held::Secrets(values)));
    }
    let record = token_store::tokens(context, &observed.connection).await?;
    Ok(record.map(Box::new).map(Held::Token))
}

/// One verification; its answer names the account too, where that is the same request.
async fn verify(
    context: &Context,
    observed: &Observed,
    definition: &Definition,
    request: Request,
    names_account: bool,
) -> Option<ProbeOutcome> {
    let host = request.host_and_port();
    Some(match send(context, observed, request).await? {
        Err(failure) => ProbeOutcome {
            verification: Some(VerificationOutcome::Inconclusive(attempt_failure(failure))),
            account: None,
        },
        Ok(response) => ProbeOutcome {
            account: names_account.then(|| oauth::account(definition, &response)).flatten(),
            verification: Some(judge(definition, host, response, context.clock.now()).await),
        },
    })
}

/// How long a success rule may think. It has a worker of its own, so that a slow one holds nothing else up.
const RULE_LIMIT: Duration = Duration::from_secs(1);

async fn judge(
    definition: &Definition,
    host: String,
    response: Response,
    now: Timestamp,
) -> VerificationOutcome {
    let definition = definition.clone();
    let judged = tokio::task::spawn_blocking(move || oauth::verification(&definition, &host, &response, now));
    match tokio::time::timeout(RULE_LIMIT, judged).await {
        Ok(Ok(outcome)) => verification_outcome(outcome),
        _ => VerificationOutcome::Inconclusive(AttemptFailure {
            reason: Reason::AnswerInvalid,
            class: FailureClass::Permanent,
            retry_after: None,
            message: "the connector's success rule did not come to an end; its administrator has to mend it"
                .to_owned(),
        }),
    }
}

fn verification_outcome(outcome: oauth::VerificationOutcome) -> VerificationOutcome {
    match outcome {
        oauth::VerificationOutcome::Succeeded => VerificationOutcome::Succeeded,
        oauth::VerificationOutcome::Rejected { message } => VerificationOutcome::Rejected(message),
        oauth::VerificationOutcome::Inconclusive { failure } => {
            VerificationOutcome::Inconclusive(attempt_failure(failure))
        }
    }
}
