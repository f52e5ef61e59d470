//! What people call their connections.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Error, Result};
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::{Stage, connection, create, delete, patch, refused};
    use crate::support::waiting::{SOON, eventually};

    fn named(name: &str, display_name: &str) -> Value {
        connection(name, &json!({ "displayName": display_name }))
    }

    #[tokio::test]
    async fn n08_a_display_name_that_another_of_the_folder_bears_is_refused_until_it_is_free() -> Result<()> {
        let stage = Stage::shared()?;
        let client = stage.control_plane.client().await?;
        let folder = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "naming" },
            "spec": { "displayName": "Naming", "type": "Shared", "namespace": "naming-of-things" },
        });
        create(&client, "", &folder).await.map_err(Error::msg)?;
        stage.control_plane.run_kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=20s",
            "folder/naming",
        ])?;
        stage.control_plane.run_kubectl(&["create", "namespace", "naming-elsewhere"])?;
        let namespace = "naming-of-things";
        let words = "display name \"x\" is already used in folder \"naming\"";
        create(&client, namespace, &named("a", "x")).await.map_err(Error::msg)?;
        let copy = named("b", "x");
        eventually("the name is known to be taken", SOON, async || {
            let answer = create(&client, namespace, &copy).await;
            if answer.is_ok() {
                delete(&client, namespace, &copy).await.map_err(Error::msg)?;
            }
            Ok(answer.is_err_and(|text| text.contains(words)).then_some(()))
        })
        .await?;
        create(&client, "naming-elsewhere", &named("b", "x")).await.map_err(Error::msg)?;
        create(&client, namespace, &named("b", "y")).await.map_err(Error::msg)?;
        let renamed = |name: &str| json!({ "spec": { "displayName": name } });
        refused(patch(&client, namespace, &copy, renamed("x")).await, words);
        patch(&client, namespace, &copy, json!({ "spec": { "description": "x" } }))
            .await
            .map_err(Error::msg)?;

        patch(&client, namespace, &named("a", "x"), renamed("z")).await.map_err(Error::msg)?;
        eventually("the name is free", SOON, async || {
            Ok(patch(&client, namespace, &copy, renamed("x")).await.ok().map(drop))
        })
        .await
    }

    #[rstest]
    #[case::empty("", "should be at least 1 chars long")]
    #[case::blank(" ", "should match")]
    #[case::in_blanks(" x", "should match")]
    #[case::two_lines("x\ny", "should match")]
    #[case::too_long(&"x".repeat(129), "may not be more than 128")]
    #[tokio::test]
    async fn n08_an_empty_or_too_long_display_name_is_refused(
        #[case] name: &str,
        #[case] words: &str,
    ) -> Result<()> {
        let client = Stage::shared()?.control_plane.client().await?;
        refused(create(&client, "default", &named("c", name)).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn n09_what_is_applied_twice_is_one_object_and_the_second_time_changes_nothing() -> Result<()> {
        let stage = Stage::shared()?;
        stage.control_plane.run_kubectl(&["create", "namespace", "twice"])?;
        let mut object = named("crm", "Customers");
        object["metadata"]["namespace"] = "twice".into();
        let path = stage.control_plane.directory().join("twice.json");
        std::fs::write(&path, object.to_string())?;
        let path = path.display().to_string();
        let client = stage.control_plane.client().await?;
        let connections: kube::Api<liaison::api::Connection> = kube::Api::namespaced(client, "twice");
        let apply = || stage.control_plane.run_kubectl(&["apply", "--server-side", "--filename", &path]);
        apply()?;
        // The operator tells what it found once.
        let first = eventually("it has been looked at", SOON, async || {
            let now = connections.get("crm").await?;
            let looked_at = now.status.as_ref().and_then(|status| status.observed_generation).is_some();
            Ok(Some(now).filter(|_| looked_at))
        })
        .await?;
        apply()?;
        let second = connections.get("crm").await?;
        assert_eq!(second.metadata.uid, first.metadata.uid);
        assert_eq!(second.metadata.generation, Some(1));
        assert_eq!(second.metadata.resource_version, first.metadata.resource_version, "nothing is written");
        assert_eq!(connections.list(&kube::api::ListParams::default()).await?.items.len(), 1);
        Ok(())
    }
}
