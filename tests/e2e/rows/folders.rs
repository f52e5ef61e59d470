//! Folders and their namespaces.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use liaison::api::Folder;
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use crate::fixtures::{Ground, HEALS, apply, message};
use crate::support::waiting::eventually;
use crate::world::World;

fn folder(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec })
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

async fn until_folder(client: &kube::Client, name: &str, status: &str, reason: &str) -> Result<String> {
    let folders: Api<Folder> = Api::all(client.clone());
    eventually(&format!("folder {name}: {status}/{reason}"), HEALS, async || {
        let conditions = folders.get(name).await?.status.unwrap_or_default().conditions;
        let ready = conditions::find(&conditions, ConditionType::Ready).cloned();
        let ready = ready.filter(|ready| ready.status == status && ready.reason == reason);
        Ok(ready.map(|ready| ready.message))
    })
    .await
}

#[tokio::test]
async fn s09_a_personal_folder_has_an_owner_and_a_shared_one_has_none() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    let shared = json!({ "displayName": "x", "type": "Shared", "owner": "ada" });
    let error = format!("{:#}", apply(&client, "", &folder("s09-shared", &shared)).await.unwrap_err());
    assert!(error.contains("spec.owner is only for a Personal folder"), "{error}");
    let ownerless = json!({ "displayName": "x", "type": "Personal" });
    let error = format!("{:#}", apply(&client, "", &folder("s09-none", &ownerless)).await.unwrap_err());
    assert!(error.contains("spec.owner is required for a Personal folder"), "{error}");

    apply(
        &client,
        "",
        &folder("s09-ada", &json!({ "displayName": "Ada", "type": "Personal", "owner": "ada" })),
    )
    .await?;
    until_folder(&client, "s09-ada", "True", "NamespaceOwned").await?;
    let removed = folder("s09-ada", &json!({ "displayName": "Ada", "type": "Personal" }));
    let error = format!("{:#}", apply(&client, "", &removed).await.unwrap_err());
    assert!(error.contains("spec.owner"), "{error}");
    Ok(())
}

#[tokio::test]
async fn s14_a_connection_outside_any_folder_is_reported_and_heals_when_one_adopts_the_namespace()
-> Result<()> {
    let client = World::shared().control_plane.client().await?;
    apply(&client, "", &namespace("s14")).await?;
    let ground = Ground { client: client.clone(), namespace: "s14".to_owned() };
    ground.connection("c", json!({ "connectorRef": { "name": "s14-none" } })).await?;
    let connection = ground.until("c", ConditionType::Ready, "False", "FolderNotFound").await?;
    assert!(message(&connection, ConditionType::Ready).contains("no Folder owns namespace \"s14\""));

    apply(&client, "", &folder("s14", &json!({ "displayName": "S14", "type": "Shared", "adopt": true })))
        .await?;
    ground.until("c", ConditionType::Ready, "False", "ConnectorNotFound").await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_does_not_take_a_namespace_that_it_does_not_adopt_nor_a_reserved_one() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    apply(&client, "", &namespace("taken")).await?;
    apply(&client, "", &folder("taken", &json!({ "displayName": "T", "type": "Shared" }))).await?;
    let text = until_folder(&client, "taken", "False", "NamespaceExists").await?;
    assert!(text.contains("set spec.adopt to true"), "{text}");
    let reserved = json!({ "displayName": "T", "type": "Shared", "namespace": "kube-system", "adopt": true });
    told_reserved(&client, "reserved", &reserved).await?;
    let own = json!({ "displayName": "T", "type": "Shared", "namespace": "liaison-system", "adopt": true });
    told_reserved(&client, "own", &own).await
}

/// At once where the API server asks the operator, else by the condition.
async fn told_reserved(client: &kube::Client, name: &str, spec: &Value) -> Result<()> {
    let text = match apply(client, "", &folder(name, spec)).await {
        Err(refused) => format!("{refused:#}"),
        Ok(()) => until_folder(client, name, "False", "NamespaceReserved").await?,
    };
    assert!(text.contains("belongs to the cluster or the operator"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_folder_that_holds_connections_stays_and_an_empty_one_leaves_nothing() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    let ground = Ground::new(client.clone(), "emptied").await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    assert_eq!(namespaces.get("emptied").await?.labels()["liaison.dev/folder"], "emptied");
    ground.connection("kept", json!({ "connectorRef": { "name": "none" } })).await?;

    let folders: Api<Folder> = Api::all(client.clone());
    let text = match folders.delete("emptied", &DeleteParams::default()).await {
        Err(refused) => refused.to_string(),
        Ok(_) => until_folder(&client, "emptied", "False", "FolderNotEmpty").await?,
    };
    assert!(text.contains("folder \"emptied\" still holds connections: kept"), "{text}");

    ground.connections().delete("kept", &DeleteParams::default()).await?;
    folders.delete("emptied", &DeleteParams::default()).await?;
    eventually("folder and namespace are gone", std::time::Duration::from_mins(1), async || {
        let gone =
            folders.get_opt("emptied").await?.is_none() && namespaces.get_opt("emptied").await?.is_none();
        Ok(gone.then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_adopted_namespace_outlives_its_folder() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    apply(&client, "", &namespace("adopted")).await?;
    apply(&client, "", &folder("adopted", &json!({ "displayName": "A", "type": "Shared", "adopt": true })))
        .await?;
    until_folder(&client, "adopted", "True", "NamespaceOwned").await?;
    let folders: Api<Folder> = Api::all(client.clone());
    folders.delete("adopted", &DeleteParams::default()).await?;
    eventually("the folder is gone", HEALS, async || {
        Ok(folders.get_opt("adopted").await?.is_none().then_some(()))
    })
    .await?;
    let namespaces: Api<Namespace> = Api::all(client);
    let kept = namespaces.get("adopted").await?;
    assert!(!kept.labels().contains_key("liaison.dev/folder") && kept.metadata.deletion_timestamp.is_none());
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_a_folder_made_and_others_work_in_outlives_it_without_a_mark() -> Result<()> {
    let client = World::shared().control_plane.client().await?;
    let ground = Ground::new(client.clone(), "worked-in").await?;
    ground
        .apply(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
        }))
        .await?;
    let folders: Api<Folder> = Api::all(client.clone());
    folders.delete("worked-in", &DeleteParams::default()).await?;
    eventually("the folder is gone", HEALS, async || {
        Ok(folders.get_opt("worked-in").await?.is_none().then_some(()))
    })
    .await?;
    let kept = Api::<Namespace>::all(client).get("worked-in").await?;
    assert!(kept.metadata.deletion_timestamp.is_none());
    assert!(kept.labels().keys().chain(kept.annotations().keys()).all(|key| !key.contains("liaison.dev")));
    Ok(())
}
