//! Which namespace a command is about where none is named.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config};

use crate::api::Folder;
use crate::api::folder::FolderType;

/// What was found, and what to say about it.
pub(super) struct Found {
    /// The namespace.
    pub(super) namespace: String,
    /// A line for the person, where the choice is not theirs.
    pub(super) note: Option<String>,
}

/// The context's namespace, else the caller's Personal folder, else what every context falls back to.
pub(super) async fn namespace(client: &Client, config: &Config, named_by_context: bool) -> Found {
    if named_by_context {
        return Found { namespace: config.default_namespace.clone(), note: None };
    }
    match personal(client).await {
        Some((name, namespace)) => Found {
            note: Some(format!(
                "in your personal folder \"{name}\" (namespace \"{namespace}\"); -n names another"
            )),
            namespace,
        },
        None => Found { namespace: config.default_namespace.clone(), note: None },
    }
}

/// The folder that owns a namespace, where the caller may see it.
pub(super) async fn of_namespace(client: &Client, namespace: &str) -> Option<Folder> {
    let folders: Api<Folder> = Api::all(client.clone());
    let folders = folders.list(&ListParams::default()).await.ok()?;
    folders.items.into_iter().find(|folder| {
        folder.status.as_ref().and_then(|status| status.namespace.as_deref()) == Some(namespace)
    })
}

/// The caller's Personal folder, where they may see it: its name and namespace.
async fn personal(client: &Client) -> Option<(String, String)> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    let user = answer.status?.user_info?.username?;
    let folders: Api<Folder> = Api::all(client.clone());
    let folders = folders.list(&ListParams::default()).await.ok()?;
    folders.items.into_iter().find_map(|folder| {
        let owned =
            folder.spec.folder_type == FolderType::Personal && folder.spec.owner.as_ref() == Some(&user);
        let namespace = folder.status.as_ref()?.namespace.clone()?;
        owned.then_some((folder.metadata.name.unwrap_or_default(), namespace))
    })
}
