//! ProcessBindings: whose rights a process gets, and that each user's choice is their own.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Error, Result};
    use kube::Client;
    use serde_json::{Value, json};

    use super::super::{Stage, create, patch, refused};
    use crate::support::waiting::{SOON, eventually};

    fn binding(name: &str, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["connectorRef"] = json!({ "name": "slack" });
        if spec["serviceAccountName"].is_null() {
            spec["serviceAccountName"] = "orders".into();
        }
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": name }, "spec": spec,
        })
    }

    fn named(namespace: Option<&str>, name: &str) -> Value {
        let mut reference = json!({ "name": name });
        if let Some(namespace) = namespace {
            reference["namespace"] = namespace.into();
        }
        json!({ "connectionRef": reference, "secretName": "orders-slack" })
    }

    /// Gives a user a right on one object, or all of its kind, of a namespace.
    async fn grant(user: &str, namespace: &str, name: &str, right: Value) -> Result<()> {
        let administrator = Stage::shared()?.control_plane.client().await?;
        let group = "rbac.authorization.k8s.io";
        let role = json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": { "name": name }, "rules": [right],
        });
        create(&administrator, namespace, &role).await.map_err(Error::msg)?;
        let bound = json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "Role", "name": name },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
        });
        create(&administrator, namespace, &bound).await.map_err(Error::msg)?;
        Ok(())
    }

    fn rule(group: &str, resource: &str, verbs: &[&str], name: Option<&str>) -> Value {
        let names: Vec<_> = name.into_iter().collect();
        json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs, "resourceNames": names })
    }

    fn namespace(name: &str) -> Result<()> {
        Stage::shared()?.control_plane.run_kubectl(&["create", "namespace", name]).map(drop)
    }

    /// A user who may write bindings in a namespace, and nothing else.
    async fn consumer(user: &str, namespace: &str) -> Result<Client> {
        who_may(&["get", "list", "create", "patch", "update", "delete"], user, namespace).await
    }

    /// A user who may make and change bindings in a namespace, and delete none.
    async fn editor(user: &str, namespace: &str) -> Result<Client> {
        who_may(&["get", "list", "create", "patch", "update"], user, namespace).await
    }

    async fn who_may(verbs: &[&str], user: &str, namespace: &str) -> Result<Client> {
        let right = rule("liaison.dev", "processbindings", verbs, None);
        grant(user, namespace, &format!("bindings-of-{user}"), right).await?;
        let client = Stage::shared()?.control_plane.client_as(user, &["staff"]).await?;
        let mine: kube::Api<liaison::api::ProcessBinding> = kube::Api::namespaced(client.clone(), namespace);
        eventually("the API server knows the roles", SOON, async || {
            Ok(mine.list(&kube::api::ListParams::default()).await.is_ok().then_some(()))
        })
        .await?;
        Ok(client)
    }

    async fn until_passes(client: &Client, namespace: &str, object: &Value) -> Result<()> {
        eventually("the write passes", SOON, async || {
            create(client, namespace, object).await.map(Some).map_err(Error::msg)
        })
        .await
        .map(drop)
    }

    #[tokio::test]
    async fn s10_a_consumer_who_may_use_a_connection_binds_to_it_and_elsewhere_is_denied() -> Result<()> {
        namespace("s10-shop")?;
        namespace("s10-elsewhere")?;
        let client = consumer("s10", "s10-shop").await?;
        let words = "are set by who may use connection \"s10-shop/crm\", or may create tokens of service account \"orders\"";
        refused(create(&client, "s10-shop", &binding("orders", &named(None, "crm"))).await, words);
        grant("s10", "s10-shop", "uses", rule("liaison.dev", "connections", &["use"], None)).await?;
        until_passes(&client, "s10-shop", &binding("orders", &named(None, "crm"))).await?;
        let by_default = json!({ "default": true, "secretName": "b" });
        until_passes(&client, "s10-shop", &binding("by-default", &by_default)).await?;

        let elsewhere = binding("other", &named(Some("s10-elsewhere"), "crm"));
        let words = "who may use connection \"s10-elsewhere/crm\", or may create tokens of service account \"orders\"";
        refused(create(&client, "s10-shop", &elsewhere).await, words);
        let moved = json!({ "spec": named(Some("s10-elsewhere"), "crm") });
        refused(patch(&client, "s10-shop", &binding("orders", &json!({})), moved).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn s17_a_right_on_one_connection_is_a_right_on_no_other() -> Result<()> {
        namespace("s17")?;
        let client = consumer("s17", "s17").await?;
        grant("s17", "s17", "uses-one", rule("liaison.dev", "connections", &["use"], Some("crm"))).await?;
        until_passes(&client, "s17", &binding("orders", &named(None, "crm"))).await?;
        let words = "are set by who may use connection \"s17/erp\"";
        refused(create(&client, "s17", &binding("other", &named(None, "erp"))).await, words);
        let words = "are set by who may use connections in namespace \"s17\"";
        refused(create(&client, "s17", &binding("default", &json!({ "default": true }))).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn a_service_account_is_lent_by_who_may_act_as_it_and_by_nobody_else() -> Result<()> {
        namespace("borrowed")?;
        let client = consumer("borrower", "borrowed").await?;
        let administrator = Stage::shared()?.control_plane.client().await?;
        create(&administrator, "borrowed", &binding("orders", &named(None, "crm")))
            .await
            .map_err(Error::msg)?;

        // What gives no more rights than before passes for everybody who may write bindings.
        let orders = binding("orders", &json!({}));
        for change in [
            json!({ "spec": { "purpose": "orders are announced" } }),
            json!({ "metadata": { "labels": { "a": "b" } } }),
            json!({ "spec": { "secretName": null } }),
        ] {
            patch(&client, "borrowed", &orders, change).await.map_err(Error::msg)?;
        }
        let words = "or may create tokens of service account";
        for change in [
            json!({ "spec": { "serviceAccountName": "mighty" } }),
            json!({ "spec": { "secretName": "shown-to-me" } }),
            json!({ "spec": { "connectionRef": { "name": "payroll" } } }),
            json!({ "spec": { "connectionRef": null, "default": true } }),
        ] {
            refused(patch(&client, "borrowed", &orders, change).await, words);
        }
        let mine = binding("mine", &named(None, "crm"));
        refused(create(&client, "borrowed", &mine).await, words);
        let rule = rule("", "serviceaccounts/token", &["create"], Some("orders"));
        grant("borrower", "borrowed", "acts-as", rule).await?;
        until_passes(&client, "borrowed", &mine).await?;
        let mut others = named(None, "crm");
        others["serviceAccountName"] = "mighty".into();
        refused(create(&client, "borrowed", &binding("others", &others)).await, words);
        Ok(())
    }

    fn choice(user: &str, name: &str) -> Value {
        json!({ "user": user, "connectionRef": { "name": name } })
    }

    fn choices(choices: &[Value]) -> Value {
        json!({ "spec": { "choices": choices } })
    }

    const ONLY_ONES_OWN: &str = "and each user sets, changes or removes only their own entry; who may delete the binding \
                                 may also remove those of others";

    /// A binding of that namespace that leaves the choice to users.
    fn by_users() -> Value {
        binding("orders", &json!({ "configurableByUsers": true }))
    }

    /// Makes a binding with the choices of two users, who may use what they choose.
    async fn chosen_by(users: [(&str, &Client); 2], namespace: &str) -> Result<[Value; 2]> {
        // Nobody's connection is used by it, so whoever may write bindings makes one.
        create(users[0].1, namespace, &by_users()).await.map_err(Error::msg)?;
        let entries = users.map(|(user, _)| choice(user, user));
        for (count, (user, client)) in users.into_iter().enumerate() {
            let rule = rule("liaison.dev", "connections", &["use"], Some(user));
            grant(user, namespace, &format!("{user}-uses"), rule).await?;
            eventually(&format!("{user} chooses beside those before"), SOON, async || {
                let chosen = choices(&entries[..=count]);
                patch(client, namespace, &by_users(), chosen).await.map(Some).map_err(Error::msg)
            })
            .await?;
        }
        Ok(entries)
    }

    #[tokio::test]
    async fn s68_each_user_sets_changes_and_removes_their_own_choice() -> Result<()> {
        namespace("s68")?;
        let ada = editor("s68-ada", "s68").await?;
        let bob = editor("s68-bob", "s68").await?;
        let [of_ada, of_bob] = chosen_by([("s68-ada", &ada), ("s68-bob", &bob)], "s68").await?;
        for (who, theirs) in [
            (&bob, vec![choice("s68-ada", "s68-bob"), of_bob.clone()]),
            (&bob, vec![of_bob.clone()]),
            (&bob, vec![]),
            (&ada, vec![of_ada.clone(), choice("s68-bob", "s68-ada")]),
            (&ada, vec![of_ada.clone(), of_bob.clone(), choice("s68-eve", "s68-ada")]),
        ] {
            refused(patch(who, "s68", &by_users(), choices(&theirs)).await, ONLY_ONES_OWN);
        }
        let reference = json!({ "name": "s68-ada" });
        let other_mode =
            json!({ "spec": { "configurableByUsers": false, "choices": [], "connectionRef": reference } });
        refused(patch(&ada, "s68", &by_users(), other_mode).await, ONLY_ONES_OWN);
        let mut made_with_choices = by_users();
        made_with_choices["metadata"]["name"] = "made-with-choices".into();
        made_with_choices["spec"]["choices"] = json!([of_bob]);
        refused(create(&ada, "s68", &made_with_choices).await, ONLY_ONES_OWN);

        let words = "spec.choices: you need the right to use connection \"s68/a\"";
        let changed = |name: &str| choices(&[choice("s68-ada", name), of_bob.clone()]);
        refused(patch(&ada, "s68", &by_users(), changed("a")).await, words);
        grant("s68-ada", "s68", "a", rule("liaison.dev", "connections", &["use"], Some("a"))).await?;
        eventually("ada changes her choice", SOON, async || {
            patch(&ada, "s68", &by_users(), changed("a")).await.map(Some).map_err(Error::msg)
        })
        .await?;
        patch(&ada, "s68", &by_users(), choices(&[of_bob])).await.map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn s68_who_may_delete_the_binding_removes_choices_and_sets_none() -> Result<()> {
        namespace("s68-tidied")?;
        let [ada, bob] = ["s68-tidied-ada", "s68-tidied-bob"];
        let (as_ada, as_bob) = (editor(ada, "s68-tidied").await?, editor(bob, "s68-tidied").await?);
        let keeper = consumer("s68-keeper", "s68-tidied").await?;
        let administrator = Stage::shared()?.control_plane.client().await?;
        let [of_ada, of_bob] = chosen_by([(ada, &as_ada), (bob, &as_bob)], "s68-tidied").await?;
        for who in [&keeper, &administrator] {
            for theirs in [
                vec![choice(ada, bob), of_bob.clone()],
                vec![choice(ada, bob)],
                vec![of_ada.clone(), of_bob.clone(), choice("s68-eve", "s68-eve")],
                vec![choice("s68-eve", ada)],
            ] {
                refused(patch(who, "s68-tidied", &by_users(), choices(&theirs)).await, ONLY_ONES_OWN);
            }
        }
        patch(&keeper, "s68-tidied", &by_users(), choices(&[of_bob])).await.map_err(Error::msg)?;

        // Another mode has no choices; the connection that it names is still asked about.
        let other_mode = json!({ "spec": { "configurableByUsers": false, "choices": [], "default": true } });
        let words = "are set by who may use connections in namespace \"s68-tidied\"";
        refused(patch(&keeper, "s68-tidied", &by_users(), other_mode.clone()).await, words);
        grant("s68-keeper", "s68-tidied", "uses", rule("liaison.dev", "connections", &["use"], None)).await?;
        eventually("the mode changes", SOON, async || {
            patch(&keeper, "s68-tidied", &by_users(), other_mode.clone()).await.map(Some).map_err(Error::msg)
        })
        .await
        .map(drop)
    }

    #[tokio::test]
    async fn n19_an_unattended_process_needs_a_fixed_connection() -> Result<()> {
        namespace("n19")?;
        let administrator = Stage::shared()?.control_plane.client().await?;
        let left_open = binding("night", &json!({ "configurableByUsers": true, "unattended": true }));
        let words = "an unattended process needs a fixed connection";
        refused(create(&administrator, "n19", &left_open).await, words);
        let mut fixed = named(None, "crm");
        fixed["unattended"] = true.into();
        create(&administrator, "n19", &binding("night", &fixed)).await.map_err(Error::msg)?;
        let opened =
            json!({ "spec": { "connectionRef": null, "secretName": null, "configurableByUsers": true } });
        refused(patch(&administrator, "n19", &binding("night", &json!({})), opened).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn n11_a_shared_process_that_depends_on_one_persons_folder_is_made_with_a_warning() -> Result<()> {
        let stage = Stage::shared()?;
        let administrator = stage.control_plane.client().await?;
        let folder = |name: &str, spec: Value| json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec });
        let personal = json!({ "displayName": "Ada", "type": "Personal", "owner": "ada" });
        create(&administrator, "", &folder("n11-ada", personal)).await.map_err(Error::msg)?;
        let shared = json!({ "displayName": "Team", "type": "Shared" });
        create(&administrator, "", &folder("n11-team", shared)).await.map_err(Error::msg)?;
        eventually("the folder has its namespace", SOON, async || {
            Ok(stage.control_plane.run_kubectl(&["get", "namespace", "n11-team"]).ok())
        })
        .await?;
        let said = |name: &str, there: &str| -> Result<String> {
            let mut object = binding(name, &named(Some(there), "crm"));
            object["metadata"]["namespace"] = "n11-team".into();
            let path = stage.control_plane.directory().join(format!("{name}.json"));
            std::fs::write(&path, object.to_string())?;
            let applied = stage.control_plane.kubectl().args(["create", "--filename"]).arg(&path).output()?;
            let said = String::from_utf8_lossy(&applied.stderr).into_owned();
            anyhow::ensure!(applied.status.success(), "{said}");
            Ok(said)
        };
        assert!(
            said("of-a-person", "n11-ada")?.contains("Warning: namespace \"n11-ada\" is a personal folder")
        );
        assert_eq!(said("of-another-team", "elsewhere")?, "");
        Ok(())
    }
}
