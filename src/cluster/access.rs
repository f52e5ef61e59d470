//! The rights that this adapter uses. The chart's roles are compared with these tables, so that the operator never
//! holds a right that no code needs.

use crate::api::names::FOLDER_OWNER_ROLE;

/// Verbs on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Of which object.
    pub named: Named,
}

/// Which objects of a resource a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// All of them.
    Any,
    /// The one that bears the installation's name. Lists and watches ask for it by name.
    Installation,
    /// The one of this name.
    Exactly(&'static str),
}

const fn access(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Access {
    Access { group, resource, verbs, named: Named::Any }
}

const fn named(access: Access, named: Named) -> Access {
    Access { named, ..access }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Rights in all namespaces.
pub const CLUSTER: &[Access] = &[
    access("liaison.dev", "connectors", &["get", "list", "watch"]),
    access("liaison.dev", "connectors/status", &["patch"]),
    access("liaison.dev", "folders", &["get", "list", "watch", "patch"]),
    access("liaison.dev", "folders/status", &["patch"]),
    access("liaison.dev", "connections", &["get", "list", "watch", "patch"]),
    access("liaison.dev", "connections/status", &["patch"]),
    access("liaison.dev", "connectionpolicies", &["get", "list", "watch"]),
    access("liaison.dev", "connectionpolicies/status", &["patch"]),
    access("liaison.dev", "processbindings", &["get", "list", "watch"]),
    access("liaison.dev", "processbindings/status", &["patch"]),
    access("liaison.dev", "consentrequests", &["get", "list", "watch", "delete"]),
    access("liaison.dev", "consentrequests/status", &["patch"]),
    // Whether a person may still do what they asked for, and a process what it needs.
    access("authorization.k8s.io", "subjectaccessreviews", &["create"]),
    // Whose token a workload brings to the token endpoint.
    access("authentication.k8s.io", "tokenreviews", &["create"]),
    // That rights change is a reason to ask again what processes may use.
    access(RBAC, "roles", &["list", "watch"]),
    access(RBAC, "rolebindings", &["list", "watch"]),
    access(RBAC, "clusterroles", &["list", "watch"]),
    access(RBAC, "clusterrolebindings", &["list", "watch"]),
    // Bodies are read by name; lists and watches ask for metadata only (RBAC cannot express that). A Secret is deleted
    // when the ProcessBinding that made it names another one.
    access("", "secrets", &["get", "list", "watch", "create", "patch", "delete"]),
    access("", "namespaces", &["get", "list", "watch", "create", "patch", "delete"]),
    // Whether a folder's namespace may go.
    access("", "pods", &["list"]),
    access("", "persistentvolumeclaims", &["list"]),
    access("events.k8s.io", "events", &["create", "patch"]),
    // The one binding of a Personal folder's owner, by server-side apply, which can be allowed by name; and the one
    // role that it is for. `bind` lets the operator give that role without having its rights.
    named(
        access(RBAC, "rolebindings", &["get", "list", "watch", "create", "patch", "delete"]),
        Named::Exactly(FOLDER_OWNER_ROLE),
    ),
    named(access(RBAC, "clusterroles", &["get", "list", "watch", "bind"]), Named::Exactly(FOLDER_OWNER_ROLE)),
    // Admission: who has how many under way, what a requester may do, and the authorities that are to be trusted.
    named(
        access(ADMISSION, "validatingwebhookconfigurations", &["get", "list", "watch", "patch"]),
        Named::Installation,
    ),
    named(
        access(ADMISSION, "mutatingwebhookconfigurations", &["get", "list", "watch", "patch"]),
        Named::Installation,
    ),
];

/// Rights in the operator's own namespace.
pub const OWN_NAMESPACE: &[Access] = &[
    access("coordination.k8s.io", "leases", &["get", "watch", "list", "create", "patch"]),
    // From where workloads learn to trust the token endpoint.
    named(access("", "configmaps", &["get", "patch"]), Named::Exactly("liaison-token-ca")),
];

/// Rights of `liaison uninstall` in all namespaces.
pub const UNINSTALL_CLUSTER: &[Access] = &[
    access("liaison.dev", "connections", &["list", "patch"]),
    access("liaison.dev", "folders", &["list", "patch"]),
    access(ADMISSION, "validatingwebhookconfigurations", &["list"]),
    access(ADMISSION, "mutatingwebhookconfigurations", &["list"]),
    named(access(ADMISSION, "validatingwebhookconfigurations", &["delete"]), Named::Installation),
    named(access(ADMISSION, "mutatingwebhookconfigurations", &["delete"]), Named::Installation),
];

/// Rights of `liaison uninstall` in the operator's own namespace.
pub const UNINSTALL_OWN_NAMESPACE: &[Access] = &[
    named(access("apps", "deployments/scale", &["patch"]), Named::Installation),
    named(access("coordination.k8s.io", "leases", &["get"]), Named::Exactly("liaison-leader")),
];
