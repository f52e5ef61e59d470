//! The tree of folders: who may put one where, and how deep.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Error, Result};
    use kube::{Api, Client};
    use liaison::api::Folder;
    use serde_json::json;

    use super::super::folders::own_control_plane::{administrator, folder, until_ready};
    use super::super::{Stage, create, patch, refused};
    use crate::support::waiting::{SOON, eventually};

    /// Somebody with the role for solutions, which makes folders and attaches them anywhere; and somebody who makes
    /// folders and attaches them nowhere yet.
    async fn makers() -> Result<(Client, Client)> {
        let stage = Stage::shared()?;
        for arguments in [
            vec![
                "create",
                "clusterrole",
                "makes-folders",
                "--verb=create,get,list,patch",
                "--resource=folders.liaison.dev",
            ],
            vec![
                "create",
                "clusterrolebinding",
                "makes-folders",
                "--clusterrole=makes-folders",
                "--user=mia",
            ],
            vec![
                "create",
                "clusterrolebinding",
                "solutions",
                "--clusterrole=liaison-solution-admin",
                "--user=sol",
            ],
        ] {
            stage.control_plane.run_kubectl(&arguments)?;
        }
        let (mia, sol) = (
            stage.control_plane.client_as("mia", &[]).await?,
            stage.control_plane.client_as("sol", &[]).await?,
        );
        for client in [&mia, &sol] {
            let folders: Api<Folder> = Api::all(client.clone());
            eventually("the API server knows who makes folders", SOON, async || {
                Ok(folders.list(&kube::api::ListParams::default()).await.is_ok().then_some(()))
            })
            .await?;
        }
        Ok((mia, sol))
    }

    #[tokio::test]
    async fn s13_a_folder_below_another_needs_the_right_to_attach_there() -> Result<()> {
        let (client, stage) = (administrator().await?, Stage::shared()?);
        let (mia, sol) = makers().await?;
        create(&client, "", &folder("tree-finance", &json!({}))).await.map_err(Error::msg)?;
        let below = |name: &str, parent: &str| folder(name, &json!({ "parentRef": { "name": parent } }));
        let words = "spec.parentRef needs the right to attach to folder \"tree-finance\"; who administers that folder \
                     grants the verb attach on it";
        refused(create(&mia, "", &below("tree-mia", "tree-finance")).await, words);
        create(&mia, "", &folder("tree-root", &json!({}))).await.map_err(Error::msg)?;
        // A parent that is not there is not told from one that is.
        let absent = words.replace("tree-finance", "tree-absent");
        refused(create(&mia, "", &below("tree-mia", "tree-absent")).await, &absent);

        // By the name of the one folder.
        let attach = ["create", "clusterrole", "attaches-to-finance", "--verb=attach"];
        let named = ["--resource=folders.liaison.dev", "--resource-name=tree-finance"];
        stage.control_plane.run_kubectl(&[&attach[..], &named].concat())?;
        let bind =
            ["create", "clusterrolebinding", "attaches-to-finance", "--clusterrole=attaches-to-finance"];
        stage.control_plane.run_kubectl(&[&bind[..], &["--user=mia"]].concat())?;
        eventually("mia may attach to that folder", SOON, async || {
            create(&mia, "", &below("tree-mia", "tree-finance")).await.map_err(Error::msg).map(Some)
        })
        .await?;
        refused(
            create(&mia, "", &below("tree-deeper", "tree-mia")).await,
            "spec.parentRef needs the right to attach to folder \"tree-mia\"",
        );
        // What does not concern the place needs no such right, and the place never changes.
        let renamed = json!({ "spec": { "displayName": "Mia's" } });
        patch(&mia, "", &below("tree-mia", ""), renamed).await.map_err(Error::msg)?;
        let moved = json!({ "spec": { "parentRef": { "name": "tree-root" } } });
        refused(patch(&client, "", &below("tree-mia", ""), moved).await, "spec.parentRef is immutable");

        create(&sol, "", &below("tree-sol", "tree-mia")).await.map_err(Error::msg)?;
        until_ready("tree-sol")?;
        let folders: Api<Folder> = Api::all(client);
        let path = folders.get("tree-sol").await?.status.and_then(|status| status.path);
        assert_eq!(path.as_deref(), Some("tree-finance/Mia's/tree-sol"));
        Ok(())
    }

    #[tokio::test]
    async fn s13_a_connection_is_kept_in_a_sub_folder_of_a_sub_folder() -> Result<()> {
        let client = administrator().await?;
        create(&client, "", &folder("deep-1", &json!({}))).await.map_err(Error::msg)?;
        for level in 2..=20 {
            let parent = format!("deep-{}", level - 1);
            let below = folder(&format!("deep-{level}"), &json!({ "parentRef": { "name": parent } }));
            create(&client, "", &below).await.map_err(Error::msg)?;
        }
        until_ready("deep-20")?;
        let connection = super::super::connection("crm", &json!({}));
        create(&client, "deep-20", &connection).await.map_err(Error::msg)?;
        let connections: Api<liaison::api::Connection> = Api::namespaced(client, "deep-20");
        eventually("the connection's folder is ready", SOON, async || {
            let status = connections.get("crm").await?.status.unwrap_or_default();
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
            Ok(ready.filter(|ready| ready.reason == "ConnectorNotFound"))
        })
        .await?;
        Ok(())
    }
}
