//! Folders.

use crate::api::Folder;
use crate::domain::folder::{Held, Territory, empty, path, permitted, taken};
use crate::domain::reason::Reason;

use super::Ruling;

/// Judges a new folder beside those that are there. What it depends on cannot change afterwards, so an update passes.
/// A parent that is missing may still come.
pub fn folder(new: &Folder, folders: &[Folder], territory: &Territory) -> Ruling {
    let namespace = new.namespace_name();
    if let Err(fault) = permitted(new, territory) {
        return Ruling::Refuse(fault.message);
    }
    if let Err(fault) = path(new, folders)
        && fault.reason != Reason::ParentNotFound
    {
        return Ruling::Refuse(fault.message);
    }
    let elder = folders
        .iter()
        .filter(|other| other.metadata.name != new.metadata.name)
        // One that is going makes room.
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        .filter(|other| other.namespace_name() == namespace)
        .find_map(|other| other.metadata.name.as_deref());
    match elder {
        Some(elder) => Ruling::Refuse(taken(elder, namespace).message),
        None => Ruling::Pass,
    }
}

/// What to say to who may not take a namespace over.
pub fn adoption_refused(namespace: &str) -> String {
    format!("spec.adopt takes namespace \"{namespace}\" over, which needs the right to update that namespace")
}

/// What a folder that is to be deleted holds.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// All folders.
    pub folders: Vec<Folder>,
    /// Names of what is in the namespace, if that is the folder's.
    pub held: Held,
    /// Whether the namespace is being deleted, with all that is in it.
    pub terminating: bool,
}

/// Judges a deletion: what a folder holds goes first.
pub fn folder_deletion(old: &Folder, leaving: &Leaving) -> Ruling {
    if old.metadata.deletion_timestamp.is_some() || leaving.terminating {
        return Ruling::Pass;
    }
    let name = old.metadata.name.as_deref().unwrap_or_default();
    match empty(name, &leaving.folders, &leaving.held) {
        Ok(()) => Ruling::Pass,
        Err(fault) => Ruling::Refuse(fault.message),
    }
}
