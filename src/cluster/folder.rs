//! Folders: one pass is observe → decide → act, as for connections.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::names::{CREATED_BY_ANNOTATION, FOLDER_FINALIZER, FOLDER_LABEL, FOLDER_OWNER_ROLE};
use crate::api::{Connection, Folder, ProcessBinding};
use crate::domain::conditions::{self, ConditionType};
use crate::domain::connection::FolderState;
use crate::domain::folder::{
    Contents, Effect, Held, NamespaceFacts, Observed, OwnerFacts, decide, owner_binding, permitted,
};
use crate::domain::reason::Reason;

use super::finalizers::Write;
use super::record::Recorded;
use super::{Context, Error, Guarded, again_at, finalizers, record};

const FIELD_MANAGER: &str = "liaison-folder";

/// One pass over a Folder.
pub async fn reconcile(folder: Arc<Guarded<Folder>>, context: Arc<Context>) -> Result<Action, Error> {
    let folder = folder.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    let observed = observe(folder, &context).await?; // reads
    let decision = decide(&observed, context.clock.now()); // pure
    let effect = decision.effect.clone();
    if effect != Some(Effect::Release) && effect != Some(Effect::Hold) {
        let api: Api<Folder> = Api::all(context.client.clone());
        match record::status(&api, folder, &decision.status, FIELD_MANAGER).await? {
            Recorded::Unchanged => {}
            Recorded::Written(_) => {
                record::events(&context.recorder, &folder.object_ref(&()), &decision.events).await;
            }
            Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
        }
    }
    let Some(effect) = effect else { return Ok(again_at(context.clock.now(), decision.next)) };
    act(&context, folder, &observed, &effect).await?; // writes
    let done = effect == Effect::Release;
    Ok(if done { Action::await_change() } else { Action::requeue(Duration::from_millis(100)) })
}

/// What the connections in its namespace may know of a Folder.
pub(super) fn state_for_connections(folder: &Folder) -> FolderState {
    let name = folder.metadata.name.clone().unwrap_or_default();
    let conditions = folder.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = conditions::find(conditions, ConditionType::Ready);
    let reason = ready.and_then(|ready| ready.reason.parse::<Reason>().ok());
    if folder.metadata.deletion_timestamp.is_some() || reason == Some(Reason::NamespaceTerminating) {
        return FolderState::Terminating;
    }
    match ready {
        Some(ready) if ready.status == "True" => FolderState::Ready(name),
        Some(_) if reason == Some(Reason::Pending) => FolderState::Settling,
        Some(ready) => FolderState::NotReady(name, ready.message.clone()),
        None => FolderState::Settling,
    }
}

async fn observe(folder: &Folder, context: &Context) -> Result<Observed, Error> {
    let name = folder.namespace_name();
    let namespace = match permitted(folder, &context.territory) {
        Ok(()) => {
            let namespaces: Api<Namespace> = Api::all(context.client.clone());
            namespaces.get_metadata_opt(name).await.map_err(Error::api("look up the namespace"))?
        }
        // It is none of ours, whatever is there.
        Err(_) => None,
    };
    let deleting = folder.metadata.deletion_timestamp.is_some();
    let contents =
        if deleting && namespace.is_some() { contents(context, name).await? } else { Contents::default() };
    let owner = owner(context, folder, namespace.is_some()).await?;
    let mut folders: Vec<Folder> =
        context.folders.state().iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect();
    if !folders.iter().any(|other| other.metadata.uid == folder.metadata.uid) {
        folders.push(folder.clone());
    }
    Ok(Observed {
        folder: folder.clone(),
        folders,
        namespace: namespace.map(|namespace| NamespaceFacts {
            terminating: namespace.metadata.deletion_timestamp.is_some(),
            labels: namespace.metadata.labels.unwrap_or_default(),
            annotations: namespace.metadata.annotations.unwrap_or_default(),
        }),
        contents,
        owner,
        territory: context.territory.clone(),
    })
}

/// Names that a refusal and a condition list at most, of each kind.
pub(super) const NAMED: u32 = 20;

/// What has to go before a folder does.
pub(super) async fn held_in(client: &Client, namespace: &str) -> kube::Result<Held> {
    let page = ListParams::default().limit(NAMED);
    let names = |items: Vec<ObjectMeta>| items.into_iter().filter_map(|it| it.name).collect();
    let connections: Api<Connection> = Api::namespaced(client.clone(), namespace);
    let connections = connections.list_metadata(&page).await?.items;
    let bindings: Api<ProcessBinding> = Api::namespaced(client.clone(), namespace);
    let bindings = bindings.list_metadata(&page).await?.items;
    Ok(Held {
        connections: names(connections.into_iter().map(|it| it.metadata).collect()),
        bindings: names(bindings.into_iter().map(|it| it.metadata).collect()),
    })
}

async fn contents(context: &Context, namespace: &str) -> Result<Contents, Error> {
    let one = ListParams::default().limit(1);
    let held = held_in(&context.client, namespace).await.map_err(Error::api("look into the namespace"))?;
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let pods = pods.list_metadata(&one).await.map_err(Error::api("look for pods in the namespace"))?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let claims =
        claims.list_metadata(&one).await.map_err(Error::api("look for volume claims in the namespace"))?;
    Ok(Contents { held, workloads: !pods.items.is_empty() || !claims.items.is_empty() })
}

/// The binding is read, not watched: one that was just written has to be seen.
async fn owner(context: &Context, folder: &Folder, there: bool) -> Result<OwnerFacts, Error> {
    let binding = if there && folder.spec.owner.is_some() {
        let found = owner_bindings(context, folder).get_opt(FOLDER_OWNER_ROLE).await;
        found.map_err(Error::api("read the owner's RoleBinding"))?
    } else {
        None
    };
    Ok(OwnerFacts {
        role_exists: context.owner_role.get(&ObjectRef::new(FOLDER_OWNER_ROLE)).is_some(),
        adoptions_are_reviewed: context.adoptions_are_reviewed,
        binding,
    })
}

fn owner_bindings(context: &Context, folder: &Folder) -> Api<RoleBinding> {
    Api::namespaced(context.client.clone(), folder.namespace_name())
}

/// By server-side apply, which RBAC can allow for one name; a plain creation it cannot.
async fn bind_owner(context: &Context, folder: &Folder) -> Result<(), Error> {
    let Some(binding) = owner_binding(folder) else { return Ok(()) };
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let bindings = owner_bindings(context, folder);
    let bound = bindings.patch(FOLDER_OWNER_ROLE, &parameters, &Patch::Apply(&binding)).await;
    bound.map(drop).map_err(Error::api("bind the owner"))
}

async fn unbind_owner(context: &Context, folder: &Folder, observed: &Observed) -> Result<(), Error> {
    let uid = observed.owner.binding.as_ref().and_then(|binding| binding.metadata.uid.clone());
    let deleted = owner_bindings(context, folder).delete(FOLDER_OWNER_ROLE, &only(uid)).await;
    unless_gone(deleted).map_err(Error::api("delete the owner's RoleBinding"))
}

/// Deletes what was seen, and no later object of its name.
fn only(uid: Option<String>) -> DeleteParams {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    DeleteParams { preconditions, ..DeleteParams::default() }
}

/// Gone already, or another of that name: the next pass says what that means.
fn unless_gone<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

async fn act(context: &Context, folder: &Folder, observed: &Observed, effect: &Effect) -> Result<(), Error> {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let namespace = folder.namespace_name();
    match effect {
        Effect::Hold => set_finalizer(context, folder, true).await,
        Effect::CreateNamespace => {
            let made = namespaces.create(&PostParams::default(), &namespace_of(folder)).await;
            match made {
                Ok(_) => Ok(()),
                // Made meanwhile by somebody else; the next pass says what that means.
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                Err(error) => Err(Error::api("create the namespace")(error)),
            }
        }
        Effect::LabelNamespace => label(&namespaces, namespace, json!(folder.name_any())).await,
        Effect::BindOwner => bind_owner(context, folder).await,
        Effect::UnbindOwner => unbind_owner(context, folder, observed).await,
        Effect::DeleteNamespace => {
            let current =
                namespaces.get_metadata_opt(namespace).await.map_err(Error::api("look up the namespace"))?;
            let uid = current.and_then(|namespace| namespace.uid());
            unless_gone(namespaces.delete(namespace, &only(uid)).await)
                .map_err(Error::api("delete the namespace"))
        }
        Effect::Release => {
            let ours = observed.namespace.as_ref().is_some_and(|facts| {
                !facts.terminating && facts.labels.get(FOLDER_LABEL) == folder.metadata.name.as_ref()
            });
            if ours {
                label(&namespaces, namespace, Value::Null).await?;
            }
            set_finalizer(context, folder, false).await
        }
    }
}

fn namespace_of(folder: &Folder) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(folder.namespace_name().to_owned()),
            labels: Some([(FOLDER_LABEL.to_owned(), folder.name_any())].into()),
            annotations: Some([(CREATED_BY_ANNOTATION.to_owned(), folder.uid().unwrap_or_default())].into()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// Sets the label by a merge patch of that label alone; an adopted namespace has other owners of its metadata.
async fn label(namespaces: &Api<Namespace>, namespace: &str, value: Value) -> Result<(), Error> {
    let patch = json!({ "metadata": { "labels": { FOLDER_LABEL: value } } });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match namespaces.patch_metadata(namespace, &parameters, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::api("label the namespace")(error)),
    }
}

/// Conflicts are met by another pass: a change of labels, which wakes nobody, may have come in between.
async fn set_finalizer(context: &Context, folder: &Folder, held: bool) -> Result<(), Error> {
    let api: Api<Folder> = Api::all(context.client.clone());
    let written = if held {
        finalizers::add(&api, &folder.metadata, FOLDER_FINALIZER).await
    } else {
        finalizers::remove(&api, &folder.metadata, FOLDER_FINALIZER).await
    };
    match written.map_err(Error::api("set finalizers"))? {
        Write::Done(_) | Write::Gone => Ok(()),
        Write::Conflict => Err(Error::Contended),
    }
}
