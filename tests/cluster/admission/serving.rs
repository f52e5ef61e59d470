//! The objects as the API server takes them, and the listener as it stands on the network.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Context as _, Result};
    use k8s_openapi::api::admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingAdmissionPolicy,
    };
    use kube::api::ListParams;
    use kube::{Api, ResourceExt};

    use super::super::{Stage, operate};
    use crate::support::free_port;
    use crate::support::installation::AdmissionPort;
    use crate::support::waiting::{SOON, answers, eventually};

    #[tokio::test]
    async fn the_api_server_finds_no_fault_with_the_types_in_our_policies() -> Result<()> {
        let policies: Api<ValidatingAdmissionPolicy> =
            Api::all(Stage::shared()?.control_plane.client().await?);
        eventually("all policies are checked", SOON, async || {
            let policies = policies.list(&ListParams::default()).await?.items;
            let checked = |policy: &ValidatingAdmissionPolicy| {
                let status = policy.status.as_ref();
                status.is_some_and(|status| status.observed_generation == policy.metadata.generation)
            };
            Ok((policies.len() == 6 && policies.iter().all(checked)).then_some(()))
        })
        .await?;
        for policy in policies.list(&ListParams::default()).await?.items {
            let checking = policy.status.clone().unwrap_or_default().type_checking.unwrap_or_default();
            let warnings = checking.expression_warnings.unwrap_or_default();
            assert!(warnings.is_empty(), "{}: {warnings:?}", policy.name_any());
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_replica_that_does_not_lead_is_ready_and_shows_a_certificate_that_is_trusted() -> Result<()> {
        let control_plane = &Stage::shared()?.control_plane;
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(control_plane.client().await?);
        let before = configurations.get("liaison").await?;
        let (port, internal_port) = (AdmissionPort::take()?, free_port()?);
        let _standby = operate(control_plane, "standby", port, internal_port).await?;
        assert!(answers(&format!("http://127.0.0.1:{internal_port}/readyz")).await);
        let after = configurations.get("liaison").await?;
        assert_eq!(before.resource_version(), after.resource_version(), "nothing was to be written");

        let webhooks = after.webhooks.unwrap_or_default();
        let bundle = webhooks.first().and_then(|webhook| webhook.client_config.ca_bundle.clone());
        let authorities = reqwest::Certificate::from_pem_bundle(&bundle.context("bundle")?.0)?;
        let client =
            reqwest::Client::builder().tls_certs_only(authorities).pool_max_idle_per_host(0).build()?;
        let ask = async |path: &str, body: Vec<u8>| -> Result<u16> {
            let answer = client.post(format!("{}{path}", port.url())).body(body).send().await?;
            Ok(answer.status().as_u16())
        };
        assert_eq!(ask("/admission/connections", b"{}".to_vec()).await?, 400);
        assert_eq!(ask("/admission/connections", b"[1".to_vec()).await?, 400);
        assert_eq!(ask("/admission/elsewhere", Vec::new()).await?, 404);
        assert_eq!(ask("/metrics", Vec::new()).await?, 404);
        // The connection may be closed before all of it was sent.
        let large = ask("/admission/folders", vec![b' '; 4 * 1024 * 1024]).await;
        assert!(matches!(large, Ok(413) | Err(_)), "{large:?}");
        let read = client.get(format!("{}/admission/folders", port.url())).send().await?;
        assert_eq!(read.status().as_u16(), 405);
        Ok(())
    }

    #[tokio::test]
    async fn questions_are_counted_by_webhook_operation_and_outcome() -> Result<()> {
        let stage = Stage::shared()?;
        let client = stage.control_plane.client().await?;
        let folder = serde_json::json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "counted" },
            "spec": { "displayName": "Counted", "type": "Shared", "namespace": "kube-public" },
        });
        super::super::refused(super::super::create(&client, "", &folder).await, "belongs to the cluster");
        let metrics = reqwest::get(format!("{}/metrics", stage.internal_url)).await?.text().await?;
        let counted = r#"liaison_admission_duration_seconds_count{webhook="Folders",operation="CREATE",outcome="Refused"}"#;
        assert!(metrics.contains(counted), "{metrics}");
        Ok(())
    }
}
