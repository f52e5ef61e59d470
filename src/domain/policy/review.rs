//! `ConnectionPolicies` as objects: how many folders each of them governs, and all that is wrong with it at once. What is
//! right in a faulty policy governs nevertheless.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::connection_policy::{ConnectorDefaults, PolicySecret};
use crate::api::names::{CLIENT_ID_KEY, CLIENT_SECRET_KEY, CREDENTIALS_LABEL};
use crate::api::{AuthType, ConnectionPolicy, ConnectionPolicyStatus, Folder};
use crate::catalogue::{Definition, Method, ParameterFaultKind};
use crate::domain::conditions::{self, ConditionType, Verdict};
use crate::domain::connection::{ConnectorState, SecretState};
use crate::domain::decision::{Decision, Event};
use crate::domain::reason::Reason;

use super::selection::{ancestry, selects};
use super::{host_and_port, rules};

/// A snapshot of one policy and all that it names.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The policy, with the status that was last recorded.
    pub policy: ConnectionPolicy,
    /// All folders.
    pub folders: Vec<Folder>,
    /// The Connectors that it names.
    pub connectors: BTreeMap<String, ConnectorState>,
    /// The Secrets of the operator's namespace that it names.
    pub secrets: BTreeMap<String, SecretState>,
    /// The operator's own namespace.
    pub operator_namespace: String,
}

/// Nothing is done for a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {}

/// Decides about a policy: its status.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<ConnectionPolicyStatus, Effect> {
    let metadata = &observed.policy.metadata;
    let mut status = observed.policy.status.clone().unwrap_or_default();
    status.folders = i64::try_from(governed(observed)).ok();
    status.observed_generation = metadata.generation;
    let faults = faults(observed);
    let verdict = if faults.is_empty() {
        Verdict::yes(Reason::PolicyValid, "")
    } else {
        Verdict::no(Reason::PolicyInvalid, faults.join("; "))
    };
    let before = conditions::find(&status.conditions, ConditionType::Valid).map(|valid| valid.reason.clone());
    let is_news = !verdict.holds() && before.as_deref() != Some(verdict.reason.as_str());
    let events = if is_news { vec![Event::warning(verdict.reason)] } else { Vec::new() };
    let progress = conditions::progress_of(&verdict);
    let verdicts = std::iter::once((ConditionType::Valid, verdict)).chain(progress);
    status.conditions = conditions::merge(&status.conditions, verdicts, metadata.generation, now);
    Decision { status, events, effect: None, next: None }
}

/// How many folders it governs.
fn governed(observed: &Observed) -> usize {
    let Some(selection) = &observed.policy.spec.folders else { return observed.folders.len() };
    let folders: Vec<&Folder> = observed.folders.iter().collect();
    let is_governed = |folder: &&Folder| {
        let way = ancestry(folder.metadata.name.as_deref().unwrap_or_default(), &folders).folders;
        let last = way.len().saturating_sub(1);
        let mut nodes = way.iter().enumerate();
        nodes.any(|(depth, node)| (depth == last || selection.subtree) && selects(selection, node))
    };
    observed.folders.iter().filter(is_governed).count()
}

/// All that is wrong, a line each.
fn faults(observed: &Observed) -> Vec<String> {
    let spec = &observed.policy.spec;
    let mut faults = Vec::new();
    let named = spec.folders.as_ref().and_then(|folders| folders.names.as_ref());
    for name in named.into_iter().flatten() {
        if !observed.folders.iter().any(|folder| folder.metadata.name.as_ref() == Some(name)) {
            faults.push(format!("spec.folders.names: folder \"{name}\" does not exist"));
        }
    }
    if let Some(rules) = &spec.connectors {
        let lists = [("allow", rules.allow.as_deref().unwrap_or_default()), ("deny", &rules.deny)];
        for (list, names) in lists {
            let unknown = names.iter().filter(|name| is_unknown(observed, name));
            faults.extend(
                unknown.map(|name| format!("spec.connectors.{list}: connector \"{name}\" does not exist")),
            );
        }
    }
    let unfit = spec.egress_exceptions.iter().filter(|text| host_and_port(text).is_none());
    faults
        .extend(unfit.map(|text| format!("spec.egressExceptions: \"{text}\" is not one host and one port")));
    for entry in &spec.defaults {
        faults.extend(of_entry(observed, entry));
    }
    faults
}

fn is_unknown(observed: &Observed, connector: &str) -> bool {
    matches!(observed.connectors.get(connector), None | Some(ConnectorState::NotFound))
}

/// What is wrong with the defaults for one Connector.
fn of_entry(observed: &Observed, entry: &ConnectorDefaults) -> Vec<String> {
    let field = |part: &str| format!("spec.defaults[{}].{part}", entry.connector);
    let mut faults = Vec::new();
    let definition = match observed.connectors.get(&entry.connector) {
        None | Some(ConnectorState::NotFound) => {
            faults.push(format!("spec.defaults: connector \"{}\" does not exist", entry.connector));
            None
        }
        Some(ConnectorState::Valid { definition, .. }) => Some(definition.as_ref()),
        // Its own condition says what is wrong with it.
        Some(ConnectorState::Invalid(_) | ConnectorState::Unavailable(_)) => None,
    };
    if let Some(app) = &entry.oauth_app {
        let unfit = definition.map(|definition| of_lending(definition, entry)).unwrap_or_default();
        faults.extend(unfit.into_iter().map(|(part, fault)| format!("{}{fault}", field(part))));
        let is_complete = |keys: &BTreeMap<String, String>| {
            let has = |key| keys.contains_key(key);
            let public =
                definition.is_some_and(|definition| methods(definition).any(Method::is_public_client));
            missing([
                (CLIENT_ID_KEY, has(CLIENT_ID_KEY)),
                (CLIENT_SECRET_KEY, public || has(CLIENT_SECRET_KEY)),
            ])
        };
        faults.extend(of_secret(observed, app, &field("oauthApp.secretRef"), is_complete));
    }
    if let Some(credentials) = &entry.credentials {
        let is_complete =
            |keys: &BTreeMap<String, String>| definition.and_then(|known| lacks_credentials(known, keys));
        faults.extend(of_secret(observed, credentials, &field("credentials.secretRef"), is_complete));
    }
    if let Some(definition) = definition {
        faults.extend(
            of_parameters(definition, entry)
                .into_iter()
                .map(|fault| format!("{}.{fault}", field("parameters"))),
        );
        faults.extend(of_hosts(definition, entry).map(|fault| format!("{}: {fault}", field("allowedHosts"))));
    }
    faults
}

fn methods(definition: &Definition) -> impl Iterator<Item = &Method> {
    definition.auth_types().into_iter().filter_map(|auth_type| definition.method(auth_type))
}

/// An app has to be of use to somebody, and is lent to no auth type that could not have it. Each fault with its field.
fn of_lending(definition: &Definition, entry: &ConnectorDefaults) -> Vec<(&'static str, String)> {
    let offered = definition.auth_types();
    let is_unfit = |auth_type: &&AuthType| !offered.contains(*auth_type) || !auth_type.can_be_lent_app();
    let unfit = entry.auth_types.iter().flatten().filter(is_unfit).map(|auth_type| {
        let why = match auth_type {
            AuthType::OAuth2BringYourOwnApp => "brings an app of one's own and is lent none",
            _ if offered.contains(auth_type) => "has no OAuth client",
            _ => "is not supported by the connector",
        };
        ("authTypes", format!(": authType \"{auth_type}\" {why}"))
    });
    let mut faults: Vec<_> = unfit.collect();
    if !offered.iter().any(|auth_type| auth_type.has_oauth_client()) {
        faults
            .push(("oauthApp", " has no use: no auth type of the connector has an OAuth client".to_owned()));
    } else if entry.auth_types.is_none() && !offered.iter().any(|auth_type| entry.lends_app_to(*auth_type)) {
        let able: Vec<_> = offered.iter().filter(|auth_type| auth_type.can_be_lent_app()).collect();
        let able = able.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        faults.push((
            "oauthApp",
            format!(
                " has no use: no auth type of the connector needs a person, and others are lent it only where \
                 authTypes names them: {able}"
            ),
        ));
    }
    faults
}

/// What is wrong with a Secret; `lacks` says which keys it misses, where it can be read.
fn of_secret(
    observed: &Observed,
    source: &PolicySecret,
    field: &str,
    lacks: impl Fn(&BTreeMap<String, String>) -> Option<String>,
) -> Option<String> {
    let name = &source.secret_ref.name;
    let namespace = &observed.operator_namespace;
    match observed.secrets.get(name) {
        Some(SecretState::Found { fingerprints, .. }) => lacks(fingerprints).map(|keys| {
            format!(
                "{field}: secret \"{name}\" in namespace \"{namespace}\" lacks a value under the key {keys}"
            )
        }),
        Some(SecretState::NotLabelled(_)) => Some(format!(
            "{field}: secret \"{name}\" does not allow its use by connections; run `kubectl label secret {name} -n \
             {namespace} {CREDENTIALS_LABEL}=true`"
        )),
        None | Some(SecretState::NotFound(_) | SecretState::NotReferenced) => Some(format!(
            "{field}: secret \"{name}\" does not exist in namespace \"{namespace}\", the operator's own; create it with \
             the label {CREDENTIALS_LABEL}: \"true\""
        )),
    }
}

fn missing<const COUNT: usize>(keys: [(&str, bool); COUNT]) -> Option<String> {
    let missing: Vec<_> = keys.into_iter().filter(|(_, there)| !there).map(|(key, _)| key).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Credentials have to be complete for one of the ways to authenticate.
fn lacks_credentials(definition: &Definition, keys: &BTreeMap<String, String>) -> Option<String> {
    let lacking =
        methods(definition).map(Method::secret_names).filter(|names| !names.is_empty()).map(|names| {
            let missing: Vec<_> = names.required.into_iter().filter(|key| !keys.contains_key(key)).collect();
            missing.join(", ")
        });
    lacking.min_by_key(String::len).filter(|keys| !keys.is_empty())
}

/// A parameter has to be known to one of the ways to authenticate, with this value; what is missing a Connection gives.
fn of_parameters(definition: &Definition, entry: &ConnectorDefaults) -> Vec<String> {
    let fault = |name: &str, value: &str| {
        let given = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let mut first = None;
        for method in methods(definition) {
            let faults = definition.resolve(method, &given).err().unwrap_or_default();
            let own = faults.into_iter().find(|fault| {
                fault.kind != ParameterFaultKind::Missing && fault.field.ends_with(&format!(".{name}"))
            });
            first = first.or(Some(own?));
        }
        first.map(|fault| format!("{name} {}", fault.message))
    };
    entry.parameters.iter().filter_map(|(name, value)| fault(name, value)).collect()
}

/// Where what is lent can go at all, it has to be let go there.
fn of_hosts(definition: &Definition, entry: &ConnectorDefaults) -> Option<String> {
    entry.secrets().next()?;
    let mut closest: Option<String> = None;
    for method in methods(definition) {
        let values = definition.resolve(method, &entry.parameters).ok();
        let targets = values.and_then(|values| definition.targets(method, &values, &|_, _| true).ok());
        match rules::beyond(&targets?, &entry.allowed_hosts) {
            None => return None,
            Some(beyond) => {
                let is_closer = closest.as_ref().is_none_or(|known| beyond.len() < known.len());
                closest = if is_closer { Some(beyond) } else { closest };
            }
        }
    }
    closest.map(|beyond| format!("no auth type of the connector does without {beyond}"))
}
