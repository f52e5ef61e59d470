//! Which Secrets, parameters and scopes a Connection uses: its own, or those of a policy. This is the one place that
//! reads where a Connection's Secrets are.

use std::collections::BTreeMap;

use crate::api::schema::SecretSource;
use crate::api::{AuthType, ConnectionSpec};
use crate::catalogue::Method;

use super::EffectivePolicy;

/// Whose a Secret is, which says in which namespace it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The Connection names it; it lies beside the Connection.
    Connection,
    /// A policy of this name does; it lies in the operator's own namespace.
    Policy(String),
}

/// A Secret that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretChoice {
    /// Whose it is.
    pub whose: Whose,
    /// Its name.
    pub secret: String,
}

impl SecretChoice {
    fn own(source: &SecretSource) -> Self {
        Self { whose: Whose::Connection, secret: source.secret_ref.name.clone() }
    }

    /// The policy that lends it, if one does.
    pub fn lent_by(&self) -> Option<&str> {
        match &self.whose {
            Whose::Connection => None,
            Whose::Policy(name) => Some(name),
        }
    }

    /// As `status.credentialSource` has it.
    pub fn shown(&self) -> String {
        match &self.whose {
            Whose::Connection => format!("Connection/{}", self.secret),
            Whose::Policy(name) => format!("Policy/{name}"),
        }
    }

    /// The namespace that it lies in.
    pub fn namespace<'a>(&self, connection: &'a str, operator: &'a str) -> &'a str {
        match self.whose {
            Whose::Connection => connection,
            Whose::Policy(_) => operator,
        }
    }
}

/// The Secret with the OAuth client of a Connection that authenticates in this way. Where the way is not known, nothing is
/// lent.
pub fn oauth_app(
    spec: &ConnectionSpec,
    auth_type: Option<AuthType>,
    policy: &EffectivePolicy,
) -> Option<SecretChoice> {
    if let Some(own) = &spec.oauth_app {
        return Some(SecretChoice::own(own));
    }
    let said =
        policy.default.as_ref().filter(|said| auth_type.is_some_and(|it| said.what.lends_app_to(it)))?;
    let lent = said.what.oauth_app.as_ref()?;
    Some(SecretChoice { whose: Whose::Policy(said.by.clone()), secret: lent.secret_ref.name.clone() })
}

/// The policy that has an OAuth app for this Connector and does not lend it to this auth type, though it could.
pub fn withholds_app(auth_type: AuthType, policy: &EffectivePolicy) -> Option<&str> {
    let said = policy.default.as_ref().filter(|said| said.what.oauth_app.is_some())?;
    (auth_type.can_be_lent_app() && !said.what.lends_app_to(auth_type)).then_some(said.by.as_str())
}

/// The Secret with the values of secret parameters.
pub fn credentials(spec: &ConnectionSpec, policy: &EffectivePolicy) -> Option<SecretChoice> {
    if let Some(own) = &spec.credentials {
        return Some(SecretChoice::own(own));
    }
    let said = policy.default.as_ref()?;
    let lent = said.what.credentials.as_ref()?;
    Some(SecretChoice { whose: Whose::Policy(said.by.clone()), secret: lent.secret_ref.name.clone() })
}

/// The same for a method that takes something of it; what a policy lends is of no concern to the others.
pub(in crate::domain) fn for_method(
    choice: Option<SecretChoice>,
    takes_something: bool,
) -> Option<SecretChoice> {
    choice.filter(|choice| takes_something || choice.whose == Whose::Connection)
}

/// Whether a method takes values of secret parameters.
pub(in crate::domain) fn takes_credentials(method: &Method) -> bool {
    !method.secret_names().is_empty()
}

/// Whether requests of this method carry what a policy lends.
pub fn lends(spec: &ConnectionSpec, method: &Method, policy: &EffectivePolicy) -> bool {
    let auth_type = method.auth_type();
    let app = for_method(oauth_app(spec, Some(auth_type), policy), auth_type.has_oauth_client());
    let credentials = for_method(credentials(spec, policy), takes_credentials(method));
    [app, credentials].into_iter().flatten().any(|choice| choice.lent_by().is_some())
}

/// Whether a Connection names an OAuth app itself.
pub(super) fn brings_own_app(spec: &ConnectionSpec) -> bool {
    spec.oauth_app.is_some()
}

/// Names of the Secrets that a Connection itself names.
pub fn own_secrets(spec: &ConnectionSpec) -> Vec<&str> {
    let sources = [spec.credentials.as_ref(), spec.oauth_app.as_ref()];
    sources.into_iter().flatten().map(|source| source.secret_ref.name.as_str()).collect()
}

/// Whether a Connection itself names this Secret.
pub fn names_own_secret(spec: &ConnectionSpec, secret: &str) -> bool {
    own_secrets(spec).contains(&secret)
}

/// Values of parameters, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenParameters {
    /// All values. Those of the Connection itself win.
    pub values: BTreeMap<String, String>,
    /// Names of those that a policy gives, and its name.
    pub by_policy: Option<(Vec<String>, String)>,
}

/// The values that a Connection gives, over those of the policy that its method knows.
pub fn given_parameters(spec: &ConnectionSpec, method: &Method, policy: &EffectivePolicy) -> GivenParameters {
    let mut values = spec.parameters.clone();
    let Some(said) = &policy.default else { return GivenParameters { values, by_policy: None } };
    let mut names = Vec::new();
    for (name, value) in &said.what.parameters {
        let known = method.parameters().iter().any(|known| known.name() == name && !known.is_secret());
        if known && !values.contains_key(name) {
            values.insert(name.clone(), value.clone());
            names.push(name.clone());
        }
    }
    let by_policy = (!names.is_empty()).then(|| (names, said.by.clone()));
    GivenParameters { values, by_policy }
}

/// Scopes to ask for: the Connection's, else the policy's, else the connector's.
pub fn scopes(spec: &ConnectionSpec, method: &Method, policy: &EffectivePolicy) -> Vec<String> {
    let by_policy = policy.default.as_ref().map(|said| said.what.scopes.as_slice()).unwrap_or_default();
    let chosen = [spec.scopes.as_slice(), by_policy].into_iter().find(|scopes| !scopes.is_empty());
    match chosen {
        Some(scopes) => scopes.to_vec(),
        None => method.oauth2().map(|oauth2| oauth2.scopes.default.clone()).unwrap_or_default(),
    }
}
