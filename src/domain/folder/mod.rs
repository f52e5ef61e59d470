//! Folders: which namespace belongs to which, who has access by it, and when one may go.

mod owner;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::names::{CREATED_BY_ANNOTATION, FOLDER_FINALIZER, FOLDER_LABEL};
use crate::api::{Folder, FolderStatus};

use super::conditions::{self, ConditionType, Verdict};
use super::decision::{Decision, Event};
use super::reason::{Fixer, Reason};

pub use owner::{OwnerFacts, owner_binding};
pub use tree::{DEEPEST, Held};
pub(super) use tree::{empty, path};

/// Namespaces that no folder may take belong to the cluster: this one, …
const RESERVED: &str = "default";

/// … and those that begin so, which Kubernetes keeps for itself.
const RESERVED_PREFIX: &str = "kube-";

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
    /// What is known of the owner's access.
    pub owner: OwnerFacts,
    /// Which namespaces folders may have.
    pub territory: Territory,
}

/// Which namespaces folders may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Territory {
    /// The operator's own namespace, which no folder may take.
    pub operator_namespace: String,
    /// The namespaces that the operator works in, where these are not all.
    pub namespaces: Option<BTreeSet<String>>,
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
    /// Names of what has to go first.
    pub held: Held,
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
    /// Bind the owner of a Personal folder to their role.
    BindOwner,
    /// Delete that binding.
    UnbindOwner,
    /// Delete the namespace that this folder made.
    DeleteNamespace,
    /// Take the label away and let the folder go.
    Release,
}

/// Decides about a Folder: what its status should be, and what to do next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<FolderStatus, Effect> {
    let folder = &observed.folder;
    let going = folder.metadata.deletion_timestamp.is_some();
    let mut status = folder.status.clone().unwrap_or_default();
    let before = status.conditions.clone();
    let Assessment { ready, owner, effect } =
        if going { leave(observed) } else { settled(take(observed), observed, &before) };
    status.observed_generation = folder.metadata.generation;
    status.path = path(folder, &observed.folders).ok();
    if ready.holds() {
        status.namespace = Some(folder.namespace_name().to_owned());
    } else if !going {
        status.namespace = None;
    }
    let verdicts = [(ConditionType::Ready, Some(ready.clone())), (ConditionType::OwnerBound, owner)];
    let verdicts = verdicts.into_iter().filter_map(|(kind, verdict)| Some((kind, verdict?)));
    let verdicts: Vec<_> = verdicts.collect();
    let events = verdicts.iter().filter(|(kind, verdict)| is_news(&before, *kind, verdict));
    let events = events.map(|(_, verdict)| Event::warning(verdict.reason)).collect();
    let unwatched = matches!(
        ready.reason,
        Reason::NamespaceNotFound
            | Reason::NamespaceExists
            | Reason::NamespaceTaken
            | Reason::NamespaceTerminating
            | Reason::FolderCycle
            | Reason::FolderTooDeep
            | Reason::FolderNotEmpty
    );
    let next = unwatched.then(|| now.checked_add(LOOK_AGAIN).unwrap_or(now));
    let verdicts = verdicts.into_iter().chain(conditions::progress_of(&ready));
    status.conditions = conditions::merge(&before, verdicts, folder.metadata.generation, now);
    Decision { status, events, effect, next }
}

/// Whether somebody has to be told: a cause that a person can mend, and that did not stand there before.
fn is_news(before: &[Condition], kind: ConditionType, verdict: &Verdict) -> bool {
    let known = conditions::find(before, kind).map(|condition| condition.reason.as_str());
    known != Some(verdict.reason.as_str()) && verdict.reason.fixer() != Fixer::Nobody
}

/// What a look at a folder comes to.
struct Assessment {
    ready: Verdict,
    /// Of the owner's access, where there is something new to say.
    owner: Option<Verdict>,
    effect: Option<Effect>,
}

/// A namespace that is the folder's has its owner bound. The folder is ready once that is done, and stays so while the
/// binding is mended.
fn settled(taken: (Verdict, Option<Effect>), observed: &Observed, before: &[Condition]) -> Assessment {
    let (ready, effect) = taken;
    if !ready.holds() {
        return Assessment { ready, owner: None, effect };
    }
    match owner::access(&observed.folder, &observed.owner) {
        None => Assessment { ready, owner: None, effect },
        Some((verdict, None)) => Assessment { ready, owner: Some(verdict), effect },
        Some((pending, effect)) => {
            let was_ready =
                conditions::find(before, ConditionType::Ready).is_some_and(|c| c.status == "True");
            let ready = if was_ready { ready } else { pending };
            Assessment { ready, owner: None, effect }
        }
    }
}

/// Makes or takes over the namespace.
fn take(observed: &Observed) -> (Verdict, Option<Effect>) {
    let folder = &observed.folder;
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    let namespace = folder.namespace_name();
    if let Err(fault) = path(folder, &observed.folders) {
        return (fault, None);
    }
    if let Err(fault) = permitted(folder, &observed.territory) {
        return (fault, None);
    }
    if let Some(elder) = tree::elder_claimant(folder, &observed.folders) {
        return (taken(elder, namespace), None);
    }
    if !held(folder) {
        return (Verdict::no(Reason::Pending, "the folder is being set up"), Some(Effect::Hold));
    }
    let Some(facts) = &observed.namespace else {
        // Where the operator works in some namespaces only, it makes none.
        if folder.spec.adopt || observed.territory.namespaces.is_some() {
            return (not_found(folder, &observed.territory), None);
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
fn leave(observed: &Observed) -> Assessment {
    let folder = &observed.folder;
    let name = folder.metadata.name.as_deref().unwrap_or_default();
    let going = |effect| Assessment {
        ready: Verdict::no(Reason::Pending, "the folder is going"),
        owner: None,
        effect,
    };
    if !held(folder) {
        return going(None);
    }
    let facts = observed.namespace.as_ref();
    let facts = facts.filter(|facts| facts.labels.get(FOLDER_LABEL).is_some_and(|owner| owner == name));
    let nothing = Held::default();
    let contents = if facts.is_some() { &observed.contents.held } else { &nothing };
    if let Err(fault) = empty(name, &observed.folders, contents) {
        return Assessment { ready: fault, owner: None, effect: None };
    }
    let Some(facts) = facts else { return going(Some(Effect::Release)) };
    if facts.terminating {
        return going(Some(Effect::Release));
    }
    let made_by_us = facts.annotations.get(CREATED_BY_ANNOTATION) == folder.metadata.uid.as_ref();
    let may_delete = observed.territory.namespaces.is_none();
    if made_by_us && may_delete && !observed.contents.workloads {
        return going(Some(Effect::DeleteNamespace));
    }
    let bound = owner::is_bound(folder, &observed.owner);
    going(Some(if bound { Effect::UnbindOwner } else { Effect::Release }))
}

/// Whether a folder may have the namespace that it asks for at all.
pub fn permitted(folder: &Folder, territory: &Territory) -> Result<(), Verdict> {
    let namespace = folder.namespace_name();
    let Territory { operator_namespace, namespaces } = territory;
    if namespace == RESERVED || namespace.starts_with(RESERVED_PREFIX) || namespace == operator_namespace {
        let message = format!(
            "namespace \"{namespace}\" belongs to the cluster or the operator; choose another spec.namespace"
        );
        return Err(Verdict::no(Reason::NamespaceReserved, message));
    }
    let Some(namespaces) = namespaces else { return Ok(()) };
    if !namespaces.contains(namespace) {
        let message = format!(
            "Liaison does not work in namespace \"{namespace}\"; choose one that it works in, or have an administrator \
             add this one (--namespaces)"
        );
        return Err(Verdict::no(Reason::NamespaceNotServed, message));
    }
    Ok(())
}

fn not_found(folder: &Folder, territory: &Territory) -> Verdict {
    let namespace = folder.namespace_name();
    let elsewise = if territory.namespaces.is_some() { "" } else { ", or set spec.adopt to false" };
    Verdict::no(
        Reason::NamespaceNotFound,
        format!("namespace \"{namespace}\" does not exist; create it{elsewise}"),
    )
}

/// What to say of a namespace that an elder folder has.
pub(super) fn taken(elder: &str, namespace: &str) -> Verdict {
    let message =
        format!("folder \"{elder}\" has namespace \"{namespace}\"; delete this Folder, or that one");
    Verdict::no(Reason::NamespaceTaken, message)
}

fn held(folder: &Folder) -> bool {
    folder.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FOLDER_FINALIZER)
}

#[cfg(test)]
mod owner_tests;
#[cfg(test)]
mod tests;
