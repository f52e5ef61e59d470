//! Passes over Folders.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::PartialObjectMeta;
use kube::runtime::Controller;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};

use crate::api::Folder;
use crate::api::names::FOLDER_OWNER_ROLE;
use crate::cluster::watch::{self, Watched};
use crate::cluster::{self, Guarded};

use super::{Caused, Passes, never, observed};

/// Folders whose passes a change of another kind, or of another folder, causes.
fn folders_of<K: Send + 'static>(
    folders: &Store<Guarded<Folder>>,
    changes: watch::Changes<K>,
    concerned: impl Fn(&Store<Guarded<Folder>>, &K) -> watch::Concerned<Folder> + Send + 'static,
) -> Caused<Folder> {
    let folders = folders.clone();
    watch::forward(changes, move |changed| concerned(&folders, changed))
}

impl Passes {
    /// A folder's path and its claim to a namespace depend on the other folders, so a change of one concerns all.
    pub(super) async fn over_folders(
        &self,
        namespaces: Watched<PartialObjectMeta<Namespace>>,
        owner_role: Watched<PartialObjectMeta<ClusterRole>>,
    ) {
        let (client, folders) = (&self.context.client, &self.context.folders);
        let role = owner_role.store.clone();
        let territory = &self.context.territory;
        let owner_bindings = watch::named_in::<RoleBinding>(client, territory, FOLDER_OWNER_ROLE);
        let others = watch::objects::<Folder>(Api::all(client.clone()));
        let causes = [
            folders_of(folders, namespaces.changes, |folders, changed: &PartialObjectMeta<Namespace>| {
                watch::folders_of_namespace(folders, &changed.name_any())
            }),
            folders_of(
                folders,
                owner_bindings.changes,
                |folders, changed: &PartialObjectMeta<RoleBinding>| {
                    watch::folders_of_namespace(folders, &changed.namespace().unwrap_or_default())
                },
            ),
            folders_of(folders, owner_role.changes, |folders, _: &PartialObjectMeta<ClusterRole>| {
                watch::all_folders(folders)
            }),
            folders_of(folders, watch::relevant(others.changes).boxed(), |folders, _: &Guarded<Folder>| {
                watch::all_folders(folders)
            }),
        ];
        // Before, the role would seem to be missing.
        tokio::select! {
            read = role.wait_until_ready() => if read.is_err() { return },
            () = self.stop.cancelled() => return,
        }
        let controller = self.controller(watch::objects::<Folder>(Api::all(client.clone())));
        causes
            .into_iter()
            .fold(controller, Controller::reconcile_on)
            .run(observed("Folder", cluster::folder::reconcile), never, Arc::clone(&self.context))
            .for_each(|_| std::future::ready(()))
            .await;
    }
}
