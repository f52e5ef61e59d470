//! Connectors: one pass is observe → decide → act. Their status says whether they can be used, and holds what their
//! issuers name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use crate::api::Connector;
use crate::api::connector::IssuerMetadata;
use crate::domain::connection::ConnectorState;
use crate::domain::connector::{self, Effect, Observed, decide, learn};

use super::record::Recorded;
use super::{Context, Error, Guarded, again_at, effects, record};

const FIELD_MANAGER: &str = "liaison-connector";

/// One pass over a Connector.
pub async fn reconcile(connector: Arc<Guarded<Connector>>, context: Arc<Context>) -> Result<Action, Error> {
    let connector = connector.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    if connector.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let observed = Observed { connector: connector.clone(), settings: Arc::clone(&context.settings) };
    let mut decision = decide(&observed, context.clock.now());
    if let Some(Effect::FetchMetadata { issuer }) = &decision.effect {
        let Some(outcome) = effects::fetch_metadata(&context, issuer).await else {
            return Ok(Action::requeue(record::LOOK_AGAIN));
        };
        let now = context.clock.now();
        decision = decide(&learn(observed, outcome, now), now);
    }
    let api: Api<Connector> = Api::all(context.client.clone());
    match record::status(&api, connector, &decision.status, FIELD_MANAGER).await? {
        Recorded::Unchanged => {}
        Recorded::Written(_) => {
            record::events(&context.recorder, &connector.object_ref(&()), &decision.events).await;
        }
        Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
    }
    Ok(again_at(context.clock.now(), decision.next))
}

/// Checked descriptions by uid, so that 10,000 Connections do not check one Connector each. One is made anew when the
/// generation changes, or what is known of the issuer.
#[derive(Default)]
pub struct Definitions(Mutex<HashMap<String, (Version, ConnectorState)>>);

/// All that a checked description depends on.
#[derive(PartialEq)]
struct Version {
    generation: Option<i64>,
    metadata: Option<IssuerMetadata>,
    unavailable: Option<String>,
}

impl Definitions {
    /// The checked description of a Connector as it is now.
    pub fn state_of(&self, connector: &Connector) -> ConnectorState {
        let uid = connector.uid().unwrap_or_default();
        let version = Version {
            generation: connector.metadata.generation,
            metadata: connector.status.as_ref().and_then(|status| status.metadata.clone()),
            unavailable: connector::why_unavailable(connector).map(str::to_owned),
        };
        let mut definitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, state)) = definitions.get(&uid).filter(|(known, _)| *known == version) {
            return state.clone();
        }
        let state = connector::state_of(connector);
        definitions.insert(uid, (version, state.clone()));
        state
    }

    /// Forgets a Connector that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
