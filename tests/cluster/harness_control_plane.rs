//! The control plane that all other tests here rely on, and the four things they rely on.

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Client, Resource, ResourceExt};

use crate::support::control_plane::ControlPlane;
use crate::support::waiting::{SOON, eventually};

/// A namespace with a name that the server makes up.
async fn new_namespace(client: &Client) -> Result<String> {
    let metadata = ObjectMeta { generate_name: Some("harness-".to_owned()), ..Default::default() };
    let namespace = Namespace { metadata, ..Default::default() };
    let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(created.name_any())
}

fn config_map(name: &str, owner: Option<OwnerReference>) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        owner_references: owner.map(|owner| vec![owner]),
        ..Default::default()
    };
    ConfigMap { metadata, ..Default::default() }
}

#[tokio::test]
async fn a_user_without_rights_is_denied() -> Result<()> {
    let control_plane = ControlPlane::shared()?;
    let client = control_plane.client_as("nobody-special", &["visitors"]).await?;

    let answer = Api::<ConfigMap>::namespaced(client, "default").list(&ListParams::default()).await;

    let Err(kube::Error::Api(status)) = answer else { panic!("not denied: {answer:?}") };
    assert_eq!(status.code, 403);
    assert!(status.message.contains(r#"User "nobody-special" cannot list"#), "{}", status.message);
    Ok(())
}

#[tokio::test]
async fn what_an_object_owns_goes_with_it() -> Result<()> {
    let client = ControlPlane::shared()?.client().await?;
    let namespace = new_namespace(&client).await?;
    let config_maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let owner = config_maps.create(&PostParams::default(), &config_map("owner", None)).await?;
    let dependent = config_map("dependent", owner.owner_ref(&()));
    config_maps.create(&PostParams::default(), &dependent).await?;

    config_maps.delete("owner", &DeleteParams::background()).await?;

    eventually("the dependent is collected", SOON, async || {
        Ok(config_maps.get_opt("dependent").await?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn kubectl_reaches_the_same_cluster() -> Result<()> {
    let control_plane = ControlPlane::shared()?;
    let client = control_plane.client().await?;
    let namespace = new_namespace(&client).await?;

    let printed = control_plane.run_kubectl(&["get", "namespace", &namespace, "--output=name"])?;

    assert_eq!(printed.trim(), format!("namespace/{namespace}"));
    Ok(())
}

/// Needs files of the servers: not run against an existing cluster.
mod own_control_plane {
    use http::header::{HeaderValue, USER_AGENT};
    use kube::api::{Patch, PatchParams};

    use super::*;
    use crate::support::audit_log::AuditLog;

    #[tokio::test]
    async fn the_audit_log_counts_writes_by_user_agent() -> Result<()> {
        let control_plane = ControlPlane::shared()?;
        let client = control_plane
            .client_with(|config| {
                config.headers.push((USER_AGENT, HeaderValue::from_static("harness/1.0")));
            })
            .await?;
        let audit_log = control_plane.audit_log().expect("own servers have an audit log");
        let namespace = new_namespace(&client).await?;
        let mark = audit_log.mark()?;

        let config_maps = Api::<ConfigMap>::namespaced(client, &namespace);
        config_maps.create(&PostParams::default(), &config_map("one", None)).await?;
        let patch = Patch::Apply(config_map("one", None));
        let parameters = PatchParams::apply("harness");
        config_maps.patch("one", &parameters, &patch).await?;
        config_maps.patch("one", &parameters.dry_run(), &patch).await?;
        config_maps.get("one").await?;

        let writes = eventually("both writes are in the log", SOON, async || {
            let writes = audit_log.writes("harness/", mark)?;
            Ok((writes.len() >= 2).then_some(writes))
        })
        .await?;
        let counted: Vec<_> = AuditLog::count(&writes).into_iter().collect();
        assert_eq!(counted, [("create configmaps".to_owned(), 1), ("patch configmaps".to_owned(), 1)]);
        assert!(writes.iter().all(|write| write.succeeded() && write.object_ref.namespace == namespace));
        Ok(())
    }

    #[tokio::test]
    async fn etcd_can_be_looked_into() -> Result<()> {
        let control_plane = ControlPlane::shared()?;
        let folder = control_plane.etcd_directory().expect("own servers have an etcd");
        assert!(folder.join("member/wal").is_dir(), "{}", folder.display());
        Ok(())
    }
}
