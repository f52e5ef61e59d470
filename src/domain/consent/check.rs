//! What has to be right at every step of a consent, and still at its end.

use jiff::Timestamp;

use crate::domain::connection::{Blocked, prepare_anew};
use crate::domain::reason::Reason;

use super::{ObservedConsent, ResultState, Terms, again, expires_at, terms_of};

/// Why a request comes to its end.
pub(super) enum Ended {
    Expired,
    Failed(Blocked),
}

impl From<Blocked> for Ended {
    fn from(blocked: Blocked) -> Self {
        Self::Failed(blocked)
    }
}

fn blocked(reason: Reason, message: impl Into<String>) -> Ended {
    Ended::Failed(Blocked { reason, message: message.into() })
}

/// What has to be right at every step, in the order in which a person would mend it.
pub(super) fn check(observed: &ObservedConsent, now: Timestamp) -> Result<(), Ended> {
    let spec = &observed.request.spec;
    if now >= expires_at(&observed.request) {
        return Err(Ended::Expired);
    }
    if !observed.stamped {
        return Err(blocked(
            Reason::RequesterNotStamped,
            "nothing shows who made this request: it did not pass Liaison's admission webhook; an administrator can \
             look at the webhook configuration",
        ));
    }
    let name = &spec.connection_ref.name;
    let Some(connection) = &observed.connection else {
        return Err(blocked(
            Reason::ConsentOutdated,
            format!(
                "the connection \"{name}\" that this request names is gone; nothing was sent; make it again, and connect the new one"
            ),
        ));
    };
    let prepared = prepare_anew(connection)?;
    if !prepared.method.auth_type().needs_person() {
        return Err(blocked(
            Reason::ConsentNotNeeded,
            format!(
                "connection \"{name}\" authenticates with {} and needs no person; `kubectl liaison verify {name}` asks whether it works",
                prepared.method.auth_type()
            ),
        ));
    }
    if connection.connection.spec.suspend {
        return Err(blocked(
            Reason::Suspended,
            format!(
                "connection \"{name}\" is suspended; set spec.suspend to false, and then {}",
                again(&observed.request)
            ),
        ));
    }
    if spec.loopback_port.is_none() && !connection.policy.allows_code_entry() {
        return Err(blocked(
            Reason::CodeEntryNotAllowed,
            "the browser has to run on the machine of the command: no policy allows to enter a code by hand",
        ));
    }
    if spec.receipt.is_none() {
        return Ok(());
    }
    returned(observed, &terms_of(connection, &prepared, &connection.redirect_uri(prepared.definition)))
}

/// Whether what came back is for this person, and still for what the person agreed to.
fn returned(observed: &ObservedConsent, present: &Terms) -> Result<(), Ended> {
    let again = again(&observed.request);
    let agreed = match &observed.result {
        ResultState::Opened { receipt_matches: true, terms } => terms,
        ResultState::Opened { .. } => {
            return Err(blocked(
                Reason::ReceiptMismatch,
                format!("the receipt is not the one that the browser was given; nothing was sent; {again}"),
            ));
        }
        ResultState::Unreadable | ResultState::Absent => {
            return Err(blocked(
                Reason::ReceiptMismatch,
                format!("there is a receipt and nothing that it belongs to; nothing was sent; {again}"),
            ));
        }
    };
    if !observed.authorized {
        let requester = observed.request.spec.requester.as_ref();
        return Err(blocked(
            Reason::AuthenticateForbidden,
            format!(
                "user \"{}\" may not authenticate connections in namespace \"{}\" any more; nothing was sent. An \
                 administrator can bind the ClusterRole liaison-connection-user to them there",
                requester.map(|requester| requester.username.as_str()).unwrap_or_default(),
                observed.request.metadata.namespace.as_deref().unwrap_or_default(),
            ),
        ));
    }
    let changed = present.differences(agreed);
    if changed.is_empty() {
        return Ok(());
    }
    Err(blocked(
        Reason::ConsentOutdated,
        format!("changed since the person agreed: {}; nothing was sent; {again}", changed.join(", ")),
    ))
}
