//! A Connection that is being deleted: its token is revoked where that is possible, once, and it goes.

use crate::api::connection::ConnectionStatus;
use crate::domain::decision::Decision;

use super::Effect;
use super::observed::Observed;

/// Lets the Connection go. Its token Secret follows by its owner reference.
pub(super) fn decide(observed: &Observed) -> Decision<ConnectionStatus, Effect> {
    Decision {
        status: observed.status(),
        events: Vec::new(),
        effect: observed.held_for_revocation().then_some(Effect::Release),
        next: None,
    }
}
