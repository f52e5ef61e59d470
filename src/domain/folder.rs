//! Folders: which namespace belongs to which, and when one may go.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::names::{CREATED_BY_ANNOTATION, FOLDER_FINALIZER, FOLDER_LABEL};
use crate::api::{Folder, FolderStatus};

use super::conditions::{self, ConditionType, Verdict};
use super::decision::{Decision, Event};
use super::reason::{Fixer, Reason};

/// Namespaces that no folder may take: they belong to the cluster.
const RESERVED: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Deepest folder tree. Far more than people use; it bounds the walk to the root and the length of a path.
const DEEPEST: usize = 15;

/// What no watch tells of, such as a namespace without our label or a folder that went without a finalizer, is
/// looked at again after this.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// A snapshot of one Folder and all that it depends on.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Folder, with the status that was last recorded.
    pub folder: Folder,
    /// All folders, this one included.
    pub folders: Vec<Folder>,
    /// The namespace that it asks for, if it exists.
    pub namespace: Option<NamespaceFacts>,
    /// Names of what its namespace holds; looked up only for a folder that is being deleted.
    pub contents: Contents,
    /// The operator's own namespace, which no folder may take.
    pub operator_namespace: String,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// What a namespace holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Names of Connections.
    pub connections: Vec<String>,
    /// Whether there are Pods or persistent volume claims, which outlive a folder.
    pub workloads: bool,
}

/// One thing to do outside for a Folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Add the finalizer, so that the folder goes after what it holds.
    Hold,
    /// Make the namespace.
    CreateNamespace,
    /// Set the label that says whose the namespace is.
    LabelNamespace,
    /// Delete the namespace that this folder made.
    DeleteNamespace,
    /// Take the label away and let the folder go.
    Release,
}

/// Decides about a Folder: what its status should be, and what to do next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<FolderStatus, Effect> {
    let (verdict, effect) =
        if observed.folder.metadata.deletion_timestamp.is_some() { leave(observed) } else { take(observed) };
    let mut status = observed.folder.status.clone().unwrap_or_default();
    status.observed_generation = observed.folder.metadata.generation;
    status.path = path(&observed.folder, &observed.folders).ok();
    if verdict.holds() {
        status.namespace = Some(observed.folder.namespace_name().to_owned());
    } else if observed.folder.metadata.deletion_timestamp.is_none() {
        status.namespace = None;
    }
    let before = conditions::find(&status.conditions, ConditionType::Ready).map(|c| c.reason.clone());
    let news = before.as_deref() != Some(verdict.reason.as_str()) && verdict.reason.fixer() != Fixer::Nobody;
    let events = if news { vec![Event::warning(verdict.reason)] } else { Vec::new() };
    let unwatched = matches!(
        verdict.reason,
        Reason::NamespaceNotFound
            | Reason::NamespaceExists
            | Reason::NamespaceTaken
            | Reason::NamespaceTerminating
            | Reason::FolderCycle
            | Reason::FolderNotEmpty
    );
    let next = unwatched.then(|| now.checked_add(LOOK_AGAIN).unwrap_or(now));
    let progress = conditions::progress_of(&verdict);
    let verdicts = std::iter::once((ConditionType::Ready, verdict)).chain(progress);
    status.conditions =
        conditions::merge(&status.conditions, verdicts, observed.folder.metadata.generation, now);
    Decision { status, events, effect, next }
}

/// Makes or takes over the namespace.
fn take(observed: &Observed) -> (Verdict, Option<Effect>) {
    let folder = &observed.folder;
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    let namespace = folder.namespace_name();
    if let Err(fault) = path(folder, &observed.folders) {
        return (fault, None);
    }
    if let Err(fault) = reserved(namespace, &observed.operator_namespace) {
        return (fault, None);
    }
    if let Some(elder) = elder_claimant(folder, &observed.folders) {
        return (taken(elder, namespace), None);
    }
    if !held(folder) {
        return (Verdict::no(Reason::Pending, "the folder is being set up"), Some(Effect::Hold));
    }
    let Some(facts) = &observed.namespace else {
        if folder.spec.adopt {
            let message =
                format!("namespace \"{namespace}\" does not exist; create it, or set spec.adopt to false");
            return (Verdict::no(Reason::NamespaceNotFound, message), None);
        }
        return (Verdict::no(Reason::Pending, "the namespace is being made"), Some(Effect::CreateNamespace));
    };
    if facts.terminating {
        return (
            Verdict::no(Reason::NamespaceTerminating, format!("namespace \"{namespace}\" is being deleted")),
            None,
        );
    }
    let made_by_us = facts.annotations.get(CREATED_BY_ANNOTATION) == folder.metadata.uid.as_ref();
    match facts.labels.get(FOLDER_LABEL) {
        Some(owner) if owner == name && (made_by_us || folder.spec.adopt) => {
            (Verdict::yes(Reason::NamespaceOwned, ""), None)
        }
        _ if made_by_us || folder.spec.adopt => {
            (Verdict::no(Reason::Pending, "the namespace is being labelled"), Some(Effect::LabelNamespace))
        }
        _ => {
            let message = format!(
                "namespace \"{namespace}\" exists already; set spec.adopt to true to take it over, or choose another \
                 spec.namespace"
            );
            (Verdict::no(Reason::NamespaceExists, message), None)
        }
    }
}

/// Gives the namespace back, or deletes the one that this folder made, once nothing of ours is left in it.
fn leave(observed: &Observed) -> (Verdict, Option<Effect>) {
    let folder = &observed.folder;
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    if !held(folder) {
        return (Verdict::no(Reason::Pending, "the folder is going"), None);
    }
    let owns = observed
        .namespace
        .as_ref()
        .is_some_and(|facts| facts.labels.get(FOLDER_LABEL).is_some_and(|owner| owner == name));
    let connections: &[String] = if owns { &observed.contents.connections } else { &[] };
    if let Err(fault) = empty(name, &observed.folders, connections) {
        return (fault, None);
    }
    if !owns {
        return (Verdict::no(Reason::Pending, "the folder is going"), Some(Effect::Release));
    }
    let facts = observed.namespace.clone().unwrap_or_default();
    let made_by_us = facts.annotations.get(CREATED_BY_ANNOTATION) == folder.metadata.uid.as_ref();
    let delete = made_by_us && !observed.contents.workloads && !facts.terminating;
    let effect = if delete { Effect::DeleteNamespace } else { Effect::Release };
    (Verdict::no(Reason::Pending, "the folder is going"), Some(effect))
}

/// Whether a folder may have a namespace of this name at all.
pub(super) fn reserved(namespace: &str, operator_namespace: &str) -> Result<(), Verdict> {
    if RESERVED.contains(&namespace) || namespace == operator_namespace {
        let message = format!(
            "namespace \"{namespace}\" belongs to the cluster or the operator; choose another spec.namespace"
        );
        return Err(Verdict::no(Reason::NamespaceReserved, message));
    }
    Ok(())
}

/// What to say of a namespace that an elder folder has.
pub(super) fn taken(elder: &str, namespace: &str) -> Verdict {
    let message =
        format!("folder \"{elder}\" has namespace \"{namespace}\"; delete this Folder, or that one");
    Verdict::no(Reason::NamespaceTaken, message)
}

/// Whether nothing keeps a folder from going: no folder below it, and none of these connections.
pub(super) fn empty(name: &str, folders: &[Folder], connections: &[String]) -> Result<(), Verdict> {
    let children: Vec<_> = folders
        .iter()
        .filter(|child| child.spec.parent_ref.as_ref().is_some_and(|parent| parent.name == name))
        .filter_map(|child| child.metadata.name.as_deref())
        .collect();
    if !children.is_empty() {
        let message = format!("folder \"{name}\" still holds folders: {}", children.join(", "));
        return Err(Verdict::no(Reason::FolderNotEmpty, message));
    }
    if connections.is_empty() {
        return Ok(());
    }
    let listed = connections.join(", ");
    let message = format!("folder \"{name}\" still holds connections: {listed}; delete them first");
    Err(Verdict::no(Reason::FolderNotEmpty, message))
}

fn held(folder: &Folder) -> bool {
    folder.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FOLDER_FINALIZER)
}

/// Of two folders that ask for one namespace the younger yields.
fn elder_claimant<'a>(folder: &Folder, folders: &'a [Folder]) -> Option<&'a str> {
    let age = |folder: &Folder| {
        (folder.metadata.creation_timestamp.clone().map(|Time(t)| t), folder.metadata.uid.clone())
    };
    folders
        .iter()
        .filter(|other| other.metadata.uid != folder.metadata.uid)
        .filter(|other| other.namespace_name() == folder.namespace_name())
        .filter(|other| age(other) < age(folder))
        .find_map(|other| other.metadata.name.as_deref())
}

/// Display names from the root down, such as `Finance/AP`.
pub(super) fn path(folder: &Folder, folders: &[Folder]) -> Result<String, Verdict> {
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    let mut names = vec![folder.spec.display_name.as_str()];
    let mut current = folder;
    while let Some(parent) = &current.spec.parent_ref {
        if parent.name == name || names.len() >= DEEPEST {
            let message =
                format!("folder \"{name}\" would be its own ancestor, or is more than {DEEPEST} levels deep");
            return Err(Verdict::no(Reason::FolderCycle, message));
        }
        let found = folders.iter().find(|other| other.metadata.name.as_deref() == Some(&parent.name));
        let Some(found) = found else {
            let message =
                format!("spec.parentRef: folder \"{}\" does not exist; create it first", parent.name);
            return Err(Verdict::no(Reason::ParentNotFound, message));
        };
        names.push(&found.spec.display_name);
        current = found;
    }
    names.reverse();
    Ok(names.join("/"))
}

#[cfg(test)]
#[path = "tests/folder.rs"]
mod tests;
