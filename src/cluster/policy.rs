//! `ConnectionPolicies`: which of them govern a Connection, and passes over the policies themselves, whose status says
//! what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Resource};

use crate::api::connection_policy::ConnectorDefaults;
use crate::api::{ConnectionPolicy, ConnectionPolicySpec, Folder};
use crate::domain::connection::FolderState;
use crate::domain::policy::review::{Observed, decide};
use crate::domain::policy::{Ancestry, EffectivePolicy, SecretChoice, Whose, ancestry, owner_of};

use super::record::Recorded;
use super::{Context, Error, Guarded, connection, folder, record};

const FIELD_MANAGER: &str = "liaison-policy";

/// One pass over a policy.
pub async fn reconcile(
    policy: Arc<Guarded<ConnectionPolicy>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let policy = policy.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let observed = observe(policy, &context).await?; // reads
    let decision = decide(&observed, context.clock.now()); // pure
    let api: Api<ConnectionPolicy> = Api::all(context.client.clone());
    match record::status(&api, policy, &decision.status, FIELD_MANAGER).await? {
        Recorded::Unchanged => {}
        Recorded::Written(_) => {
            record::events(&context.recorder, &policy.object_ref(&()), &decision.events).await;
        }
        Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
    }
    Ok(Action::await_change())
}

async fn observe(policy: &ConnectionPolicy, context: &Context) -> Result<Observed, Error> {
    let mut secrets = BTreeMap::new();
    for secret in policy.spec.defaults.iter().flat_map(ConnectorDefaults::secrets) {
        let whose = Whose::Policy(policy.metadata.name.clone().unwrap_or_default());
        let choice = SecretChoice { whose, secret: secret.to_owned() };
        let state = context.secrets.state_of("", Some(&choice), &context.keyring).await?;
        secrets.insert(secret.to_owned(), state);
    }
    let folders = context.folders.state();
    Ok(Observed {
        policy: policy.clone(),
        folders: folders.iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect(),
        connectors: connectors_of(&policy.spec)
            .map(|name| (name.clone(), connection::connector_state(context, name)))
            .collect(),
        secrets,
        operator_namespace: context.operator_namespace.clone(),
    })
}

/// The Connectors that a policy names.
fn connectors_of(spec: &ConnectionPolicySpec) -> impl Iterator<Item = &String> {
    let rules = spec.connectors.iter();
    let listed = rules.flat_map(|rules| rules.allow.iter().flatten().chain(&rules.deny));
    listed.chain(spec.defaults.iter().map(|entry| &entry.connector))
}

/// The folder of a namespace as its connections see it, and what the policies of the folder tree come to for those on
/// this connector.
pub(super) fn governing(
    context: &Context,
    namespace: &str,
    connector: &str,
) -> (FolderState, EffectivePolicy) {
    let (owner, ancestry) = ancestry_of(&context.folders, namespace);
    let policy = effective(&context.policies, &ancestry, connector);
    (folder_state(owner.as_ref(), &ancestry), policy)
}

/// What the policies come to for a Connection on this connector of a folder with this ancestry.
pub(super) fn effective(
    policies: &Store<Guarded<ConnectionPolicy>>,
    ancestry: &Ancestry,
    connector: &str,
) -> EffectivePolicy {
    let policies = policies.state();
    let policies: Vec<_> = policies.iter().filter_map(|object| object.0.as_ref().ok()).collect();
    EffectivePolicy::of(&policies, ancestry, connector)
}

/// The folder of a namespace, and the way to it from the root. It is the one whose status says that it owns the
/// namespace; one that only asks for it stands in where there is none.
pub(super) fn ancestry_of(folders: &Store<Guarded<Folder>>, namespace: &str) -> (Option<Folder>, Ancestry) {
    let folders = folders.state();
    let folders: Vec<&Folder> = folders.iter().filter_map(|object| object.0.as_ref().ok()).collect();
    let Some(owner) = owner_of(namespace, folders.iter().copied()) else { return Default::default() };
    let name = owner.metadata.name.as_deref().unwrap_or_default();
    (Some(owner.clone()), ancestry(name, &folders))
}

/// What a folder is for its connections. While nobody knows what stands above it, nobody knows what is allowed there.
pub(super) fn folder_state(owner: Option<&Folder>, ancestry: &Ancestry) -> FolderState {
    let Some(owner) = owner else { return FolderState::NotFound };
    match (folder::state_for_connections(owner), &ancestry.missing) {
        (FolderState::Ready(name), Some(missing)) => {
            let cause = format!("folder \"{missing}\" above it does not exist, or is below it as well");
            FolderState::NotReady(name, cause)
        }
        (state, _) => state,
    }
}
