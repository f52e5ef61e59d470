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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn connector(yaml: &str) -> Connector {
        let mut connector = Connector::new("feed", serde_yaml::from_str(yaml).unwrap());
        connector.metadata.generation = Some(1);
        connector
    }

    fn valid(status: &ConnectorStatus) -> (&str, &str, &str) {
        let condition = conditions::find(&status.conditions, ConditionType::Valid).unwrap();
        (&condition.status, &condition.reason, &condition.message)
    }

    const GOOD: &str = "displayName: Feed\nbaseURL: https://feed.example.com\nauthMethods: [{type: None}]";
    const BAD: &str = "displayName: Feed\nbaseURL: ftp://feed.example.com\nauthMethods: []";

    #[test]
    fn a_description_without_faults_is_valid_and_nobody_is_told() {
        let decision = decide(&connector(GOOD), at(0));
        assert_eq!(valid(&decision.status), ("True", "DescriptionValid", ""));
        assert_eq!((decision.events, decision.next), (Vec::new(), None));
        assert_eq!(decision.status.observed_generation, Some(1));
    }

    #[test]
    fn all_faults_are_listed_and_told_once() {
        let mut connector = connector(BAD);
        let decision = decide(&connector, at(0));
        let (status, reason, message) = valid(&decision.status);
        assert_eq!((status, reason), ("False", "DescriptionInvalid"));
        assert!(message.contains("spec.authMethods: ") && message.contains("; spec.baseURL: "), "{message}");
        assert_eq!(decision.events, [Event::warning(Reason::DescriptionInvalid)]);

        connector.status = Some(decision.status.clone());
        let second = decide(&connector, at(100));
        assert_eq!((second.status, second.events), (decision.status, Vec::new()));
    }

    #[test]
    fn a_corrected_description_heals_and_a_new_fault_is_told_again() {
        let mut bad = connector(BAD);
        bad.status = Some(decide(&bad, at(0)).status);
        let mut good = Connector { spec: connector(GOOD).spec, ..bad };
        good.metadata.generation = Some(2);
        let healed = decide(&good, at(10)).status;
        assert_eq!((valid(&healed).0, healed.observed_generation), ("True", Some(2)));
        let again = Connector { spec: connector(BAD).spec, status: Some(healed), ..good };
        assert_eq!(decide(&again, at(20)).events, [Event::warning(Reason::DescriptionInvalid)]);
    }
}
