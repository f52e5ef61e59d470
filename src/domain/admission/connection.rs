//! Connections.

use crate::api::connector::Stability;
use crate::api::{Connection, ConnectionSpec, Connector};
use crate::catalogue::{Definition, Values};
use crate::domain::connection::{Blocked, ConnectorState, method, parameters};
use crate::domain::policy::{self, EffectivePolicy};

use super::Ruling;

/// The Connector that a Connection names, as far as it is there.
#[derive(Clone, Debug)]
pub struct ConnectorSeen {
    /// Its checked description.
    pub state: ConnectorState,
    /// How settled its description is.
    pub stability: Stability,
}

impl ConnectorSeen {
    /// There is none of that name.
    pub fn not_found() -> Self {
        Self { state: ConnectorState::NotFound, stability: Stability::GA }
    }

    /// A Connector with its checked description.
    pub fn found(connector: &Connector, state: ConnectorState) -> Self {
        Self { state, stability: connector.spec.stability }
    }

    /// Whether it is there and has no faults.
    pub fn is_usable(&self) -> bool {
        self.definition().is_some()
    }

    fn definition(&self) -> Option<&Definition> {
        match &self.state {
            ConnectorState::Valid { definition, .. } => Some(definition),
            ConnectorState::NotFound | ConnectorState::Invalid(_) | ConnectorState::Unavailable(_) => None,
        }
    }
}

/// Refuses what policies do not allow, and what does not fit a Connector that is there and without faults. What refers to something that is missing or
/// faulty passes: its condition says so until that is mended. What was wrong before for the same reason passes too, so
/// that an object which became wrong when its Connector changed can still be suspended or described.
pub fn connection(
    old: Option<&Connection>,
    new: &Connection,
    connector: &ConnectorSeen,
    policy: &EffectivePolicy,
) -> Ruling {
    let unchanged = old.is_some_and(|old| old.spec == new.spec);
    if unchanged || new.metadata.deletion_timestamp.is_some() {
        return Ruling::Pass;
    }
    if let Some(blocked) = against(&new.spec, connector.definition(), policy) {
        let before = old.and_then(|old| against(&old.spec, connector.definition(), policy));
        if before.as_ref() != Some(&blocked) {
            return Ruling::Refuse(blocked.message);
        }
    }
    if connector.definition().is_none() {
        return Ruling::Pass;
    }
    if old.is_none() && connector.stability == Stability::Preview {
        return Ruling::Warn(format!(
            "connector \"{}\" is a preview: its parameters and its way to authenticate may still change",
            new.spec.connector_ref.name
        ));
    }
    Ruling::Pass
}

/// What stands against a spec: what policies do not allow, and what does not fit the Connector.
fn against(
    spec: &ConnectionSpec,
    definition: Option<&Definition>,
    policy: &EffectivePolicy,
) -> Option<Blocked> {
    if let Some(violation) = policy::violation(spec, definition, policy) {
        return Some(violation.blocked);
    }
    fits(spec, definition?, policy).err()
}

fn fits(spec: &ConnectionSpec, definition: &Definition, policy: &EffectivePolicy) -> Result<Values, Blocked> {
    let method = method(spec, definition)?;
    parameters(spec, policy, definition, method)
}

/// Whether an update would send credentials elsewhere by its parameters alone. Where nobody knows where they go, any
/// change might.
pub fn reaches_other_hosts(
    old: &ConnectionSpec,
    new: &ConnectionSpec,
    connector: &ConnectorSeen,
    policy: &EffectivePolicy,
) -> bool {
    if old.parameters == new.parameters {
        return false;
    }
    let Some(definition) = connector.definition() else { return true };
    let targets = |spec: &ConnectionSpec| {
        let method = method(spec, definition).ok()?;
        let given = policy::given_parameters(spec, method, policy);
        let values = definition.resolve(method, &given.values).ok()?;
        definition.targets(method, &values, &|_, _| true).ok()
    };
    match (targets(old), targets(new)) {
        // What fits no Connector goes nowhere.
        (_, None) => false,
        (old, new) => old != new,
    }
}
