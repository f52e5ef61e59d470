//! Which namespaces the operator works in, and which of them folders may have.

use std::collections::BTreeSet;

use crate::api::Folder;

use super::super::conditions::Verdict;
use super::super::reason::Reason;

/// Namespaces that no folder may take belong to the cluster: this one, …
const RESERVED: &str = "default";

/// … and those that begin so, which Kubernetes keeps for itself.
const RESERVED_PREFIX: &str = "kube-";

/// Where the operator works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Territory {
    /// The operator's own namespace, which no folder may take.
    pub operator_namespace: String,
    /// The namespaces that it works in, where these are not all.
    pub namespaces: Option<BTreeSet<String>>,
}

impl Territory {
    /// Whether the operator works in a namespace, beside its own.
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace))
    }

    /// Whether it may make and delete namespaces.
    pub fn makes_namespaces(&self) -> bool {
        self.namespaces.is_none()
    }
}

/// Whether a folder may have the namespace that it asks for at all.
pub fn permitted(folder: &Folder, territory: &Territory) -> Result<(), Verdict> {
    let namespace = folder.namespace_name();
    let own = namespace == territory.operator_namespace;
    if own || namespace == RESERVED || namespace.starts_with(RESERVED_PREFIX) {
        let message = format!(
            "namespace \"{namespace}\" belongs to the cluster or the operator; choose another spec.namespace"
        );
        return Err(Verdict::no(Reason::NamespaceReserved, message));
    }
    if !territory.serves(namespace) {
        return Err(Verdict::no(Reason::NamespaceNotServed, not_served(namespace)));
    }
    Ok(())
}

/// What to say of a namespace that the operator does not work in.
pub(in crate::domain) fn not_served(namespace: &str) -> String {
    format!(
        "Liaison does not work in namespace \"{namespace}\"; choose one that it works in, or have an administrator add \
         this one (--namespaces)"
    )
}

/// What to say of a namespace that is not there, and that the operator does not make.
pub(super) fn not_found(folder: &Folder, territory: &Territory) -> Verdict {
    let namespace = folder.namespace_name();
    let elsewise = if territory.makes_namespaces() { ", or set spec.adopt to false" } else { "" };
    let message = format!("namespace \"{namespace}\" does not exist; create it{elsewise}");
    Verdict::no(Reason::NamespaceNotFound, message)
}
