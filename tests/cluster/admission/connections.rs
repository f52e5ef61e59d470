//! Connections that do not fit their Connector, and who may point one at a Secret or have something done with it.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Error, Result};
    use kube::Client;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::{Stage, connection, create, patch, refused};

    const USER: [&str; 2] = ["liaison-connection-user", "liaison-connection-creator"];

    fn connector(name: &str) -> Value {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name },
            "spec": {
                "displayName": "An application", "redirect": "PerConnection",
                "baseURL": "https://{site}.example.com", "stability": "Preview",
                "parameters": [
                    { "name": "site", "required": true, "pattern": "[a-z]+" },
                    { "name": "note", "pattern": ".*" },
                ],
                "authMethods": [
                    { "type": "PersonalAccessToken", "request": { "headers": { "Authorization": "Bearer {token}" } } },
                    { "type": "APIKey", "request": { "headers": { "X-Key": "{apiKey}" } } },
                ],
            },
        })
    }

    fn with_token(site: &str) -> Value {
        json!({
            "connectorRef": { "name": "app" }, "authType": "PersonalAccessToken", "parameters": { "site": site },
            "credentials": { "secretRef": { "name": "token" } },
        })
    }

    /// The namespace, its user, and the administrator, with the Connector `app`.
    async fn ground(namespace: &str) -> Result<(Client, Client)> {
        let user = Stage::shared()?.user(namespace, &USER).await?;
        Ok((user, catalogue().await?))
    }

    /// The administrator, with the Connector `app`.
    async fn catalogue() -> Result<Client> {
        let administrator = Stage::shared()?.control_plane.client().await?;
        // Another test may have been faster.
        let _ = create(&administrator, "", &connector("app")).await;
        Ok(administrator)
    }

    /// The user may read this Secret from now on.
    async fn may_read(namespace: &str, secret: &str, probe: impl AsyncFn() -> bool) -> Result<()> {
        let stage = Stage::shared()?;
        let name = format!("reads-{secret}");
        let resource = format!("--resource-name={secret}");
        let role = [
            "create",
            "role",
            &name,
            "--verb=get",
            "--resource=secrets",
            &resource,
            "--namespace",
            namespace,
        ];
        stage.control_plane.run_kubectl(&role)?;
        let (role, user) = (format!("--role={name}"), format!("--user=ada-of-{namespace}"));
        let bind = ["create", "rolebinding", &name, &role, &user, "--namespace", namespace];
        stage.control_plane.run_kubectl(&bind)?;
        let what = format!("the right to get secret {secret}");
        crate::support::waiting::eventually(&what, crate::support::waiting::SOON, async || {
            Ok(probe().await.then_some(()))
        })
        .await
    }

    #[rstest]
    #[case::s12(
        "PersonalAccessToken",
        json!({}),
        "connector \"app\" with authType \"PersonalAccessToken\" needs parameters: site, token"
    )]
    #[case::s36("", json!({}), "connector \"app\" supports several auth types; set spec.authType to one of PersonalAccessToken, APIKey")]
    #[case::s39("Basic", json!({}), "connector \"app\" does not support authType \"Basic\"; supported: PersonalAccessToken, APIKey")]
    #[case::invalid("APIKey", json!({ "site": "A" }), "spec.parameters.site must match the pattern [a-z]+")]
    #[tokio::test]
    async fn s12_s36_s39_what_does_not_fit_the_connector_is_refused(
        #[case] auth_type: &str,
        #[case] parameters: Value,
        #[case] words: &str,
    ) -> Result<()> {
        let administrator = catalogue().await?;
        let _ = Stage::shared()?.control_plane.run_kubectl(&["create", "namespace", "unfit"]);
        let mut spec = json!({ "connectorRef": { "name": "app" }, "parameters": parameters });
        if !auth_type.is_empty() {
            spec["authType"] = auth_type.into();
        }
        refused(create(&administrator, "unfit", &connection("c", &spec)).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn s41_a_connector_without_the_authorization_code_method_takes_no_app_of_ones_own() -> Result<()> {
        let administrator = catalogue().await?;
        let _ = Stage::shared()?.control_plane.run_kubectl(&["create", "namespace", "own-app"]);
        let spec = json!({ "connectorRef": { "name": "app" }, "authType": "OAuth2BringYourOwnApp" });
        let words =
            "connector \"app\" has no OAuth2 authorization code method, so it cannot take your own app";
        refused(create(&administrator, "own-app", &connection("c", &spec)).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn s03_a_connection_on_a_preview_connector_succeeds_with_a_warning() -> Result<()> {
        ground("preview").await?;
        let stage = Stage::shared()?;
        let mut object = connection("c", &with_token("a"));
        object["metadata"]["namespace"] = "preview".into();
        let path = stage.control_plane.directory().join("preview.json");
        std::fs::write(&path, object.to_string())?;
        let applied = stage.control_plane.kubectl().args(["create", "--filename"]).arg(&path).output()?;
        let said = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{said}");
        assert!(said.contains("Warning: connector \"app\" is a preview"), "{said}");
        Ok(())
    }

    #[tokio::test]
    async fn an_object_that_its_connector_left_behind_can_be_labelled_changed_elsewhere_and_deleted()
    -> Result<()> {
        let (_, administrator) = ground("left-behind").await?;
        let mut leaving = connector("leaving");
        create(&administrator, "", &leaving).await.map_err(Error::msg)?;
        let mut spec = with_token("a");
        spec["connectorRef"]["name"] = "leaving".into();
        let object = connection("c", &spec);
        create(&administrator, "left-behind", &object).await.map_err(Error::msg)?;
        leaving["spec"]["parameters"][0]["pattern"] = "[0-9]+".into();
        let change = json!({ "spec": leaving["spec"] });
        patch(&administrator, "", &leaving, change).await.map_err(Error::msg)?;

        let fresh = connection("d", &spec);
        let words = "spec.parameters.site must match the pattern [0-9]+";
        crate::support::waiting::eventually(
            "new ones are refused",
            crate::support::waiting::SOON,
            async || {
                let answer = create(&administrator, "left-behind", &fresh).await;
                if answer.is_ok() {
                    super::super::delete(&administrator, "left-behind", &fresh).await.map_err(Error::msg)?;
                }
                Ok(answer.is_err_and(|text| text.contains(words)).then_some(()))
            },
        )
        .await?;
        for change in [
            json!({ "metadata": { "labels": { "a": "b" } } }),
            json!({ "spec": { "suspend": true } }),
            json!({ "metadata": { "finalizers": ["example.com/held"] } }),
        ] {
            patch(&administrator, "left-behind", &object, change).await.map_err(Error::msg)?;
        }
        let worse = json!({ "spec": { "parameters": { "site": "b", "other": "x" } } });
        refused(patch(&administrator, "left-behind", &object, worse).await, "spec.parameters.other");
        super::super::delete(&administrator, "left-behind", &object).await.map_err(Error::msg)?;
        let released = json!({ "metadata": { "finalizers": null } });
        patch(&administrator, "left-behind", &object, released).await.map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn only_who_may_read_a_secret_points_a_connection_at_it() -> Result<()> {
        let (user, _) = ground("secrets").await?;
        let object = connection("c", &with_token("a"));
        let words =
            "spec.credentials.secretRef needs the right to get secret \"token\" in namespace \"secrets\"";
        refused(create(&user, "secrets", &object).await, words);
        may_read("secrets", "token", async || create(&user, "secrets", &object).await.is_ok()).await?;

        let other = json!({ "spec": { "credentials": { "secretRef": { "name": "other" } } } });
        let words = "spec.credentials.secretRef needs the right to get secret \"other\"";
        refused(patch(&user, "secrets", &object, other).await, words);
        let app = json!({ "spec": { "oauthApp": { "secretRef": { "name": "app" } } } });
        let words = "spec.oauthApp.secretRef needs the right to get secret \"app\" in namespace \"secrets\"";
        refused(patch(&user, "secrets", &object, app).await, words);
        let elsewhere = json!({ "spec": { "description": "x" } });
        patch(&user, "secrets", &object, elsewhere).await.map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn only_who_may_read_the_secrets_sends_them_to_another_host() -> Result<()> {
        let (user, administrator) = ground("hosts").await?;
        let object = connection("c", &with_token("a"));
        create(&administrator, "hosts", &object).await.map_err(Error::msg)?;
        let harmless = json!({ "spec": { "parameters": { "note": "x" } } });
        patch(&user, "hosts", &object, harmless).await.map_err(Error::msg)?;

        let moved = json!({ "spec": { "parameters": { "site": "b" } } });
        let words = "a change of spec.parameters that sends credentials to another host needs the right to get secret \
                     \"token\" in namespace \"hosts\"";
        refused(patch(&user, "hosts", &object, moved.clone()).await, words);
        may_read("hosts", "token", async || patch(&user, "hosts", &object, moved.clone()).await.is_ok()).await
    }

    #[tokio::test]
    async fn annotations_that_make_the_operator_act_need_the_verbs_of_what_they_ask_for() -> Result<()> {
        let (user, administrator) = ground("annotated").await?;
        let object = connection("c", &json!({}));
        create(&administrator, "annotated", &object).await.map_err(Error::msg)?;
        let editor = Stage::shared()?.control_plane.client_as("editor", &[]).await?;
        let stage = Stage::shared()?;
        let rule = ["create", "role", "edits", "--verb=get,list,patch", "--resource=connections.liaison.dev"];
        stage.control_plane.run_kubectl(&[&rule[..], &["--namespace=annotated"]].concat())?;
        let bind =
            ["create", "rolebinding", "edits", "--role=edits", "--user=editor", "--namespace=annotated"];
        stage.control_plane.run_kubectl(&bind)?;
        let with = |name: &str, value: Value| json!({ "metadata": { "annotations": { name: value } } });
        crate::support::waiting::eventually(
            "the editor may edit",
            crate::support::waiting::SOON,
            async || Ok(patch(&editor, "annotated", &object, with("other", "x".into())).await.ok()),
        )
        .await?;
        for (name, verb) in
            [("liaison.dev/reauthenticate-at", "authenticate"), ("liaison.dev/verify-at", "verify")]
        {
            let words =
                format!("a change of the annotation {name} needs the right to {verb} connection \"c\"");
            refused(patch(&editor, "annotated", &object, with(name, "1".into())).await, &words);
            patch(&user, "annotated", &object, with(name, "1".into())).await.map_err(Error::msg)?;
            refused(patch(&editor, "annotated", &object, with(name, "2".into())).await, &words);
            refused(patch(&editor, "annotated", &object, with(name, Value::Null)).await, &words);
        }
        Ok(())
    }

    #[tokio::test]
    async fn n02_a_user_does_not_write_the_account_nor_change_the_auth_type() -> Result<()> {
        let (user, administrator) = ground("account").await?;
        let object = connection("c", &json!({ "authType": "APIKey" }));
        create(&administrator, "account", &object).await.map_err(Error::msg)?;
        let account = json!({ "status": { "account": "root" } });
        let answer = patch(&user, "account", &object, account).await.map_err(Error::msg)?;
        assert_eq!(answer.data["status"]["account"], "System");
        let connections: kube::Api<liaison::api::Connection> = kube::Api::namespaced(user.clone(), "account");
        let account = kube::api::Patch::Merge(json!({ "status": { "account": "root" } }));
        let answer = connections.patch_status("c", &kube::api::PatchParams::default(), &account).await;
        assert!(matches!(answer, Err(kube::Error::Api(status)) if status.code == 403));

        let retyped = json!({ "spec": { "authType": "Basic" } });
        refused(patch(&administrator, "account", &object, retyped).await, "spec.authType is immutable");
        Ok(())
    }
}
