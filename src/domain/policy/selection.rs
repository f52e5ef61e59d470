//! Which policies govern a folder, and at which depth of the folder tree each of them stands.

use std::collections::BTreeMap;

use crate::api::connection_policy::FolderSelection;
use crate::api::{ConnectionPolicy, Folder};

/// Folders that are followed towards the root at most. More than a tree may have; it ends a walk around a circle.
pub const FARTHEST: usize = 64;

/// A folder as policies select it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderNode {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A folder and all above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestry {
    /// From the root down; the last one is the folder itself. Empty where no folder is known.
    pub folders: Vec<FolderNode>,
    /// The folder that should be above the first one and was not found, or stands below it already.
    pub missing: Option<String>,
}

/// The way from the root to a folder, as far as it is known.
pub fn ancestry(name: &str, folders: &[&Folder]) -> Ancestry {
    let find =
        |name: &str| folders.iter().copied().find(|folder| folder.metadata.name.as_deref() == Some(name));
    let mut upwards = Vec::new();
    let mut next = find(name);
    let mut missing = None;
    while let Some(folder) = next {
        upwards.push(FolderNode {
            name: folder.metadata.name.clone().unwrap_or_default(),
            labels: folder.metadata.labels.clone().unwrap_or_default(),
        });
        let Some(parent) = &folder.spec.parent_ref else { break };
        next = find(&parent.name).filter(|_| upwards.len() < FARTHEST);
        missing = next.is_none().then(|| parent.name.clone());
    }
    upwards.reverse();
    Ancestry { folders: upwards, missing }
}

/// All folders below one.
pub fn below<'a>(name: &str, folders: &[&'a Folder]) -> Vec<&'a Folder> {
    let mut found: Vec<&Folder> = Vec::new();
    let mut above = vec![name.to_owned()];
    while let Some(parent) = above.pop() {
        for folder in folders {
            let is_child = folder.spec.parent_ref.as_ref().is_some_and(|reference| reference.name == parent);
            if is_child && !found.iter().any(|known| known.metadata.name == folder.metadata.name) {
                found.push(folder);
                above.extend(folder.metadata.name.clone());
            }
        }
    }
    found
}

/// The folder that has a namespace, else the one that asks for it.
pub fn owner_of<'a>(
    namespace: &str,
    folders: impl IntoIterator<Item = &'a Folder> + 'a,
) -> Option<&'a Folder> {
    let mut candidates: Vec<_> =
        folders.into_iter().filter(|folder| folder.namespace_name() == namespace).collect();
    candidates
        .sort_by_key(|folder| folder.status.as_ref().and_then(|status| status.namespace.as_ref()).is_none());
    candidates.first().copied()
}

/// Policies that govern a folder, by depth: first those of the whole cluster, then those of each folder from the root
/// down. A policy that selects several folders on the way stands at each of them. Within a depth they stand by name.
pub(super) fn levels<'a>(
    policies: &[&'a ConnectionPolicy],
    ancestry: &Ancestry,
) -> Vec<Vec<&'a ConnectionPolicy>> {
    let mut sorted = policies.to_vec();
    sorted.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    let everywhere = sorted.iter().copied().filter(|policy| policy.spec.folders.is_none()).collect();
    let mut levels = vec![everywhere];
    let last = ancestry.folders.len().saturating_sub(1);
    for (depth, folder) in ancestry.folders.iter().enumerate() {
        let stands_here = |policy: &&ConnectionPolicy| {
            let selection = policy.spec.folders.as_ref();
            selection
                .is_some_and(|selection| (depth == last || selection.subtree) && selects(selection, folder))
        };
        levels.push(sorted.iter().copied().filter(stands_here).collect());
    }
    levels
}

/// Whether a folder itself is meant: it is named and bears the labels, where both are said.
pub(super) fn selects(selection: &FolderSelection, folder: &FolderNode) -> bool {
    let named = selection.names.as_ref().is_none_or(|names| names.contains(&folder.name));
    let labelled = selection.selector.as_ref().is_none_or(|selector| {
        selector.match_labels.iter().all(|(key, value)| folder.labels.get(key) == Some(value))
    });
    let says_something = selection.names.is_some() || selection.selector.is_some();
    says_something && named && labelled
}
