//! Connectors: whether a description can be used, with all its faults at once.

use jiff::Timestamp;

use crate::api::{Connector, ConnectorStatus};
use crate::catalogue;

use super::conditions::{self, ConditionType, Verdict};
use super::decision::{Decision, Event};
use super::reason::Reason;

/// A Connector has no effects outside its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {}

/// Decides about a Connector: a faulty one is accepted and says so.
pub fn decide(connector: &Connector, now: Timestamp) -> Decision<ConnectorStatus, Effect> {
    let verdict = match catalogue::check(&connector.spec) {
        Ok(_) => Verdict::yes(Reason::DescriptionValid, ""),
        Err(faults) => {
            let listed: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Verdict::no(Reason::DescriptionInvalid, listed.join("; "))
        }
    };
    let mut status = connector.status.clone().unwrap_or_default();
    let before = conditions::find(&status.conditions, ConditionType::Valid).map(|c| c.status.clone());
    let turned_bad = !verdict.holds() && before.as_deref() != Some("False");
    let events = if turned_bad { vec![Event::warning(Reason::DescriptionInvalid)] } else { Vec::new() };
    let generation = connector.metadata.generation;
    status.observed_generation = generation;
    status.conditions =
        conditions::merge(&status.conditions, [(ConditionType::Valid, verdict)], generation, now);
    Decision { status, events, effect: None, next: None }
}
