//! What a person agrees to, so that nothing else is done with their consent. Each term is kept as a digest: together
//! they have to fit a cookie, however many hosts and scopes there are.

use std::collections::BTreeMap;

use crate::domain::connection::{ConnectorState, Observed, Prepared, digest_of};

/// Digests of what a person agrees to, by a name that a message can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(BTreeMap<String, String>);

/// The terms under which a Connection would be authenticated now.
pub fn terms_of(observed: &Observed, prepared: &Prepared<'_>, redirect_uri: &str) -> Terms {
    let connector = match &observed.connector {
        ConnectorState::Valid { identity, .. } => identity.clone(),
        ConnectorState::NotFound | ConnectorState::Invalid(_) | ConnectorState::Unavailable(_) => {
            String::new()
        }
    };
    let generation = observed.connection.metadata.generation.unwrap_or_default();
    let named = [
        ("the connection", format!("{} {generation}", observed.uid())),
        ("the connector", connector),
        ("the OAuth client", prepared.client_id.clone().unwrap_or_default()),
        ("the parameters", format!("{:?}", prepared.values)),
        ("the hosts", prepared.targets.join(" ")),
        ("the scopes", prepared.scopes.join(" ")),
        ("the redirect address", redirect_uri.to_owned()),
    ];
    Terms(named.into_iter().map(|(name, value)| (name.to_owned(), digest_of(&[&value]))).collect())
}

impl Terms {
    /// The terms by name, as they are sealed.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }

    /// Names of what is not as it was agreed to. Names that only one side knows count as well.
    pub fn differences<'a>(&'a self, agreed: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let missing = agreed.keys().filter(|name| !self.0.contains_key(*name));
        let changed = self.0.iter().filter(|(name, value)| agreed.get(*name) != Some(value));
        changed.map(|(name, _)| name).chain(missing).map(String::as_str).collect()
    }
}
