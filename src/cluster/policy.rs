//! `ConnectionPolicies`: which of them govern a Connection.

use kube::runtime::reflector::Store;

use crate::api::{ConnectionPolicy, Folder};
use crate::domain::connection::FolderState;
use crate::domain::policy::{Ancestry, EffectivePolicy, ancestry, owner_of};

use super::{Context, Guarded, folder};

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
