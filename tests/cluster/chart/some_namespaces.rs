//! The life of a release that works in some namespaces only, with Helm's own uninstall: what it has there, and what of it
//! stays.

/// Has a control plane of its own, since it installs and removes what is there once for the whole cluster.
mod own_control_plane {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use anyhow::{Context, Result, ensure};
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{Api, ListParams, Patch, PatchParams};
    use kube::{Client, ResourceExt};
    use liaison::api::names::{FOLDER_FINALIZER, REVOKE_FINALIZER};
    use liaison::api::{Connection, Folder, ProcessBinding};
    use liaison::domain::conditions::{self, ConditionType};
    use serde_json::{Value, json};

    use super::super::{RELEASE, helm, helm_in, of_kind};
    use crate::support::control_plane::{ControlPlane, Options, output_of};
    use crate::support::free_port;
    use crate::support::installation::{AdmissionPort, kubeconfig_of};
    use crate::support::operator::{Operator, OperatorOptions};
    use crate::support::run_directory::RunDirectory;
    use crate::support::waiting::{SOON, eventually};

    const NAMESPACE: &str = "liaison-system";
    const ACCOUNT: &str = "system:serviceaccount:liaison-system:liaison";
    const CONNECTOR: &str = "{apiVersion: liaison.dev/v1alpha1, kind: Connector, metadata: {name: crm}, spec: {displayName: \
         A CRM, baseURL: 'https://crm.example.com', authMethods: [{type: APIKey, parameters: [{name: apiKey, required: \
         true, secret: true}], request: {headers: {X-API-Key: '{apiKey}'}}}]}}";

    /// A cluster with three namespaces, and where its API server finds the operator, which is a process beside it.
    struct Scene {
        control_plane: ControlPlane,
        client: Client,
        admission: AdmissionPort,
    }

    #[tokio::test]
    async fn a_release_for_some_namespaces_takes_one_more_and_leaves_nothing_in_them_but_what_people_made()
    -> Result<()> {
        let options = Options::default();
        let control_plane = ControlPlane::start(RunDirectory::take("chart-some")?, &options).await?;
        let client = control_plane.client().await?;
        let scene = Scene { control_plane, client, admission: AdmissionPort::take()? };
        for namespace in [NAMESPACE, "team-a", "team-b", "elsewhere"] {
            scene.control_plane.run_kubectl(&["create", "namespace", namespace])?;
        }
        scene.release("install", &["team-a"])?;
        scene.has_rights_in(&["team-a"], &["team-b", "elsewhere"]).await?;
        scene.apply("connector", CONNECTOR)?;
        let operator = scene.operate(&["team-a"]).await?;
        scene.works_in("team-a", "{type: Shared}").await?;
        let folder = scene.folder("team-b", "{type: Shared}").expect_err("it is refused");
        ensure!(folder.to_string().contains("does not work in namespace \"team-b\""), "{folder}");
        let binding = scene.apply("far", &bound_in("elsewhere")).expect_err("it is refused");
        ensure!(binding.to_string().contains("does not work in namespace \"elsewhere\""), "{binding}");
        drop(operator);

        scene.release("upgrade", &["team-a", "team-b"])?;
        scene.has_rights_in(&["team-a", "team-b"], &["elsewhere"]).await?;
        let operator = scene.operate(&["team-a", "team-b"]).await?;
        scene.works_in("team-b", "{type: Personal, owner: ada}").await?;
        drop(operator);

        let held = json!({ "metadata": { "finalizers": [REVOKE_FINALIZER] } });
        for namespace in ["team-a", "team-b"] {
            let connections: Api<Connection> = Api::namespaced(scene.client.clone(), namespace);
            connections.patch("crm", &PatchParams::default(), &Patch::Merge(&held)).await?;
        }
        scene.is_stopped_by_a_namespace_that_is_gone(&["team-a", "team-b"])?;
        scene.uninstall().await?;
        scene.only_what_people_made_is_left().await
    }

    /// A process with the connection of its own namespace, which is handed out as a Secret.
    fn bound_in(namespace: &str) -> String {
        format!(
            "{{apiVersion: liaison.dev/v1alpha1, kind: ProcessBinding, metadata: {{name: sync, namespace: {namespace}}}, \
             spec: {{connectorRef: {{name: crm}}, connectionRef: {{name: crm}}, serviceAccountName: sync, secretName: \
             sync-crm}}}}"
        )
    }

    impl Scene {
        fn release(&self, verb: &str, namespaces: &[&str]) -> Result<()> {
            let url = format!("--set=admission.url={}", self.admission.url());
            let some = format!("--set-json=namespaces={}", json!(namespaces));
            let arguments = [verb, RELEASE, "charts/liaison", "--namespace", NAMESPACE, &url, &some];
            let notes = helm_in(&self.control_plane, &arguments)?;
            ensure!(notes.contains("these namespaces, and nobody looks at"), "{notes}");
            ensure!(notes.contains(&namespaces.join(", ")), "{notes}");
            Ok(())
        }

        fn apply(&self, name: &str, manifest: &str) -> Result<()> {
            let path = self.control_plane.directory().join(format!("{name}.yaml"));
            std::fs::write(&path, manifest)?;
            let path = path.to_string_lossy();
            self.control_plane.run_kubectl(&["apply", "--server-side", "--filename", &path]).map(drop)
        }

        fn folder(&self, name: &str, spec: &str) -> Result<()> {
            let spec = format!("{{displayName: {name}, adopt: true, {}", spec.trim_start_matches('{'));
            let folder = format!(
                "{{apiVersion: liaison.dev/v1alpha1, kind: Folder, metadata: {{name: {name}}}, spec: {spec}}}"
            );
            self.apply(name, &folder)
        }

        async fn operate(&self, namespaces: &[&str]) -> Result<Operator> {
            let port = free_port()?;
            let mut arguments = vec![
                "--identity=chart".to_owned(),
                "--lease-seconds=4".to_owned(),
                "--provider-timeout=1s".to_owned(),
                "--public-address=127.0.0.1:0".to_owned(),
                format!("--internal-address=127.0.0.1:{port}"),
            ];
            arguments.extend(namespaces.iter().map(|namespace| format!("--namespaces={namespace}")));
            arguments.extend(self.admission.arguments());
            let kubeconfig = kubeconfig_of(&self.control_plane, RELEASE)?;
            let options = OperatorOptions {
                program: Path::new(env!("CARGO_BIN_EXE_liaison")),
                arguments: &arguments,
                environment: &[("KUBECONFIG", kubeconfig.display().to_string())],
                ready_url: &format!("http://127.0.0.1:{port}/readyz"),
            };
            Operator::start(&self.control_plane, &options).await
        }

        /// The operator has its rights in these namespaces and its own, by Roles, and none in those or everywhere.
        async fn has_rights_in(&self, served: &[&str], others: &[&str]) -> Result<()> {
            let may = |scope: &[&str]| {
                let mut command = self.control_plane.kubectl();
                command.args(["auth", "can-i", "get", "secrets", "--as", ACCOUNT]).args(scope);
                Ok::<_, anyhow::Error>(String::from_utf8(command.output()?.stdout)?.trim() == "yes")
            };
            for namespace in served {
                let scope = ["--namespace", namespace];
                let known = async || Ok(may(&scope)?.then_some(()));
                eventually(&format!("rights in {namespace}"), SOON, known).await?;
            }
            for namespace in others {
                ensure!(!may(&["--namespace", namespace])?, "it reads Secrets in {namespace}");
            }
            ensure!(!may(&["--all-namespaces"])?, "it reads Secrets everywhere");
            let bound = self.objects("rolebindings", &["--all-namespaces"])?;
            for binding in bound.iter().filter(|binding| is_of_release(binding)) {
                ensure!(binding["roleRef"]["kind"] == "Role", "{binding}");
            }
            let places = bound.iter().filter(|binding| is_of_release(binding));
            let places: BTreeSet<_> = places.filter_map(|it| it["metadata"]["namespace"].as_str()).collect();
            let expected = served.iter().copied().chain([NAMESPACE]).collect();
            ensure!(places == expected, "{places:?}");
            self.no_role_of_the_cluster_reaches_into_namespaces()
        }

        /// What the operator has in the whole cluster is about kinds that are in no namespace.
        fn no_role_of_the_cluster_reaches_into_namespaces(&self) -> Result<()> {
            let kinds = self.control_plane.run_kubectl(&[
                "api-resources",
                "--namespaced=true",
                "--no-headers",
                "--output=name",
            ])?;
            let kinds: Vec<_> = kinds.lines().filter_map(|kind| kind.split('.').next()).collect();
            ensure!(kinds.contains(&"secrets") && kinds.contains(&"connections"), "{kinds:?}");
            let bound = self.objects("clusterrolebindings", &[])?;
            let bound: Vec<_> = bound
                .iter()
                .filter(|binding| binding["subjects"][0]["name"] == RELEASE)
                .filter_map(|binding| binding["roleRef"]["name"].as_str())
                .collect();
            ensure!(!bound.is_empty(), "it has a ClusterRole");
            for role in bound {
                let role = &self.objects("clusterroles", &[role])?[0];
                let rules = role["rules"].as_array().context("rules")?;
                let resources =
                    rules.iter().flat_map(|rule| rule["resources"].as_array().into_iter().flatten());
                for resource in resources.filter_map(Value::as_str) {
                    let kind = resource.split('/').next().unwrap_or_default();
                    // To know of rights is to see who has them; it gives none.
                    let about_rights = ["roles", "rolebindings"].contains(&kind);
                    ensure!(about_rights || !kinds.contains(&kind), "{resource} in the whole cluster");
                }
            }
            Ok(())
        }

        /// The objects of some kinds.
        fn objects(&self, kinds: &str, options: &[&str]) -> Result<Vec<Value>> {
            let arguments = [&["get", kinds, "--output=json"], options].concat();
            let mut found: Value = serde_json::from_str(&self.control_plane.run_kubectl(&arguments)?)?;
            match found["items"].take() {
                Value::Array(items) => Ok(items),
                _ => Ok(vec![found]),
            }
        }

        /// A folder adopts the namespace, its connection counts, and a process there gets the credential.
        async fn works_in(&self, namespace: &str, spec: &str) -> Result<()> {
            self.folder(namespace, spec)?;
            let place = ["--namespace", namespace];
            let secret = format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: crm, namespace: {namespace}, labels: \
                 {{liaison.dev/credentials: 'true'}}}}, stringData: {{apiKey: a-key}}}}"
            );
            let connection = format!(
                "{{apiVersion: liaison.dev/v1alpha1, kind: Connection, metadata: {{name: crm, namespace: {namespace}}}, \
                 spec: {{connectorRef: {{name: crm}}, credentials: {{secretRef: {{name: crm}}}}}}}}"
            );
            self.apply("secret", &secret)?;
            self.apply("connection", &connection)?;
            self.control_plane.run_kubectl(&[&["create", "serviceaccount", "sync"], &place[..]].concat())?;
            let account = format!("--serviceaccount={namespace}:sync");
            let give =
                ["create", "rolebinding", "sync", "--clusterrole=liaison-connection-use", account.as_str()];
            self.control_plane.run_kubectl(&[&give, &place[..]].concat())?;
            self.apply("binding", &bound_in(namespace))?;
            let bindings: Api<ProcessBinding> = Api::namespaced(self.client.clone(), namespace);
            eventually(&format!("the process in {namespace} has its Secret"), SOON, async || {
                let status = bindings.get("sync").await?.status.unwrap_or_default();
                let ready = conditions::find(&status.conditions, ConditionType::Ready).context("Ready")?;
                ensure!(ready.status == "True", "{}: {}", ready.reason, ready.message);
                Ok(Some(()))
            })
            .await
        }

        /// Helm's uninstall with its hook, whose Pod nothing runs here but this test.
        async fn uninstall(&self) -> Result<()> {
            let arguments = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--timeout=120s"];
            let mut command = helm(&arguments)?;
            let command = self.control_plane.direct(&mut command);
            let helm = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            let ran = self.run_hook().await;
            let ended = tokio::task::spawn_blocking(move || Child::wait_with_output(helm)).await??;
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            ensure!(ended.status.success(), "{said}");
            ran
        }

        /// A namespace of the list that is gone stops an uninstall, until it is back.
        fn is_stopped_by_a_namespace_that_is_gone(&self, others: &[&str]) -> Result<()> {
            let all = [others, &["gone"]].concat();
            self.control_plane.run_kubectl(&["create", "namespace", "gone"])?;
            self.release("upgrade", &all)?;
            self.control_plane.run_kubectl(&["delete", "namespace", "gone"])?;
            let arguments = ["uninstall", RELEASE, "--namespace", NAMESPACE];
            let refused =
                helm_in(&self.control_plane, &arguments).err().context("the hook's Role has no place")?;
            ensure!(refused.to_string().contains("namespaces \"gone\" not found"), "{refused}");
            // Helm upgrades no release whose uninstall has begun.
            self.control_plane.run_kubectl(&["create", "namespace", "gone"]).map(drop)
        }

        async fn run_hook(&self) -> Result<()> {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
            let jobs = ListParams::default().labels("job-name=liaison-uninstall");
            let pod =
                eventually("the hook has a Pod", SOON, async || Ok(pods.list(&jobs).await?.items.pop()));
            let pod = pod.await?;
            let container =
                pod.spec.as_ref().and_then(|spec| spec.containers.first()).context("container")?;
            let kubeconfig = kubeconfig_of(&self.control_plane, "liaison-uninstall")?;
            let mut command = Command::new(env!("CARGO_BIN_EXE_liaison"));
            command.args(container.args.iter().flatten());
            for variable in container.env.iter().flatten() {
                command.env(&variable.name, variable.value.as_deref().unwrap_or(NAMESPACE));
            }
            let printed = output_of(command.env("KUBECONFIG", kubeconfig))?;
            for (namespace, finalizer) in [("team-a", REVOKE_FINALIZER), ("team-b", REVOKE_FINALIZER)] {
                let line = format!("Connection \"{namespace}/crm\": took the finalizer {finalizer} away");
                ensure!(printed.contains(&line), "{printed}");
            }
            let ended = json!({ "status": { "phase": "Succeeded" } });
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&ended)).await?;
            Ok(())
        }

        async fn only_what_people_made_is_left(&self) -> Result<()> {
            let kinds = self.control_plane.run_kubectl(&[
                "api-resources",
                "--namespaced",
                "--verbs=list",
                "--output=name",
            ])?;
            let kinds =
                kinds.lines().filter(|kind| !kind.starts_with("events")).collect::<Vec<_>>().join(",");
            for (namespace, more) in [("team-a", None), ("team-b", Some("RoleBinding/liaison-folder-owner"))]
            {
                let objects = self.objects(&kinds, &["--namespace", namespace])?;
                let mut left: Vec<_> =
                    objects.iter().map(shown).filter(|name| !is_kubernetes(name)).collect();
                left.sort();
                let mut expected = vec![
                    "Connection/crm",
                    "ProcessBinding/sync",
                    "RoleBinding/sync",
                    "Secret/crm",
                    "Secret/sync-crm",
                    "ServiceAccount/sync",
                ];
                expected.extend(more);
                expected.sort_unstable();
                ensure!(left == expected, "{namespace}: {left:?}");
                // It goes with the binding that somebody made.
                let made =
                    of_kind(&objects, "Secret").into_iter().find(|it| it["metadata"]["name"] == "sync-crm");
                let owner = &made.context("Secret")?["metadata"]["ownerReferences"][0]["kind"];
                ensure!(owner == "ProcessBinding", "{owner}");
                let connections: Api<Connection> = Api::namespaced(self.client.clone(), namespace);
                ensure!(
                    connections.get("crm").await?.finalizers().is_empty(),
                    "nothing waits for the operator"
                );
            }
            for folder in Api::<Folder>::all(self.client.clone()).list(&ListParams::default()).await? {
                ensure!(!folder.finalizers().contains(&FOLDER_FINALIZER.to_owned()), "{}", folder.name_any());
            }
            let everywhere = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations,\
                              validatingadmissionpolicies,validatingadmissionpolicybindings";
            let left: Vec<_> = self.objects(everywhere, &[])?.iter().map(shown).collect();
            let ours: Vec<_> = left.iter().filter(|name| name.contains("liaison")).collect();
            ensure!(ours.is_empty(), "{ours:?}");
            let crds = self.control_plane.run_kubectl(&["get", "crds", "--output=name"])?;
            ensure!(crds.contains("connections.liaison.dev"), "{crds}");
            Ok(())
        }
    }

    fn is_of_release(object: &Value) -> bool {
        object["metadata"]["labels"]["app.kubernetes.io/part-of"] == "liaison"
    }

    fn shown(object: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
    }

    /// What every namespace has.
    fn is_kubernetes(name: &str) -> bool {
        ["ConfigMap/kube-root-ca.crt", "ServiceAccount/default"].contains(&name)
    }
}
