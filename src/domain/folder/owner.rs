//! The owner of a Personal folder has a role in its namespace, by one RoleBinding that the operator keeps. In a Shared
//! one nobody has anything by the operator: who has access is for those to say who may bind roles there.

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Folder;
use crate::api::names::{FOLDER_LABEL, FOLDER_OWNER_ROLE};

use super::super::conditions::Verdict;
use super::super::reason::Reason;
use super::Effect;

/// API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";

/// What is known of an owner's access.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnerFacts {
    /// Whether the role is installed.
    pub role_exists: bool,
    /// Whether admission is: it sees to it that only who may give a namespace's Secrets away has it adopted.
    pub adoptions_are_reviewed: bool,
    /// The binding of the role's name in the namespace.
    pub binding: Option<RoleBinding>,
}

/// The one RoleBinding of a Personal folder; none for a Shared one.
pub fn owner_binding(folder: &Folder) -> Option<RoleBinding> {
    let owner = folder.spec.owner.clone()?;
    let name = folder.metadata.name.clone().unwrap_or_default();
    Some(RoleBinding {
        metadata: ObjectMeta {
            name: Some(FOLDER_OWNER_ROLE.to_owned()),
            namespace: Some(folder.namespace_name().to_owned()),
            labels: Some([(FOLDER_LABEL.to_owned(), name)].into()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: FOLDER_OWNER_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(RBAC.to_owned()),
            kind: "User".to_owned(),
            name: owner,
            namespace: None,
        }]),
    })
}

/// Whether a binding was made for this folder.
fn is_of(binding: &RoleBinding, folder: &Folder) -> bool {
    let label = binding.metadata.labels.as_ref().and_then(|labels| labels.get(FOLDER_LABEL));
    label.is_some() && label == folder.metadata.name.as_ref()
}

/// What is to be said of an owner's access and done for it, in a namespace that is the folder's. Nothing for a Shared
/// folder.
pub(super) fn access(folder: &Folder, facts: &OwnerFacts) -> Option<(Verdict, Option<Effect>)> {
    let wanted = owner_binding(folder)?;
    let namespace = folder.namespace_name();
    let owner = folder.spec.owner.as_deref().unwrap_or_default();
    if !facts.role_exists {
        let message = format!(
            "ClusterRole \"{FOLDER_OWNER_ROLE}\" does not exist, so \"{owner}\" has no access to namespace \
             \"{namespace}\" by Liaison; install the chart's roles (rbac.userRoles), or bind a role of your own"
        );
        return Some((Verdict::no(Reason::OwnerRoleNotFound, message), None));
    }
    let right = |binding: &RoleBinding| {
        is_of(binding, folder) && binding.subjects == wanted.subjects && binding.role_ref == wanted.role_ref
    };
    if facts.binding.as_ref().is_some_and(right) {
        return Some((Verdict::yes(Reason::OwnerBound, ""), None));
    }
    if folder.spec.adopt && !facts.adoptions_are_reviewed {
        let message = format!(
            "namespace \"{namespace}\" was there before, and without Liaison's admission nobody has reviewed whether its \
             Secrets may be \"{owner}\"'s; bind ClusterRole \"{FOLDER_OWNER_ROLE}\" there, or install admission"
        );
        return Some((Verdict::no(Reason::AdoptionNotReviewed, message), None));
    }
    let pending = Verdict::no(Reason::Pending, "the owner is being given access");
    Some(match &facts.binding {
        // Which role a binding is for cannot be changed.
        Some(binding) if binding.role_ref != wanted.role_ref => (pending, Some(Effect::UnbindOwner)),
        _ => (pending, Some(Effect::BindOwner)),
    })
}

/// Whether a folder that goes has a binding to take with it.
pub(super) fn is_bound(folder: &Folder, facts: &OwnerFacts) -> bool {
    facts.binding.as_ref().is_some_and(|binding| is_of(binding, folder))
}
