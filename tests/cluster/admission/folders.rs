//! Folders and their namespaces: what can never become right, who may take a namespace over, and what does not go by
//! accident.

/// Installs policies for the whole cluster: not on an existing one.
pub(super) mod own_control_plane {
    use anyhow::{Error, Result};
    use kube::Client;
    use serde_json::{Value, json};

    use super::super::{Stage, connection, create, delete, patch, refused};
    use crate::support::waiting::{SOON, eventually};

    pub(crate) fn folder(name: &str, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["displayName"] = name.into();
        spec["type"] = "Shared".into();
        json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec })
    }

    pub(crate) fn namespace(name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
    }

    pub(crate) async fn administrator() -> Result<Client> {
        Stage::shared()?.control_plane.client().await
    }

    /// Waits until a folder has its namespace, as the operator makes it.
    pub(crate) fn until_ready(name: &str) -> Result<()> {
        let wait = ["wait", "--for=condition=Ready", "--timeout=20s", &format!("folder/{name}")];
        Stage::shared()?.control_plane.run_kubectl(&wait).map(drop)
    }

    /// Somebody who may do all with folders, and nothing with namespaces.
    async fn folder_keeper() -> Result<Client> {
        let stage = Stage::shared()?;
        let rule = ["create", "clusterrole", "keeps-folders", "--verb=*", "--resource=folders.liaison.dev"];
        // Another test may have been faster.
        let _ = stage.control_plane.run_kubectl(&rule);
        let bind =
            ["create", "clusterrolebinding", "keeps-folders", "--clusterrole=keeps-folders", "--user=keeper"];
        let _ = stage.control_plane.run_kubectl(&bind);
        let client = stage.control_plane.client_as("keeper", &[]).await?;
        let folders: kube::Api<liaison::api::Folder> = kube::Api::all(client.clone());
        eventually("the keeper may keep folders", SOON, async || {
            Ok(folders.list(&kube::api::ListParams::default()).await.is_ok().then_some(()))
        })
        .await?;
        Ok(client)
    }

    #[tokio::test]
    async fn s13_a_folder_that_would_be_its_own_ancestor_is_refused() -> Result<()> {
        let client = administrator().await?;
        let above = folder("s13-a", &json!({ "parentRef": { "name": "s13-b" } }));
        create(&client, "", &above).await.map_err(Error::msg)?;
        let below = folder("s13-b", &json!({ "parentRef": { "name": "s13-a" } }));
        eventually("the other folder is known", SOON, async || {
            let answer = create(&client, "", &below).await;
            if answer.is_ok() {
                delete(&client, "", &below).await.map_err(Error::msg)?;
            }
            let words = "folder \"s13-b\" would be its own ancestor";
            Ok(answer.is_err_and(|text| text.contains(words)).then_some(()))
        })
        .await
    }

    #[tokio::test]
    async fn a_namespace_of_the_cluster_or_of_an_elder_folder_is_refused() -> Result<()> {
        let client = administrator().await?;
        for reserved in ["kube-system", "kube-flannel", "default", "liaison-system"] {
            let words = format!("namespace \"{reserved}\" belongs to the cluster or the operator");
            let answer = create(&client, "", &folder("reserving", &json!({ "namespace": reserved }))).await;
            refused(answer, &words);
        }
        create(&client, "", &folder("elder", &json!({}))).await.map_err(Error::msg)?;
        until_ready("elder")?;
        let younger = folder("younger", &json!({ "namespace": "elder" }));
        refused(create(&client, "", &younger).await, "folder \"elder\" has namespace \"elder\"");
        Ok(())
    }

    #[tokio::test]
    async fn adopting_needs_the_right_to_update_the_namespace() -> Result<()> {
        let (administrator, keeper) = (administrator().await?, folder_keeper().await?);
        create(&administrator, "", &namespace("adoptable")).await.map_err(Error::msg)?;
        let adopting = folder("adoptable", &json!({ "adopt": true }));
        let words =
            "spec.adopt takes namespace \"adoptable\" over, which needs the right to update that namespace";
        refused(create(&keeper, "", &adopting).await, words);
        let plain = folder("adoptable", &json!({}));
        create(&keeper, "", &plain).await.map_err(Error::msg)?;
        let adopt = json!({ "spec": { "adopt": true } });
        refused(patch(&keeper, "", &plain, adopt.clone()).await, words);
        patch(&administrator, "", &plain, adopt).await.map_err(Error::msg)?;
        until_ready("adoptable")?;
        patch(&keeper, "", &plain, json!({ "spec": { "displayName": "Other" } }))
            .await
            .map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn s83_a_folder_that_holds_something_is_not_deleted_and_says_what() -> Result<()> {
        let (client, keeper) = (administrator().await?, folder_keeper().await?);
        let holding = folder("holding", &json!({}));
        create(&client, "", &holding).await.map_err(Error::msg)?;
        until_ready("holding")?;
        let (a, b) = (connection("a", &json!({})), connection("b", &json!({})));
        create(&client, "holding", &a).await.map_err(Error::msg)?;
        create(&client, "holding", &b).await.map_err(Error::msg)?;
        refused(delete(&keeper, "", &holding).await, "folder \"holding\" still holds connections: a, b");
        let child = folder("held-child", &json!({ "parentRef": { "name": "holding" } }));
        create(&client, "", &child).await.map_err(Error::msg)?;
        until_ready("held-child")?;
        let slot = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": "sync" },
            "spec": { "connectorRef": { "name": "none" }, "default": true, "serviceAccountName": "sync" },
        });
        create(&client, "holding", &slot).await.map_err(Error::msg)?;
        let all = "folder \"holding\" still holds folders: held-child; connections: a, b; process bindings: sync; \
                   delete them first";
        refused(delete(&keeper, "", &holding).await, all);
        delete(&client, "holding", &a).await.map_err(Error::msg)?;
        delete(&client, "holding", &b).await.map_err(Error::msg)?;
        delete(&client, "", &child).await.map_err(Error::msg)?;
        let slots = "folder \"holding\" still holds process bindings: sync";
        eventually("the sub-folder is gone", SOON, async || {
            Ok(delete(&client, "", &holding).await.is_err_and(|text| text.contains(slots)).then_some(()))
        })
        .await?;
        delete(&client, "holding", &slot).await.map_err(Error::msg)?;
        eventually("the folder goes once it is empty", SOON, async || {
            let answer = delete(&keeper, "", &holding).await;
            Ok(answer.is_ok().then_some(()))
        })
        .await?;
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client);
        eventually("the operator deletes the namespace that it made", SOON, async || {
            Ok(namespaces.get_opt("holding").await?.is_none().then_some(()))
        })
        .await
    }

    #[tokio::test]
    async fn the_namespace_of_a_folder_is_deleted_only_with_a_confirmation() -> Result<()> {
        let client = administrator().await?;
        create(&client, "", &folder("confirmed", &json!({}))).await.map_err(Error::msg)?;
        until_ready("confirmed")?;
        let object = namespace("confirmed");
        let words = "namespace \"confirmed\" belongs to folder \"confirmed\", and its connections go with it; to \
                     confirm: kubectl annotate namespace confirmed liaison.dev/confirm-delete=confirmed";
        refused(delete(&client, "", &object).await, words);
        let confirm =
            |text: &str| json!({ "metadata": { "annotations": { "liaison.dev/confirm-delete": text } } });
        patch(&client, "", &object, confirm("yes")).await.map_err(Error::msg)?;
        refused(delete(&client, "", &object).await, words);
        patch(&client, "", &object, confirm("confirmed")).await.map_err(Error::msg)?;
        delete(&client, "", &object).await.map_err(Error::msg)?;

        create(&client, "", &namespace("of-nobody")).await.map_err(Error::msg)?;
        delete(&client, "", &namespace("of-nobody")).await.map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn whoever_edits_a_namespace_cannot_give_it_to_a_folder() -> Result<()> {
        let stage = Stage::shared()?;
        let administrator = administrator().await?;
        let rule = [
            "create",
            "clusterrole",
            "edits-namespaces",
            "--verb=get,list,create,patch",
            "--resource=namespaces",
        ];
        stage.control_plane.run_kubectl(&rule)?;
        let bind = [
            "create",
            "clusterrolebinding",
            "edits-namespaces",
            "--clusterrole=edits-namespaces",
            "--user=nell",
        ];
        stage.control_plane.run_kubectl(&bind)?;
        let nell = stage.control_plane.client_as("nell", &[]).await?;
        create(&administrator, "", &namespace("edited")).await.map_err(Error::msg)?;
        let object = namespace("edited");
        let marks = [
            json!({ "metadata": { "labels": { "liaison.dev/folder": "mine" } } }),
            json!({ "metadata": { "annotations": { "liaison.dev/created-by-folder": "1-2-3" } } }),
        ];
        let harmless = json!({ "metadata": { "labels": { "a": "b" } } });
        eventually("nell may edit namespaces", SOON, async || {
            Ok(patch(&nell, "", &object, harmless.clone()).await.ok())
        })
        .await?;
        for mark in &marks {
            refused(patch(&nell, "", &object, mark.clone()).await, "only the operator sets them");
            let mut made = namespace("marked-from-the-start");
            made["metadata"]["labels"] = mark["metadata"]["labels"].clone();
            made["metadata"]["annotations"] = mark["metadata"]["annotations"].clone();
            refused(create(&nell, "", &made).await, "only the operator sets them");
        }
        // Whoever restores a backup of the whole cluster may.
        patch(&administrator, "", &object, marks[0].clone()).await.map_err(Error::msg)?;
        let unmarked = json!({ "metadata": { "labels": { "liaison.dev/folder": null } } });
        refused(patch(&nell, "", &object, unmarked.clone()).await, "only the operator sets them");
        patch(&nell, "", &object, json!({ "metadata": { "labels": { "a": "c" } } }))
            .await
            .map_err(Error::msg)?;
        patch(&administrator, "", &object, unmarked).await.map_err(Error::msg)?;
        Ok(())
    }
}
