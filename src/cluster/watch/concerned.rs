//! Whom a change concerns: names of the objects to look at again.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use kube::{Resource, ResourceExt};

use crate::api::connection_policy::ConnectorDefaults;
use crate::api::consent_request::Phase;
use crate::api::names::{BINDING_LABEL, TOKEN_LABEL};
use crate::api::{Connection, ConnectionPolicy, ConsentRequest, Folder, ProcessBinding};
use crate::domain::binding;
use crate::domain::connection::refers_to_secret;
use crate::domain::policy;

use super::Guarded;

/// Names of objects that a change of another object concerns.
pub type Concerned<K> = Vec<ObjectRef<Guarded<K>>>;

fn connections_where(
    connections: &Store<Guarded<Connection>>,
    concerned: impl Fn(&Connection) -> bool,
) -> Concerned<Connection> {
    connections
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(&concerned))
        .map(|object| object.to_object_ref(()))
        .collect()
}

/// Connections that use a Connector.
pub fn connections_of_connector(
    connections: &Store<Guarded<Connection>>,
    connector: &str,
) -> Concerned<Connection> {
    connections_where(connections, |connection| connection.spec.connector_ref.name == connector)
}

/// Connections in the namespace that a Folder asks for; where there are policies, also those of the folders below it,
/// because these are selected by what stands above.
pub fn connections_of_folder(
    connections: &Store<Guarded<Connection>>,
    folders: &Store<Guarded<Folder>>,
    policies: &Store<Guarded<ConnectionPolicy>>,
    folder: &Guarded<Folder>,
) -> Concerned<Connection> {
    let name = folder.name_any();
    let mut namespaces: BTreeSet<String> =
        folder.0.iter().map(|folder| folder.namespace_name().to_owned()).collect();
    if !policies.state().is_empty() {
        let folders = folders.state();
        let folders: Vec<&Folder> = folders.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        let below = policy::below(&name, &folders);
        namespaces.extend(below.iter().map(|folder| folder.namespace_name().to_owned()));
    }
    connections_where(connections, |connection| {
        connection.metadata.namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace))
    })
}

/// Connections that read a Secret: those that name it themselves, and where it lies in the operator's namespace, those on
/// the Connectors that a policy lends it to.
pub fn connections_of_secret(
    connections: &Store<Guarded<Connection>>,
    policies: &Store<Guarded<ConnectionPolicy>>,
    operator_namespace: &str,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<Connection> {
    let (name, namespace) = (secret.name_any(), secret.meta().namespace.clone());
    let lent_to = if namespace.as_deref() == Some(operator_namespace) {
        policies
            .state()
            .iter()
            .filter_map(|object| object.0.as_ref().ok())
            .flat_map(|policy| lent_to(policy, &name))
            .collect()
    } else {
        BTreeSet::new()
    };
    connections_where(connections, |connection| {
        let names_it = connection.metadata.namespace == namespace && refers_to_secret(connection, &name);
        names_it || lent_to.contains(&connection.spec.connector_ref.name)
    })
}

/// Connectors to which a policy lends a Secret.
fn lent_to(policy: &ConnectionPolicy, secret: &str) -> Vec<String> {
    let names_it = |entry: &&ConnectorDefaults| entry.secrets().any(|name| name == secret);
    policy.spec.defaults.iter().filter(names_it).map(|entry| entry.connector.clone()).collect()
}

/// The Connection whose token record a Secret holds.
pub fn connection_of_token(
    connections: &Store<Guarded<Connection>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<Connection> {
    let owner = secret.labels().get(TOKEN_LABEL);
    let namespace = secret.meta().namespace.clone();
    connections_where(connections, |connection| {
        connection.metadata.namespace == namespace && connection.metadata.uid.as_ref() == owner
    })
}

/// The Connection whose consent came to nothing. What a consent brings about otherwise shows in the token's Secret.
pub fn connection_of_consent(
    connections: &Store<Guarded<Connection>>,
    request: &Guarded<ConsentRequest>,
) -> Concerned<Connection> {
    let Ok(request) = &request.0 else { return Vec::new() };
    if request.status.as_ref().and_then(|status| status.phase) != Some(Phase::Failed) {
        return Vec::new();
    }
    connections_where(connections, |connection| {
        connection.metadata.namespace == request.metadata.namespace
            && connection.metadata.uid.as_ref() == Some(&request.spec.connection_ref.uid)
    })
}

/// All Connections: which of them a policy governs depends on the folder tree.
pub fn all_connections(connections: &Store<Guarded<Connection>>) -> Concerned<Connection> {
    connections_where(connections, |_| true)
}

/// All policies: what they name are folders, Connectors and Secrets.
pub fn all_policies(policies: &Store<Guarded<ConnectionPolicy>>) -> Concerned<ConnectionPolicy> {
    policies.state().iter().map(|object| object.to_object_ref(())).collect()
}

/// All folders; a folder's path and its claim to a namespace depend on the others.
pub fn all_folders(folders: &Store<Guarded<Folder>>) -> Concerned<Folder> {
    folders.state().iter().map(|object| object.to_object_ref(())).collect()
}

/// Folders that ask for a namespace.
pub fn folders_of_namespace(folders: &Store<Guarded<Folder>>, namespace: &str) -> Concerned<Folder> {
    folders
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(|folder| folder.namespace_name() == namespace))
        .map(|object| object.to_object_ref(()))
        .collect()
}

/// ProcessBindings for which `concerned` says yes.
pub fn bindings_where(
    bindings: &Store<Guarded<ProcessBinding>>,
    concerned: impl Fn(&ProcessBinding) -> bool,
) -> Concerned<ProcessBinding> {
    bindings
        .state()
        .iter()
        .filter(|object| object.0.as_ref().is_ok_and(&concerned))
        .map(|object| object.to_object_ref(()))
        .collect()
}

/// ProcessBindings whose processes use a Connection, or might.
pub fn bindings_of_connection(
    bindings: &Store<Guarded<ProcessBinding>>,
    connection: &Guarded<Connection>,
) -> Concerned<ProcessBinding> {
    let Ok(connection) = &connection.0 else { return Vec::new() };
    bindings_where(bindings, |binding| binding::concerns(binding, connection))
}

/// ProcessBindings of these connections.
pub fn bindings_of_credentials(
    bindings: &Store<Guarded<ProcessBinding>>,
    connections: &Store<Guarded<Connection>>,
    using: &[ObjectRef<Guarded<Connection>>],
) -> Concerned<ProcessBinding> {
    let using: Vec<_> = using.iter().filter_map(|reference| connections.get(reference)).collect();
    bindings_where(bindings, |one| {
        using.iter().any(|connection| {
            connection.0.as_ref().is_ok_and(|connection| binding::concerns(one, connection))
        })
    })
}

/// The ProcessBinding that made a Secret, and those that would have a Secret of its name.
pub fn bindings_of_output(
    bindings: &Store<Guarded<ProcessBinding>>,
    secret: &PartialObjectMeta<Secret>,
) -> Concerned<ProcessBinding> {
    let (maker, namespace, name) =
        (secret.labels().get(BINDING_LABEL), &secret.metadata.namespace, &secret.metadata.name);
    bindings_where(bindings, |binding| {
        binding.metadata.namespace == *namespace
            && (binding.metadata.uid.as_ref() == maker || binding.spec.secret_name == *name)
    })
}

/// ProcessBindings in the namespace that a Folder asks for.
pub fn bindings_of_folder(
    bindings: &Store<Guarded<ProcessBinding>>,
    folder: &Guarded<Folder>,
) -> Concerned<ProcessBinding> {
    let Ok(folder) = &folder.0 else { return Vec::new() };
    let namespace = Some(folder.namespace_name());
    bindings_where(bindings, |binding| binding.metadata.namespace.as_deref() == namespace)
}
