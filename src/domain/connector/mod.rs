//! Connectors: whether a description can be used, with all its faults at once, and when its issuer is asked for the
//! endpoints that the description leaves open.

mod schedule;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::connector::{IssuerMetadata, MetadataFetch};
use crate::api::{Connector, ConnectorStatus};
use crate::catalogue::{self, Definition};

use super::conditions::{self, ConditionType, Verdict, bounded, whole_seconds};
use super::connection::{ConnectorState, Settings, digest_of};
use super::decision::{Decision, Event};
use super::reason::Reason;

/// A snapshot of one Connector and all that it depends on.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Connector, with the status that was last recorded.
    pub connector: Connector,
    /// The operator's settings.
    pub settings: Arc<Settings>,
}

/// One thing to do outside for a Connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask this issuer for its metadata.
    FetchMetadata {
        /// The issuer, as the Connector names it.
        issuer: String,
    },
}

/// What an effect brought about.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The issuer named its endpoints.
    Fetched(IssuerMetadata),
    /// There was no usable answer.
    NotFetched {
        /// For people: host, cause, and who can mend it.
        message: String,
        /// How long the issuer asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Decides about a Connector: a faulty one is accepted and says so.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<ConnectorStatus, Effect> {
    let connector = &observed.connector;
    let mut status = connector.status.clone().unwrap_or_default();
    let mut asking = None;
    let verdict = match catalogue::check(&connector.spec) {
        Err(faults) => Verdict::no(Reason::DescriptionInvalid, listed(&faults).join("; ")),
        Ok(definition) => match definition.metadata_issuer() {
            None => {
                (status.metadata, status.metadata_fetch) = (None, None);
                Verdict::yes(Reason::DescriptionValid, "")
            }
            Some(issuer) => {
                let inputs = inputs(observed, issuer);
                let last = status.metadata_fetch.as_ref();
                let due = last.map_or(now, |last| schedule::due_at(last, last.inputs != inputs));
                asking = Some((due, issuer.to_owned()));
                // That of an issuer that was named before is of no more use.
                status.metadata = status.metadata.filter(|known| definition.with_metadata(known).is_some());
                let said = last.filter(|last| last.inputs == inputs).and_then(|last| last.message.as_deref());
                metadata_verdict(status.metadata.as_ref(), said)
            }
        },
    };
    let events = events(&status, &verdict);
    let generation = connector.metadata.generation;
    status.observed_generation = generation;
    status.conditions =
        conditions::merge(&status.conditions, [(ConditionType::Valid, verdict)], generation, now);
    match asking {
        Some((due, issuer)) if due <= now => {
            Decision { status, events, effect: Some(Effect::FetchMetadata { issuer }), next: None }
        }
        asking => Decision { status, events, effect: None, next: asking.map(|(due, _)| due) },
    }
}

/// What can be said where the endpoints come from the issuer. `said` is why it could not be asked the last time.
fn metadata_verdict(known: Option<&IssuerMetadata>, said: Option<&str>) -> Verdict {
    match (known, said) {
        (Some(_), None) => Verdict::yes(Reason::DescriptionValid, ""),
        (Some(known), Some(said)) => Verdict::yes(
            Reason::DescriptionValid,
            format!("the endpoints that the issuer named at {} stay in use: {said}", known.time.0),
        ),
        (None, said) => Verdict::no(Reason::IssuerMetadataUnavailable, said.unwrap_or(NOT_ASKED_YET)),
    }
}

const NOT_ASKED_YET: &str = "the metadata of the connector's issuer, which names its endpoints, has not been \
                             fetched yet; it is asked for as soon as the limits allow it";

/// What a failure's message goes on with.
const NEXT_STEP: &str = "It is asked again within an hour, and soon after a change of the connector.";

/// An Event where the Connector cannot be used for a new reason.
fn events(before: &ConnectorStatus, verdict: &Verdict) -> Vec<Event> {
    let before = conditions::find(&before.conditions, ConditionType::Valid);
    let known =
        before.is_some_and(|before| before.status == "False" && before.reason == verdict.reason.as_str());
    if verdict.holds() || known { Vec::new() } else { vec![Event::warning(verdict.reason)] }
}

/// Digest of everything that a request for metadata depends on.
fn inputs(observed: &Observed, issuer: &str) -> String {
    let generation = observed.connector.metadata.generation.unwrap_or_default();
    digest_of(&[issuer, &generation.to_string(), &format!("{:?}", observed.settings.egress_exceptions)])
}

/// The snapshot as it is after an effect, with the facts that the effect taught.
pub fn learn(mut observed: Observed, outcome: Outcome, now: Timestamp) -> Observed {
    let checked = catalogue::check(&observed.connector.spec);
    let Some(issuer) = checked.as_ref().ok().and_then(Definition::metadata_issuer) else { return observed };
    let inputs = inputs(&observed, issuer);
    let uid = observed.connector.metadata.uid.clone().unwrap_or_default();
    let status = observed.connector.status.get_or_insert_default();
    let last = status.metadata_fetch.take();
    let before = last.as_ref().map(|last| last.paid_until.0);
    let failures = last.filter(|last| last.inputs == inputs).map_or(0, |last| last.failures);
    let fetch = |failures, due_at, retry_after, message| MetadataFetch {
        time: whole_seconds(now),
        inputs,
        failures,
        due_at: whole_seconds(due_at),
        paid_until: whole_seconds(schedule::paid_until(now, before, retry_after)),
        message,
    };
    status.metadata_fetch = Some(match outcome {
        Outcome::Fetched(metadata) => {
            status.metadata = Some(metadata);
            fetch(0, schedule::renewal_at(&uid, now), None, None)
        }
        Outcome::NotFetched { message, retry_after } => {
            let failures = failures.saturating_add(1);
            let due_at = schedule::retry_at(&uid, now, failures, retry_after);
            let message = format!("{}. {NEXT_STEP}", message.trim_end_matches('.'));
            fetch(failures, due_at, retry_after, Some(bounded(message)))
        }
    });
    observed
}

/// A Connector as its Connections see it.
pub fn state_of(connector: &Connector) -> ConnectorState {
    let definition = match catalogue::check(&connector.spec) {
        Ok(definition) => definition,
        Err(faults) => return ConnectorState::Invalid(listed(&faults)),
    };
    let uid = connector.metadata.uid.as_deref().unwrap_or_default();
    let generation = connector.metadata.generation.unwrap_or_default();
    let identity = format!("{uid}/{generation}");
    if definition.metadata_issuer().is_none() {
        return ConnectorState::Valid { definition: Arc::new(definition), identity };
    }
    let known = connector.status.as_ref().and_then(|status| status.metadata.as_ref());
    let completed = known.and_then(|known| Some((definition.with_metadata(known)?, endpoints_digest(known))));
    match completed {
        Some((definition, endpoints)) => ConnectorState::Valid {
            definition: Arc::new(definition),
            identity: format!("{identity}/{endpoints}"),
        },
        None => ConnectorState::Unavailable(why_unavailable(connector).unwrap_or(NOT_ASKED_YET).to_owned()),
    }
}

/// Why the issuer's metadata is missing, as the condition says of this very description.
pub fn why_unavailable(connector: &Connector) -> Option<&str> {
    let status = connector.status.as_ref()?;
    let valid = conditions::find(&status.conditions, ConditionType::Valid)?;
    let speaks_of_this = valid.observed_generation == connector.metadata.generation
        && valid.reason == Reason::IssuerMetadataUnavailable.as_str();
    speaks_of_this.then_some(valid.message.as_str())
}

/// The same as long as the endpoints are, whenever they were named.
fn endpoints_digest(metadata: &IssuerMetadata) -> String {
    digest_of(&[
        &metadata.authorization_endpoint,
        &metadata.token_endpoint,
        metadata.revocation_endpoint.as_deref().unwrap_or_default(),
        metadata.introspection_endpoint.as_deref().unwrap_or_default(),
    ])
}

fn listed(faults: &[catalogue::Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
