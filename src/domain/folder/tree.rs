//! The tree of folders: where one stands, and what keeps it from going.

use std::collections::HashMap;

use crate::api::Folder;

use super::super::conditions::Verdict;
use super::super::reason::Reason;

/// Levels of a tree. Nobody meets it; it bounds a path's length, and what follows from all folders above one.
pub const DEEPEST: usize = 64;

/// Display names from the root down, such as `Finance/AP`.
pub(in crate::domain) fn path(folder: &Folder, folders: &[Folder]) -> Result<String, Verdict> {
    let by_name: HashMap<&str, &Folder> =
        folders.iter().filter_map(|other| Some((other.metadata.name.as_deref()?, other))).collect();
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    // The folder itself, then its parent, and so on; and what people call them.
    let (mut passed, mut names) = (vec![name], vec![folder.spec.display_name.as_str()]);
    let mut current = folder;
    while let Some(parent) = &current.spec.parent_ref {
        if passed.contains(&parent.name.as_str()) {
            let message = format!("folder \"{}\" would be its own ancestor", parent.name);
            return Err(Verdict::no(Reason::FolderCycle, message));
        }
        let Some(found) = by_name.get(parent.name.as_str()) else {
            let message =
                format!("spec.parentRef: folder \"{}\" does not exist; create it first", parent.name);
            return Err(Verdict::no(Reason::ParentNotFound, message));
        };
        if passed.len() == DEEPEST {
            let message =
                format!("folder \"{name}\" would be more than {DEEPEST} levels deep; choose a parent above");
            return Err(Verdict::no(Reason::FolderTooDeep, message));
        }
        passed.push(parent.name.as_str());
        names.push(found.spec.display_name.as_str());
        current = found;
    }
    names.reverse();
    Ok(names.join("/"))
}

/// Of two folders that ask for one namespace the younger yields.
pub(super) fn elder_claimant<'a>(folder: &Folder, folders: &'a [Folder]) -> Option<&'a str> {
    let age = |folder: &Folder| {
        (folder.metadata.creation_timestamp.clone().map(|at| at.0), folder.metadata.uid.clone())
    };
    folders
        .iter()
        .filter(|other| other.metadata.uid != folder.metadata.uid)
        .filter(|other| other.namespace_name() == folder.namespace_name())
        .filter(|other| age(other) < age(folder))
        .find_map(|other| other.metadata.name.as_deref())
}

/// Names of what lies in a folder's namespace and keeps the folder from going.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections.
    pub connections: Vec<String>,
    /// `ProcessBindings`.
    pub bindings: Vec<String>,
}

/// Whether nothing keeps a folder from going: no folder below it, and nothing in it.
pub(in crate::domain) fn empty(name: &str, folders: &[Folder], held: &Held) -> Result<(), Verdict> {
    let below = |child: &&Folder| child.spec.parent_ref.as_ref().is_some_and(|parent| parent.name == name);
    let children: Vec<_> =
        folders.iter().filter(below).filter_map(|child| child.metadata.name.clone()).collect();
    let kinds =
        [("folders", &children), ("connections", &held.connections), ("process bindings", &held.bindings)];
    let listed: Vec<_> = kinds
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| format!("{kind}: {}", names.join(", ")))
        .collect();
    if listed.is_empty() {
        return Ok(());
    }
    let message = format!("folder \"{name}\" still holds {}; delete them first", listed.join("; "));
    Err(Verdict::no(Reason::FolderNotEmpty, message))
}
