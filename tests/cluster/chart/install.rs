//! The life of a release on a real API server: installation, the operator at work with the chart's rights and no
//! other, upgrade, uninstall, and installation again.

/// Has a control plane of its own, since it installs and removes what is there once for the whole cluster.
mod own_control_plane {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use anyhow::{Context, Result};
    use futures::{StreamExt, TryStreamExt, stream};
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
    use kube::{Client, ResourceExt};
    use liaison::api::names::{FOLDER_FINALIZER, REVOKE_FINALIZER};
    use liaison::api::{Connection, ConnectionSpec, Folder};
    use serde_json::json;

    use super::super::{RELEASE, helm, helm_in, object, parse};
    use crate::support::control_plane::{ControlPlane, Options, output_of};
    use crate::support::free_port;
    use crate::support::installation::{AdmissionPort, kubeconfig_of};
    use crate::support::operator::{Operator, OperatorOptions};
    use crate::support::run_directory::RunDirectory;
    use crate::support::waiting::{SOON, eventually};

    const NAMESPACE: &str = "liaison-system";
    const TEAM: &str = "team-sales";
    /// More than one page of what `liaison uninstall` lists.
    const CONNECTIONS: usize = 205;
    const FOREIGN_FINALIZER: &str = "example.com/backup";

    #[tokio::test]
    async fn a_release_is_installed_works_is_upgraded_and_leaves_nothing_that_waits_for_it() -> Result<()> {
        let control_plane = ControlPlane::start(RunDirectory::take("chart")?, &Options::default()).await?;
        let client = control_plane.client().await?;
        restricted_namespace(&control_plane)?;

        // The operator is a process beside the cluster; the API server finds it by its address.
        let admission = AdmissionPort::take()?;
        let url = format!("--set=admission.url={}", admission.url());
        release(&control_plane, "install", &[&url])?;
        crds_are_established(&control_plane)?;
        pods_are_admitted(&control_plane, &client).await?;

        let operator = operator_with_rights_of(&control_plane, RELEASE, admission).await?;
        the_operator_works(&control_plane, &client).await?;
        what_cannot_become_right_is_refused(&control_plane)?;

        release(&control_plane, "upgrade", &[&url, "--values=tests/cluster/chart/everything.yaml"])?;
        what_cannot_become_right_is_refused(&control_plane)?;
        let deployment =
            ["get", "deployment", RELEASE, "--namespace", NAMESPACE, "--output=jsonpath={.spec.replicas}"];
        assert_eq!(control_plane.run_kubectl(&deployment)?, "2");
        let extra = ["get", "configmaps", "liaison-egress-addresses", "liaison-extra", "liaison-text"];
        control_plane.run_kubectl(&[&extra[..], &["--namespace", NAMESPACE]].concat())?;
        assert_eq!(connections(&client).await?.len(), 1);

        let leads = uninstall(control_plane.kubeconfig(), &["--wait=0s"]).expect_err("it still leads");
        assert!(leads.to_string().contains("of the operator still leads"), "{leads}");
        drop(operator);
        // What that attempt has done already.
        release(&control_plane, "upgrade", &[&url, "--values=tests/cluster/chart/everything.yaml"])?;

        let held = held_connections(&client).await?;
        webhooks(&control_plane)?;
        let hook = rights_of_the_hook(&control_plane)?;
        let printed = uninstall(&hook, &["--deployment", RELEASE])?;
        everything_was_let_go_of(&control_plane, &client, &printed, held).await?;
        assert_eq!(control_plane.run_kubectl(&deployment)?, "0");
        let again = uninstall(&hook, &["--deployment", RELEASE])?;
        assert_eq!(again.lines().count(), 2, "nothing was left to do: {again}");

        release(&control_plane, "upgrade", &[&url, "--set=replicas=2"])?;
        assert_eq!(
            control_plane.run_kubectl(&deployment)?,
            "2",
            "an upgrade takes a half-done uninstall back"
        );

        helm_in(&control_plane, &["uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks"])?;
        only_objects_are_left(&control_plane, &client).await?;

        release(&control_plane, "install", &[&url])?;
        assert_eq!(connections(&client).await?.len(), CONNECTIONS);
        Ok(())
    }

    fn restricted_namespace(control_plane: &ControlPlane) -> Result<()> {
        control_plane.run_kubectl(&["create", "namespace", NAMESPACE])?;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        control_plane.run_kubectl(&["label", "namespace", NAMESPACE, label]).map(drop)
    }

    fn release(control_plane: &ControlPlane, verb: &str, options: &[&str]) -> Result<()> {
        let arguments = [verb, RELEASE, "charts/liaison", "--namespace", NAMESPACE];
        helm_in(control_plane, &[&arguments, options].concat()).map(drop)
    }

    fn crds_are_established(control_plane: &ControlPlane) -> Result<()> {
        for crd in ["connectors", "folders", "connections"] {
            let name = format!("crd/{crd}.liaison.dev");
            control_plane.run_kubectl(&["wait", "--for=condition=Established", "--timeout=30s", &name])?;
        }
        Ok(())
    }

    /// The Pods of the Deployment and of the hook, as the API server with enforced Pod security judges them.
    async fn pods_are_admitted(control_plane: &ControlPlane, client: &Client) -> Result<()> {
        let manifest = helm_in(control_plane, &["get", "manifest", RELEASE, "--namespace", NAMESPACE])?;
        let hooks = helm_in(control_plane, &["get", "hooks", RELEASE, "--namespace", NAMESPACE])?;
        let objects = [parse(&manifest)?, parse(&hooks)?].concat();
        rights_of_the_hook(control_plane)?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        for (kind, name) in [("Deployment", RELEASE), ("Job", "liaison-uninstall")] {
            let mut template = object(&objects, kind, name)?["spec"]["template"].clone();
            template["metadata"]["name"] = json!("rehearsal");
            pods.create(&rehearsal(), &serde_json::from_value(template.clone())?).await.context(kind)?;

            // Proof that somebody judges.
            template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
            let refused = pods.create(&rehearsal(), &serde_json::from_value(template)?).await;
            let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains(r#"violates PodSecurity "restricted"#), "{refused}");
        }
        Ok(())
    }

    fn rehearsal() -> PostParams {
        PostParams { dry_run: true, ..PostParams::default() }
    }

    async fn operator_with_rights_of(
        control_plane: &ControlPlane,
        account: &str,
        admission: AdmissionPort,
    ) -> Result<Operator> {
        let port = free_port()?;
        let mut arguments = vec![
            "--identity=chart".to_owned(),
            "--lease-seconds=4".to_owned(),
            "--provider-timeout=1s".to_owned(),
            "--public-address=127.0.0.1:0".to_owned(),
            format!("--internal-address=127.0.0.1:{port}"),
        ];
        arguments.extend(admission.arguments());
        let options = OperatorOptions {
            program: Path::new(env!("CARGO_BIN_EXE_liaison")),
            arguments: &arguments,
            environment: &[("KUBECONFIG", kubeconfig_of(control_plane, account)?.display().to_string())],
            ready_url: &format!("http://127.0.0.1:{port}/readyz"),
        };
        Operator::start(control_plane, &options).await
    }

    /// Also after an upgrade, which must not take from the webhooks what the operator has written there.
    fn what_cannot_become_right_is_refused(control_plane: &ControlPlane) -> Result<()> {
        let path = control_plane.directory().join("unfit.yaml");
        std::fs::write(
            &path,
            "apiVersion: liaison.dev/v1alpha1\nkind: Connection\nmetadata: {name: unfit, namespace: team-sales}\n\
             spec: {connectorRef: {name: crm}}\n",
        )?;
        let refused = control_plane.run_kubectl(&["create", "--filename", &path.to_string_lossy()]);
        let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("needs parameters: apiKey"), "{refused}");
        Ok(())
    }

    /// A folder, whose namespace is made, and a connection that needs no provider become ready.
    async fn the_operator_works(control_plane: &ControlPlane, client: &Client) -> Result<()> {
        let manifests = control_plane.directory().join("team.yaml");
        std::fs::write(&manifests, include_str!("team.yaml"))?;
        let apply = || {
            control_plane.run_kubectl(&["apply", "--server-side", "--filename", &manifests.to_string_lossy()])
        };
        eventually("the folder's namespace is there", SOON, async || apply().map(Some)).await?;
        let folders: Api<Folder> = Api::all(client.clone());
        eventually("the folder is ready", SOON, async || {
            let conditions = folders.get(TEAM).await?.status.unwrap_or_default().conditions;
            Ok(conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True").then_some(()))
        })
        .await?;
        assert!(folders.get(TEAM).await?.finalizers().contains(&FOLDER_FINALIZER.to_owned()));
        eventually("the connection is authenticated", SOON, async || {
            let connections = connections(client).await?;
            let conditions =
                connections.into_iter().filter_map(|it| it.status).flat_map(|status| status.conditions);
            let conditions: Vec<_> = conditions.map(|it| (it.type_, it.reason)).collect();
            let unverified = ("Authenticated".to_owned(), "CredentialsUnverified".to_owned());
            anyhow::ensure!(conditions.contains(&unverified), "{conditions:?}");
            Ok(Some(()))
        })
        .await
    }

    async fn connections(client: &Client) -> Result<Vec<Connection>> {
        Ok(Api::<Connection>::namespaced(client.clone(), TEAM).list(&ListParams::default()).await?.items)
    }

    /// Connections on more than one page, with our finalizer; the first also with somebody else's. Returns how many
    /// have ours.
    async fn held_connections(client: &Client) -> Result<usize> {
        let api: Api<Connection> = Api::namespaced(client.clone(), TEAM);
        let made = stream::iter(1..CONNECTIONS).map(|number| {
            let mut spec = ConnectionSpec::default();
            "crm".clone_into(&mut spec.connector_ref.name);
            let mut connection = Connection::new(&format!("crm-{number:03}"), spec);
            let finalizers = connection.finalizers_mut();
            finalizers.push(REVOKE_FINALIZER.to_owned());
            if number == 1 {
                finalizers.push(FOREIGN_FINALIZER.to_owned());
            }
            let api = api.clone();
            async move { api.create(&PostParams::default(), &connection).await }
        });
        made.buffer_unordered(16).try_collect::<Vec<_>>().await?;
        // One whose deletion waits for us.
        api.delete("crm-002", &DeleteParams::default()).await?;
        let again = Connection::new("crm-new", api.get("crm-003").await?.spec);
        api.create(&PostParams::default(), &again).await?;
        Ok(CONNECTIONS - 1)
    }

    /// A webhook configuration of somebody else.
    fn webhooks(control_plane: &ControlPlane) -> Result<()> {
        let path = control_plane.directory().join("webhooks.yaml");
        std::fs::write(&path, include_str!("webhooks.yaml"))?;
        control_plane.run_kubectl(&["apply", "--filename", &path.to_string_lossy()]).map(drop)
    }

    /// Makes the hook's ServiceAccount with its roles, as Helm does before an uninstall, and returns its kubeconfig.
    fn rights_of_the_hook(control_plane: &ControlPlane) -> Result<PathBuf> {
        let only = ["--namespace", NAMESPACE, "--show-only=templates/uninstall-rbac.yaml"];
        let rendered =
            output_of(&mut helm(&[&["template", RELEASE, "charts/liaison"], &only[..]].concat())?)?;
        let path = control_plane.directory().join("hook.yaml");
        std::fs::write(&path, rendered)?;
        control_plane.run_kubectl(&["apply", "--filename", &path.to_string_lossy()])?;
        kubeconfig_of(control_plane, "liaison-uninstall")
    }

    fn uninstall(kubeconfig: &Path, options: &[&str]) -> Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liaison"));
        output_of(command.arg("uninstall").args(options).env("KUBECONFIG", kubeconfig))
    }

    async fn everything_was_let_go_of(
        control_plane: &ControlPlane,
        client: &Client,
        printed: &str,
        held: usize,
    ) -> Result<()> {
        let taken = |finalizer: &str| printed.lines().filter(|line| line.contains(finalizer)).count();
        assert_eq!((taken(REVOKE_FINALIZER), taken(FOLDER_FINALIZER)), (held, 1), "{printed}");
        for kind in ["Validating", "Mutating"] {
            let deleted = format!(r#"{kind}WebhookConfiguration "liaison": deleted"#);
            assert!(printed.contains(&deleted), "{printed}");
        }
        let not_revoked = r#"Connection "team-sales/crm-002": took the finalizer liaison.dev/revoke-token away; it was being deleted, and its token was not revoked at the provider"#;
        assert!(printed.contains(not_revoked), "{printed}");

        let connections = connections(client).await?;
        assert_eq!(connections.len(), CONNECTIONS);
        let kept: Vec<_> = connections.iter().filter(|it| !it.finalizers().is_empty()).collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].finalizers(), [FOREIGN_FINALIZER]);
        let folder = Api::<Folder>::all(client.clone()).get(TEAM).await?;
        assert!(folder.finalizers().is_empty() && folder.metadata.deletion_timestamp.is_none());
        let webhooks =
            control_plane.run_kubectl(&["get", "validatingwebhookconfigurations", "--output=name"])?;
        assert_eq!(
            webhooks.trim(),
            "validatingwebhookconfiguration.admissionregistration.k8s.io/somebody-else"
        );
        Ok(())
    }

    /// Objects, CRDs and Secrets stay; what ran is gone; and what stays can be deleted with no operator about.
    async fn only_objects_are_left(control_plane: &ControlPlane, client: &Client) -> Result<()> {
        crds_are_established(control_plane)?;
        let kinds = "deployments,serviceaccounts,services,roles,rolebindings,ingresses,networkpolicies,configmaps,pdb,\
                     validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations";
        let ours = ["get", kinds, "--output=name"];
        let ours = control_plane.run_kubectl(&[&ours[..], &["--namespace", NAMESPACE]].concat())?;
        let ours: Vec<_> =
            ours.lines().filter(|name| !name.contains("uninstall") && name.contains("liaison")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        control_plane.run_kubectl(&["get", "secret", "liaison-keyring", "--namespace", NAMESPACE])?;

        let api: Api<Connection> = Api::namespaced(client.clone(), TEAM);
        assert_eq!(connections(client).await?.len(), CONNECTIONS);
        api.delete("crm-003", &DeleteParams::default()).await?;
        assert!(api.get_opt("crm-003").await?.is_none());
        let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        api.patch("crm-001", &PatchParams::default(), &released).await?;
        let replacement = Connection::new("crm-003", api.get("crm-004").await?.spec);
        api.create(&PostParams::default(), &replacement).await?;
        Ok(())
    }
}
