//! Connectors: checked once per generation; their status says whether they can be used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use crate::api::Connector;
use crate::catalogue::{self, Definition};
use crate::domain::connection::ConnectorState;
use crate::domain::connector::decide;

use super::record::Recorded;
use super::{Context, Error, Guarded, record};

const FIELD_MANAGER: &str = "liaison-connector";

/// One pass over a Connector.
pub async fn reconcile(connector: Arc<Guarded<Connector>>, context: Arc<Context>) -> Result<Action, Error> {
    let connector = connector.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    if connector.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let decision = decide(connector, context.clock.now());
    let api: Api<Connector> = Api::all(context.client.clone());
    match record::status(&api, connector, &decision.status, FIELD_MANAGER).await? {
        Recorded::Unchanged => {}
        Recorded::Written(_) => {
            record::events(&context.recorder, &connector.object_ref(&()), &decision.events).await;
        }
        Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
    }
    Ok(Action::await_change())
}

/// Checked descriptions by uid and generation, so that 10,000 Connections do not check one Connector each.
#[derive(Default)]
pub struct Definitions(Mutex<HashMap<String, (i64, CheckedDefinition)>>);

type CheckedDefinition = Result<Arc<Definition>, Vec<String>>;

impl Definitions {
    /// The checked description of a Connector as it is now.
    pub fn state_of(&self, connector: &Connector) -> ConnectorState {
        let uid = connector.uid().unwrap_or_default();
        let generation = connector.metadata.generation.unwrap_or_default();
        let mut definitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = definitions.get(&uid).filter(|(known, _)| *known == generation);
        let checked = known.map(|(_, checked)| checked.clone());
        let checked = checked.unwrap_or_else(|| {
            let checked = catalogue::check(&connector.spec)
                .map(Arc::new)
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>());
            definitions.insert(uid.clone(), (generation, checked.clone()));
            checked
        });
        match checked {
            Ok(definition) => ConnectorState::Valid { definition, identity: format!("{uid}/{generation}") },
            Err(faults) => ConnectorState::Invalid(faults),
        }
    }

    /// Forgets a Connector that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
