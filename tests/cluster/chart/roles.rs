//! The roles for people, on a real API server: a table of all that each of them may do, which a right that is added or
//! lost fails, and what a person reads who lacks one.

/// Installs the roles for the whole cluster: not on an existing one.
mod own_control_plane {
    use std::collections::BTreeSet;

    use anyhow::{Context, Result};
    use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
    use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
    use kube::{Client, ResourceExt};
    use liaison::api::process_binding::ConnectionReference;
    use liaison::api::schema::NameReference;
    use liaison::api::{Connection, ProcessBinding, ProcessBindingSpec};
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::new_namespace;
    use super::super::users::own_control_plane::{allowed_on, connection, installed, knows, user_with};
    use crate::support::waiting::{SOON, eventually};

    const READ: &str = "get list watch";
    const KEEP_CONNECTIONS: &str = "use authenticate verify get list watch patch update delete";
    const CONSENT: &str = "get list watch create patch delete";
    const KEEP_BINDINGS: &str = "get list watch create patch update delete";

    /// All that the API server knows of this user's rights in a namespace, `verb group/resource` each.
    async fn rights(client: &Client, namespace: &str) -> Result<BTreeSet<String>> {
        let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
        let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
        let answer: SelfSubjectRulesReview =
            Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        let status = answer.status.context("an answer")?;
        anyhow::ensure!(!status.incomplete, "{:?}", status.evaluation_error);
        let mut rights = BTreeSet::new();
        for rule in status.resource_rules {
            for resource in rule.resources.iter().flatten() {
                for group in rule.api_groups.iter().flatten() {
                    let names = rule.resource_names.iter().flatten().map(|name| format!(" {name}"));
                    let names: String = names.collect();
                    rights.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}{names}")));
                }
            }
        }
        Ok(rights)
    }

    fn expected(table: &[(&str, &str)]) -> BTreeSet<String> {
        let verbs = |(resource, verbs): &(&str, &str)| {
            verbs.split(' ').map(|verb| format!("{verb} {resource}")).collect::<Vec<_>>()
        };
        table.iter().flat_map(verbs).collect()
    }

    const CONNECTIONS: &str = "liaison.dev/connections";
    const BINDINGS: &str = "liaison.dev/processbindings";
    const CONSENTS: &str = "liaison.dev/consentrequests";
    const CONNECTORS: &str = "liaison.dev/connectors";
    const FOLDERS: &str = "liaison.dev/folders";
    const POLICIES: &str = "liaison.dev/connectionpolicies";

    #[rstest]
    #[case("liaison-connection-viewer", &[
        (CONNECTIONS, READ), (BINDINGS, READ), (CONNECTORS, READ), (FOLDERS, READ), (POLICIES, READ),
    ])]
    #[case("liaison-catalogue-viewer", &[(CONNECTORS, READ), (FOLDERS, READ), (POLICIES, READ)])]
    #[case("liaison-connection-consumer", &[(CONNECTIONS, READ), (BINDINGS, KEEP_BINDINGS)])]
    #[case("liaison-connection-use", &[(CONNECTIONS, "use")])]
    #[case("liaison-connection-user", &[(CONNECTIONS, KEEP_CONNECTIONS), (CONSENTS, CONSENT)])]
    #[case("liaison-connection-creator", &[(CONNECTIONS, "create")])]
    #[case("liaison-solution-admin", &[
        (FOLDERS, "get list watch create attach"),
        (CONNECTIONS, READ), (BINDINGS, READ), (CONNECTORS, READ), (POLICIES, READ),
    ])]
    #[case("liaison-folder-owner", &[
        (CONNECTIONS, KEEP_CONNECTIONS), (CONNECTIONS, "create"), (CONSENTS, CONSENT), (BINDINGS, KEEP_BINDINGS),
        (CONNECTORS, READ), (FOLDERS, READ), (POLICIES, READ),
        ("/secrets", "get list watch create patch update delete"),
    ])]
    #[tokio::test]
    async fn a_role_gives_what_the_table_says_and_nothing_else(
        #[case] role: &str,
        #[case] table: &[(&str, &str)],
    ) -> Result<()> {
        let nobody = rights(&installed()?.client_as("nobody-in-particular", &[]).await?, "default").await?;
        let (client, _, namespace) = user_with(role).await?;
        // An aggregated role is filled by a controller, and a binding is known a moment later.
        eventually(&format!("the rights of {role}"), SOON, async || {
            let given: BTreeSet<_> =
                rights(&client, &namespace).await?.difference(&nobody).cloned().collect();
            let expected = expected(table);
            let more: Vec<_> = given.difference(&expected).collect();
            let less: Vec<_> = expected.difference(&given).collect();
            anyhow::ensure!(more.is_empty() && less.is_empty(), "more: {more:?}; less: {less:?}");
            Ok(Some(()))
        })
        .await?;
        let elsewhere: BTreeSet<_> = rights(&client, "default").await?.difference(&nobody).cloned().collect();
        assert_eq!(elsewhere, BTreeSet::new(), "in another namespace");
        Ok(())
    }

    fn binding(name: &str, connection: &str) -> ProcessBinding {
        let spec = ProcessBindingSpec {
            connector_ref: NameReference { name: "example".to_owned() },
            connection_ref: Some(ConnectionReference { namespace: None, name: connection.to_owned() }),
            service_account_name: "default".to_owned(),
            ..ProcessBindingSpec::default()
        };
        ProcessBinding::new(name, spec)
    }

    /// A person without the right reads who they are, what they cannot do, to what and where.
    #[expect(clippy::expect_used, reason = "clippy does not see that a helper belongs to tests")]
    fn forbidden<T: std::fmt::Debug>(answer: kube::Result<T>, verb: &str, resource: &str, namespace: &str) {
        let status = match answer.expect_err("it is forbidden") {
            kube::Error::Api(status) => *status,
            other => unreachable!("{other}"),
        };
        assert_eq!(status.code, 403, "{status}");
        let words = format!(
            "cannot {verb} resource \"{resource}\" in API group \"liaison.dev\" in the namespace \"{namespace}\""
        );
        assert!(status.message.contains(&words), "{}", status.message);
    }

    fn change(part: Value) -> Patch<Value> {
        Patch::Merge(part)
    }

    #[rstest]
    #[case("liaison-connection-viewer")]
    // By aggregation.
    #[case("view")]
    #[tokio::test]
    async fn s33_who_may_only_look_reads_and_is_told_what_they_may_not_do(#[case] role: &str) -> Result<()> {
        let (client, administrator, namespace) = user_with(role).await?;
        knows(&client, "list", &namespace).await?;
        let made: Api<Connection> = Api::namespaced(administrator, &namespace);
        made.create(&PostParams::default(), &connection("crm")).await?;

        let connections: Api<Connection> = Api::namespaced(client.clone(), &namespace);
        assert_eq!(connections.get("crm").await?.name_any(), "crm");
        assert_eq!(connections.list(&ListParams::default()).await?.items.len(), 1);
        let bindings: Api<ProcessBinding> = Api::namespaced(client.clone(), &namespace);
        bindings.list(&ListParams::default()).await?;
        let suspend = change(json!({ "spec": { "suspend": true } }));
        let verify = change(json!({ "metadata": { "annotations": { "liaison.dev/verify-at": "now" } } }));
        for patch in [suspend, verify] {
            let patched = connections.patch("crm", &PatchParams::default(), &patch).await;
            forbidden(patched, "patch", "connections", &namespace);
        }
        let deleted = connections.delete("crm", &DeleteParams::default()).await;
        forbidden(deleted.map(drop), "delete", "connections", &namespace);
        let created = connections.create(&PostParams::default(), &connection("erp")).await;
        forbidden(created, "create", "connections", &namespace);
        let bound = bindings.create(&PostParams::default(), &binding("sync", "crm")).await;
        forbidden(bound, "create", "processbindings", &namespace);
        for verb in ["use", "authenticate", "verify"] {
            assert!(!allowed_on(&client, verb, CONNECTIONS, Some(&namespace), Some("crm")).await?, "{verb}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn s34_who_writes_no_connections_says_which_ones_processes_have() -> Result<()> {
        let (client, administrator, namespace) = user_with("liaison-connection-consumer").await?;
        knows(&client, "list", &namespace).await?;
        let made: Api<Connection> = Api::namespaced(administrator, &namespace);
        made.create(&PostParams::default(), &connection("crm")).await?;
        made.create(&PostParams::default(), &connection("erp")).await?;

        let bindings: Api<ProcessBinding> = Api::namespaced(client.clone(), &namespace);
        bindings.create(&PostParams::default(), &binding("sync", "crm")).await?;
        let other = change(json!({ "spec": { "connectionRef": { "name": "erp" } } }));
        bindings.patch("sync", &PatchParams::default(), &other).await?;
        let connections: Api<Connection> = Api::namespaced(client.clone(), &namespace);
        assert_eq!(connections.list(&ListParams::default()).await?.items.len(), 2, "to choose from");

        let suspend = change(json!({ "spec": { "suspend": true } }));
        let patched = connections.patch("crm", &PatchParams::default(), &suspend).await;
        forbidden(patched, "patch", "connections", &namespace);
        let deleted = connections.delete("crm", &DeleteParams::default()).await;
        forbidden(deleted.map(drop), "delete", "connections", &namespace);
        let created = connections.create(&PostParams::default(), &connection("new")).await;
        forbidden(created, "create", "connections", &namespace);
        let status = change(json!({ "status": { "requirement": "Available" } }));
        let status = bindings.patch_status("sync", &PatchParams::default(), &status).await;
        forbidden(status, "patch", "processbindings/status", &namespace);
        bindings.delete("sync", &DeleteParams::default()).await?;
        Ok(())
    }

    #[tokio::test]
    async fn s10_a_consumer_binds_to_each_connection_of_their_folder_and_to_none_of_another() -> Result<()> {
        let (client, administrator, namespace) = user_with("liaison-connection-consumer").await?;
        knows(&client, "list", &namespace).await?;
        let control_plane = installed()?;
        let user = format!("--user=user-of-{namespace}");
        let bind = ["create", "rolebinding", "use", "--clusterrole=liaison-connection-use"];
        control_plane.run_kubectl(&[&bind[..], &["--namespace", &namespace, &user]].concat())?;
        knows(&client, "use", &namespace).await?;
        let made: Api<Connection> = Api::namespaced(administrator.clone(), &namespace);
        for (name, connected) in [("one", "crm"), ("two", "erp")] {
            made.create(&PostParams::default(), &connection(connected)).await?;
            let mine: Api<ProcessBinding> = Api::namespaced(client.clone(), &namespace);
            mine.create(&PostParams::default(), &binding(name, connected)).await?;
            assert!(allowed_on(&client, "use", CONNECTIONS, Some(&namespace), Some(connected)).await?);
        }

        let other = new_namespace(&administrator).await?;
        let theirs: Api<ProcessBinding> = Api::namespaced(client.clone(), &other);
        let refused = theirs.create(&PostParams::default(), &binding("one", "crm")).await;
        forbidden(refused, "create", "processbindings", &other);
        assert!(!allowed_on(&client, "use", CONNECTIONS, Some(&other), Some("crm")).await?);
        Ok(())
    }

    #[tokio::test]
    async fn s17_the_right_to_use_is_a_verb_of_its_own_and_kubectl_tells_who_has_it() -> Result<()> {
        let control_plane = installed()?;
        let namespace = new_namespace(&control_plane.client().await?).await?;
        let workload = format!("system:serviceaccount:{namespace}:sync");
        let can = |verb: &str, what: &str| -> Result<String> {
            let asked = ["auth", "can-i", verb, what, "--namespace", &namespace, "--as", &workload];
            // Whoever may not is told so by the exit code too.
            let output = control_plane.kubectl().args(asked).output()?;
            let answer = String::from_utf8(output.stdout)?.trim().to_owned();
            assert_eq!(output.status.success(), answer == "yes", "{answer}");
            Ok(answer)
        };
        let use_crm = || can("use", "connections.liaison.dev/crm");
        // Who reads every Secret of the namespace cannot have a connection handed out, …
        let reads = ["create", "role", "reads", "--verb=get,list,watch", "--resource=secrets"];
        control_plane.run_kubectl(&[&reads[..], &["--namespace", &namespace]].concat())?;
        let account = format!("--serviceaccount={namespace}:sync");
        let bind = ["create", "rolebinding", "reads", "--role=reads", &account, "--namespace", &namespace];
        control_plane.run_kubectl(&bind)?;
        eventually("the workload reads Secrets", SOON, async || {
            Ok((can("get", "secrets")? == "yes").then_some(()))
        })
        .await?;
        assert_eq!(use_crm()?, "no");
        // … and who can cannot read what it is.
        let give = ["create", "rolebinding", "use", "--clusterrole=liaison-connection-use", &account];
        control_plane.run_kubectl(&[&give[..], &["--namespace", &namespace]].concat())?;
        eventually("the workload may use the connection", SOON, async || {
            Ok((use_crm()? == "yes").then_some(()))
        })
        .await?;
        assert_eq!(can("get", "connections.liaison.dev/crm")?, "no");
        control_plane.run_kubectl(&["delete", "rolebinding", "use", "--namespace", &namespace])?;
        eventually("the right is withdrawn", SOON, async || Ok((use_crm()? == "no").then_some(()))).await
    }
}
