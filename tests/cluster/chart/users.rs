//! What the chart's roles allow on a real API server, the operator's and those for people.

/// Installs the roles for the whole cluster: not on an existing one.
pub(super) mod own_control_plane {
    use std::sync::OnceLock;

    use anyhow::Result;
    use k8s_openapi::api::authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    };
    use k8s_openapi::api::core::v1::Secret;
    use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
    use kube::Client;
    use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
    use liaison::api::{Connection, ConnectionSpec, Connector, Folder};
    use liaison::cluster::access::{self, Named};
    use rstest::rstest;
    use serde_json::json;

    use super::super::{RELEASE, helm_in, new_namespace};
    use crate::support::control_plane::ControlPlane;
    use crate::support::waiting::{SOON, eventually};

    const NAMESPACE: &str = "liaison-roles";

    /// The shared control plane, whose CRDs are there already, with the chart's other objects.
    pub(crate) fn installed() -> Result<&'static ControlPlane> {
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        let control_plane = ControlPlane::shared()?;
        let installed = INSTALLED.get_or_init(|| {
            let install =
                ["install", RELEASE, "charts/liaison", "--create-namespace", "--namespace", NAMESPACE];
            // Nobody would answer.
            let options = ["--set=crds.enabled=false,admission.enabled=false"];
            helm_in(control_plane, &[&install[..], &options].concat())
                .map(drop)
                .map_err(|error| format!("{error:#}"))
        });
        installed.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(control_plane)
    }

    pub(crate) async fn allowed(
        client: &Client,
        verb: &str,
        resource: &str,
        namespace: Option<&str>,
    ) -> Result<bool> {
        allowed_on(client, verb, resource, namespace, None).await
    }

    pub(crate) async fn allowed_on(
        client: &Client,
        verb: &str,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<bool> {
        let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: namespace.map(ToOwned::to_owned),
            name: name.map(ToOwned::to_owned),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn operator() -> Result<Client> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{RELEASE}");
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{NAMESPACE}")];
        installed()?.client_as(&user, &groups).await
    }

    #[tokio::test]
    async fn the_operator_may_do_all_that_its_code_does() -> Result<()> {
        let client = operator().await?;
        let own = access::OWN_NAMESPACE.iter().map(|access| (access, Some(NAMESPACE)));
        for (access, namespace) in access::CLUSTER.iter().map(|access| (access, None)).chain(own) {
            let resource = format!("{}/{}", access.group, access.resource);
            let name = match access.named {
                Named::Any => None,
                Named::Installation => Some(RELEASE),
                Named::Exactly(name) => Some(name),
                Named::Served => unreachable!("it works everywhere"),
            };
            for verb in access.verbs {
                let allowed = allowed_on(&client, verb, &resource, namespace, name).await?;
                assert!(allowed, "{verb} {resource}");
            }
        }
        Ok(())
    }

    #[rstest]
    #[case("delete", "liaison.dev/connections")]
    #[case("update", "liaison.dev/connections")]
    #[case("use", "liaison.dev/connections")]
    #[case("create", "liaison.dev/connections")]
    #[case("delete", "liaison.dev/folders")]
    #[case("patch", "liaison.dev/connectors")]
    #[case("update", "/secrets")]
    #[case("deletecollection", "/secrets")]
    #[case("get", "/pods")]
    #[case("create", "/pods/exec")]
    #[case("create", "/serviceaccounts/token")]
    #[case("impersonate", "/users")]
    #[case("patch", "coordination.k8s.io/leases")]
    #[case("escalate", "rbac.authorization.k8s.io/clusterroles")]
    #[case("bind", "rbac.authorization.k8s.io/clusterroles")]
    #[case("get", "rbac.authorization.k8s.io/clusterroles")]
    #[case("create", "rbac.authorization.k8s.io/rolebindings")]
    #[case("patch", "rbac.authorization.k8s.io/rolebindings")]
    #[case("delete", "rbac.authorization.k8s.io/rolebindings")]
    #[case("create", "rbac.authorization.k8s.io/clusterrolebindings")]
    #[case("get", "rbac.authorization.k8s.io/roles")]
    #[case("patch", "rbac.authorization.k8s.io/clusterrolebindings")]
    #[case("create", "liaison.dev/processbindings")]
    #[case("patch", "liaison.dev/processbindings")]
    #[case("delete", "liaison.dev/processbindings")]
    #[case("patch", "admissionregistration.k8s.io/validatingwebhookconfigurations")]
    #[case("list", "admissionregistration.k8s.io/mutatingwebhookconfigurations")]
    #[tokio::test]
    async fn the_operator_may_not_do_more(#[case] verb: &str, #[case] resource: &str) -> Result<()> {
        assert!(!allowed(&operator().await?, verb, resource, None).await?);
        Ok(())
    }

    /// A user who holds one ClusterRole in a namespace of their own.
    pub(crate) async fn user_with(role: &str) -> Result<(Client, Client, String)> {
        let control_plane = installed()?;
        let administrator = control_plane.client().await?;
        let namespace = new_namespace(&administrator).await?;
        let user = format!("user-of-{namespace}");
        let binding = RoleBinding {
            metadata: ObjectMeta { name: Some("tested".to_owned()), ..ObjectMeta::default() },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: user.clone(),
                namespace: None,
            }]),
        };
        let bindings: Api<RoleBinding> = Api::namespaced(administrator.clone(), &namespace);
        bindings.create(&PostParams::default(), &binding).await?;
        let client = control_plane.client_as(&user, &[]).await?;
        Ok((client, administrator, namespace))
    }

    pub(crate) fn connection(name: &str) -> Connection {
        let mut spec = ConnectionSpec::default();
        "example".clone_into(&mut spec.connector_ref.name);
        Connection::new(name, spec)
    }

    /// Waits until the API server knows the new binding, then tells what a request comes to.
    pub(crate) async fn knows(client: &Client, verb: &str, namespace: &str) -> Result<()> {
        let what = format!("the right to {verb} connections");
        eventually(&what, SOON, async || {
            Ok(allowed(client, verb, "liaison.dev/connections", Some(namespace)).await?.then_some(()))
        })
        .await
    }

    fn forbidden<T: std::fmt::Debug>(answer: kube::Result<T>) -> bool {
        matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
    }

    #[tokio::test]
    async fn a_viewer_of_the_whole_cluster_reads_folders_and_connectors() -> Result<()> {
        let control_plane = installed()?;
        let bind =
            ["create", "clusterrolebinding", "reader-of-all", "--clusterrole=liaison-connection-viewer"];
        control_plane.run_kubectl(&[&bind[..], &["--user=reader-of-all"]].concat())?;
        let client = control_plane.client_as("reader-of-all", &[]).await?;
        knows(&client, "list", "default").await?;

        Api::<Folder>::all(client.clone()).list(&ListParams::default()).await?;
        Api::<Connector>::all(client.clone()).list(&ListParams::default()).await?;
        for resource in ["liaison.dev/folders", "liaison.dev/connectors"] {
            assert!(!allowed(&client, "create", resource, None).await?, "{resource}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_user_keeps_connections_and_makes_none() -> Result<()> {
        let (client, administrator, namespace) = user_with("liaison-connection-user").await?;
        knows(&client, "patch", &namespace).await?;
        let made = Api::<Connection>::namespaced(administrator, &namespace);
        made.create(&PostParams::default(), &connection("crm")).await?;

        let connections = Api::<Connection>::namespaced(client.clone(), &namespace);
        let patch = Patch::Merge(json!({ "spec": { "suspend": true } }));
        connections.patch("crm", &PatchParams::default(), &patch).await?;
        for verb in ["use", "authenticate", "verify", "get", "list", "watch", "update"] {
            assert!(allowed(&client, verb, "liaison.dev/connections", Some(&namespace)).await?, "{verb}");
        }
        assert!(forbidden(connections.create(&PostParams::default(), &connection("erp")).await));
        assert!(forbidden(connections.patch_status("crm", &PatchParams::default(), &patch).await));
        assert!(forbidden(Api::<Secret>::namespaced(client, &namespace).list(&ListParams::default()).await));
        connections.delete("crm", &DeleteParams::default()).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_creator_makes_connections_and_sees_none() -> Result<()> {
        let (client, _, namespace) = user_with("liaison-connection-creator").await?;
        knows(&client, "create", &namespace).await?;

        let connections = Api::<Connection>::namespaced(client, &namespace);
        connections.create(&PostParams::default(), &connection("crm")).await?;
        assert!(forbidden(connections.get("crm").await));
        assert!(forbidden(connections.delete("crm", &DeleteParams::default()).await));
        Ok(())
    }
}
