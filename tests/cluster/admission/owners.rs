//! Personal folders: their owner's alone, by one binding that the operator keeps.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Context as _, Error, Result};
    use k8s_openapi::api::core::v1::{Namespace, Secret};
    use k8s_openapi::api::rbac::v1::RoleBinding;
    use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
    use kube::{Api, Client, ResourceExt};
    use liaison::api::{Connection, Folder};
    use serde_json::{Value, json};

    use super::super::folders::own_control_plane::{administrator, folder, namespace, until_ready};
    use super::super::{Stage, connection, create, delete, patch, refused};
    use crate::support::audit_log::AuditLog;
    use crate::support::waiting::{SOON, eventually, holds_for};

    const ROLE: &str = "liaison-folder-owner";

    fn personal(name: &str, owner: &str, spec: &Value) -> Value {
        let mut folder = folder(name, spec);
        folder["spec"]["type"] = "Personal".into();
        folder["spec"]["owner"] = owner.into();
        folder
    }

    fn bindings(client: &Client, namespace: &str) -> Api<RoleBinding> {
        Api::namespaced(client.clone(), namespace)
    }

    /// The users and groups that a folder's one binding names.
    async fn bound(client: &Client, namespace: &str) -> Result<Vec<String>> {
        let all = bindings(client, namespace).list(&ListParams::default()).await?.items;
        anyhow::ensure!(all.len() == 1, "{} bindings", all.len());
        let binding = &all[0];
        anyhow::ensure!(binding.name_any() == ROLE && binding.role_ref.name == ROLE, "{binding:?}");
        let subjects = binding.subjects.iter().flatten();
        Ok(subjects.map(|subject| format!("{} {}", subject.kind, subject.name)).collect())
    }

    fn can(user: &str, verb: &str, what: &str, namespace: &str) -> Result<String> {
        let control_plane = &Stage::shared()?.control_plane;
        let asked = ["auth", "can-i", verb, what, "--namespace", namespace, "--as", user];
        let output = control_plane.kubectl().args(asked).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    #[tokio::test]
    async fn n01_the_owner_makes_connections_in_their_folder_and_uses_those_of_a_shared_one() -> Result<()> {
        let (client, stage) = (administrator().await?, Stage::shared()?);
        create(&client, "", &personal("n01-home", "ada", &json!({}))).await.map_err(Error::msg)?;
        create(&client, "", &folder("n01-team", &json!({}))).await.map_err(Error::msg)?;
        until_ready("n01-home")?;
        until_ready("n01-team")?;
        assert_eq!(bound(&client, "n01-home").await?, ["User ada"]);
        assert!(bindings(&client, "n01-team").list(&ListParams::default()).await?.items.is_empty());
        let give = ["create", "rolebinding", "users", "--clusterrole=liaison-connection-user", "--user=ada"];
        stage.control_plane.run_kubectl(&[&give[..], &["--namespace=n01-team"]].concat())?;

        let ada = stage.control_plane.client_as("ada", &[]).await?;
        let crm = connection("crm", &json!({ "credentials": { "secretRef": { "name": "pat" } } }));
        eventually("ada may work in the team's folder", SOON, async || {
            Ok((can("ada", "use", "connections.liaison.dev", "n01-team")? == "yes").then_some(()))
        })
        .await?;
        let words = "User \"ada\" cannot create resource \"connections\" in API group \"liaison.dev\" in the namespace \
                     \"n01-team\"";
        refused(create(&ada, "n01-team", &connection("crm", &json!({}))).await, words);
        // In their own, with the Secret for it.
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "pat", "labels": { "liaison.dev/credentials": "true" } },
            "stringData": { "token": "t" },
        });
        create(&ada, "n01-home", &secret).await.map_err(Error::msg)?;
        create(&ada, "n01-home", &crm).await.map_err(Error::msg)?;
        delete(&ada, "n01-home", &crm).await.map_err(Error::msg)?;

        // Nobody else has anything there, and the owner cannot let others in.
        let eve = stage.control_plane.client_as("eve", &["staff"]).await?;
        refused(create(&eve, "n01-home", &crm).await, "User \"eve\" cannot create resource \"connections\"");
        for (user, verb, what, answer) in [
            ("ada", "authenticate", "connections.liaison.dev", "yes"),
            ("ada", "create", "processbindings.liaison.dev", "yes"),
            ("ada", "create", "rolebindings.rbac.authorization.k8s.io", "no"),
            ("ada", "create", "pods", "no"),
            ("ada", "create", "serviceaccounts/token", "no"),
            ("eve", "list", "connections.liaison.dev", "no"),
            ("eve", "get", "secrets", "no"),
        ] {
            assert_eq!(can(user, verb, what, "n01-home")?, answer, "{user} {verb} {what}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_owners_binding_that_is_changed_or_deleted_is_made_anew_and_a_quiet_one_is_left_alone()
    -> Result<()> {
        let client = administrator().await?;
        create(&client, "", &personal("kept-home", "ada", &json!({}))).await.map_err(Error::msg)?;
        until_ready("kept-home")?;
        let all = bindings(&client, "kept-home");
        let mended = async |what: &str| {
            eventually(what, SOON, async || {
                let subjects = bound(&client, "kept-home").await?;
                Ok((subjects == ["User ada"]).then_some(()))
            })
            .await
        };
        mended("the owner is bound").await?;
        let eve = json!({ "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve" }] });
        all.patch(ROLE, &PatchParams::default(), &Patch::Merge(eve)).await?;
        mended("eve is out again").await?;
        all.delete(ROLE, &DeleteParams::default()).await?;
        mended("the binding is there again").await?;
        let other = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": ROLE },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ada" }],
        });
        // It may be there again between the two.
        eventually("a binding for another role is in its place", SOON, async || {
            all.delete(ROLE, &DeleteParams::default()).await?;
            let made = all.create(&PostParams::default(), &serde_json::from_value(other.clone())?).await;
            Ok(made.is_ok().then_some(()))
        })
        .await?;
        mended("the binding is for its role again").await?;

        let audit_log = Stage::shared()?.control_plane.audit_log().context("an audit log")?;
        let mark = audit_log.mark()?;
        let touch = json!({ "metadata": { "annotations": { "example.com/touched": "once" } } });
        patch(&client, "", &personal("kept-home", "ada", &json!({})), touch).await.map_err(Error::msg)?;
        holds_for("nothing is written about it", std::time::Duration::from_secs(3), async || {
            let written = audit_log.writes("liaison/", mark)?;
            let about = written.iter().filter(|event| {
                event.object_ref.namespace == "kept-home" || event.object_ref.name == "kept-home"
            });
            let about: Vec<_> = about.cloned().collect();
            anyhow::ensure!(about.is_empty(), "{:?}", AuditLog::count(&about));
            Ok(true)
        })
        .await
    }

    /// Somebody who may do all with folders, and edit this namespace.
    async fn may_adopt(name: &str) -> Result<Client> {
        let control_plane = &Stage::shared()?.control_plane;
        let (role, user) = (format!("adopts-{name}"), format!("--user=amy-{name}"));
        let (role_flag, named) = (format!("--clusterrole={role}"), format!("--resource-name={name}"));
        let updates = ["create", "clusterrole", &role, "--verb=update", "--resource=namespaces", &named];
        control_plane.run_kubectl(&updates)?;
        control_plane.run_kubectl(&["create", "clusterrolebinding", &role, &role_flag, &user])?;
        let binding = format!("folders-{name}");
        let solutions = "--clusterrole=liaison-solution-admin";
        control_plane.run_kubectl(&["create", "clusterrolebinding", &binding, solutions, &user])?;
        let client = control_plane.client_as(&format!("amy-{name}"), &[]).await?;
        eventually("the API server knows who adopts", SOON, async || {
            let folders: Api<Folder> = Api::all(client.clone());
            folders.list(&ListParams::default()).await?;
            Ok((can(&format!("amy-{name}"), "update", &format!("namespaces/{name}"), name)? == "yes")
                .then_some(()))
        })
        .await?;
        Ok(client)
    }

    #[tokio::test]
    async fn a_namespace_is_adopted_for_somebody_only_by_who_may_give_it_to_them() -> Result<()> {
        let (client, stage) = (administrator().await?, Stage::shared()?);
        create(&client, "", &namespace("given")).await.map_err(Error::msg)?;
        let amy = may_adopt("given").await?;
        let adopting = personal("given", "ada", &json!({ "adopt": true }));
        let words = "spec.adopt gives namespace \"given\" with its Secrets to \"ada\", which needs the rights to create \
                     rolebindings there and to bind clusterrole \"liaison-folder-owner\"";
        refused(create(&amy, "", &adopting).await, words);
        // One of the two is not enough.
        for (verb, resource) in [("create", "rolebindings"), ("bind", "clusterroles")] {
            let more = ["create", "role", verb, &format!("--verb={verb}"), &format!("--resource={resource}")];
            stage.control_plane.run_kubectl(&[&more[..], &["--namespace=given"]].concat())?;
        }
        let bind =
            ["create", "rolebinding", "create", "--role=create", "--user=amy-given", "--namespace=given"];
        stage.control_plane.run_kubectl(&bind)?;
        eventually("amy may create bindings", SOON, async || {
            Ok((can("amy-given", "create", "rolebindings", "given")? == "yes").then_some(()))
        })
        .await?;
        refused(create(&amy, "", &adopting).await, words);
        // A shared folder gives nobody anything, so it needs neither.
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let shared = serde_json::from_value(folder("given", &json!({ "adopt": true })))?;
        Api::<Folder>::all(amy.clone()).create(&dry, &shared).await?;

        let bind = ["create", "rolebinding", "bind", "--role=bind", "--user=amy-given", "--namespace=given"];
        stage.control_plane.run_kubectl(&bind)?;
        eventually("amy may give the namespace away", SOON, async || {
            create(&amy, "", &adopting).await.map_err(Error::msg).map(Some)
        })
        .await?;
        until_ready("given")?;
        assert_eq!(can("ada", "get", "secrets", "given")?, "yes");
        Ok(())
    }

    #[tokio::test]
    async fn what_an_adopted_namespace_had_by_its_folder_goes_with_the_folder() -> Result<()> {
        let client = administrator().await?;
        create(&client, "", &namespace("given-back")).await.map_err(Error::msg)?;
        let home = personal("given-back", "ada", &json!({ "adopt": true }));
        create(&client, "", &home).await.map_err(Error::msg)?;
        until_ready("given-back")?;
        assert_eq!(bound(&client, "given-back").await?, ["User ada"]);
        delete(&client, "", &home).await.map_err(Error::msg)?;
        let folders: Api<Folder> = Api::all(client.clone());
        eventually("the folder is gone", SOON, async || {
            Ok(folders.get_opt("given-back").await?.is_none().then_some(()))
        })
        .await?;
        assert!(bindings(&client, "given-back").list(&ListParams::default()).await?.items.is_empty());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let left = namespaces.get("given-back").await?;
        assert!(
            left.labels().keys().chain(left.annotations().keys()).all(|key| !key.contains("liaison.dev"))
        );
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "given-back");
        assert!(secrets.list(&ListParams::default()).await?.items.is_empty());
        let connections: Api<Connection> = Api::namespaced(client, "given-back");
        assert!(connections.list(&ListParams::default()).await?.items.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn without_the_role_a_personal_folder_says_who_can_help_and_serves_all_the_same() -> Result<()> {
        // A control plane of its own: the role is the whole cluster's.
        let stage = Stage::start("owners").await?;
        stage.control_plane.run_kubectl(&["delete", "clusterrole", ROLE])?;
        let client = stage.control_plane.client().await?;
        let home = personal("roleless", "ada", &json!({}));
        create(&client, "", &home).await.map_err(Error::msg)?;
        let folders: Api<Folder> = Api::all(client.clone());
        let says = async |kind: &str, reason: &str| {
            eventually(&format!("{kind}: {reason}"), SOON, async || {
                let conditions = folders.get("roleless").await?.status.unwrap_or_default().conditions;
                let found = conditions.into_iter().find(|it| it.type_ == kind && it.reason == reason);
                Ok(found)
            })
            .await
        };
        let told = says("OwnerBound", "OwnerRoleNotFound").await?;
        assert!(told.message.contains("install the chart's roles (rbac.userRoles)"), "{}", told.message);
        assert_eq!(says("Ready", "NamespaceOwned").await?.status, "True");
        assert!(bindings(&client, "roleless").list(&ListParams::default()).await?.items.is_empty());

        crate::support::installation::apply_rendered(
            &stage.control_plane,
            "user-roles",
            &["--show-only=templates/user-roles.yaml"],
        )?;
        says("OwnerBound", "OwnerBound").await?;
        assert_eq!(bound(&client, "roleless").await?, ["User ada"]);
        Ok(())
    }
}
