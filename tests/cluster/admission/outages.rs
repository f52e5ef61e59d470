//! What holds when the operator is down, when somebody takes the webhooks away, and when nothing is left but the seal.

/// Has a control plane of its own, since it takes away what all others need.
mod own_control_plane {
    use anyhow::{Context as _, Error, Result};
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    use kube::{Api, Client};
    use liaison::api::ConsentRequest;
    use liaison::envelope::RequesterStamp;
    use serde_json::{Value, json};

    use super::super::consent_requests::{keyring, request};
    use super::super::{Stage, connection, create, delete, patch, refused, uid};
    use crate::support::control_plane::ControlPlane;
    use crate::support::waiting::{SOON, answers, eventually, holds_for};

    const USER: [&str; 2] = ["liaison-connection-user", "liaison-connection-creator"];

    fn token_connector() -> Value {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": "app" },
            "spec": {
                "displayName": "An application", "baseURL": "https://{site}.example.com", "redirect": "PerConnection",
                "parameters": [{ "name": "site", "required": true, "pattern": "[a-z]+" }],
                "authMethods": [
                    { "type": "PersonalAccessToken", "request": { "headers": { "Authorization": "Bearer {token}" } } },
                ],
            },
        })
    }

    fn fit() -> Value {
        json!({
            "connectorRef": { "name": "app" }, "parameters": { "site": "a" },
            "credentials": { "secretRef": { "name": "token" } },
        })
    }

    /// Removes the bundle from all webhooks; the operator puts it back, and then rests.
    async fn a_bundle_that_somebody_removes_comes_back(control_plane: &ControlPlane) -> Result<()> {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(control_plane.client().await?);
        let trusted = |configuration: &ValidatingWebhookConfiguration| {
            let mut webhooks = configuration.webhooks.iter().flatten();
            webhooks.all(|webhook| webhook.client_config.ca_bundle.is_some())
        };
        let removed = "[{\"op\": \"remove\", \"path\": \"/webhooks/0/clientConfig/caBundle\"}]";
        let kind = "validatingwebhookconfiguration/liaison";
        control_plane.run_kubectl(&["patch", kind, "--type=json", &format!("--patch={removed}")])?;
        eventually("the bundle is there again", SOON, async || {
            Ok(Some(configurations.get("liaison").await?).filter(trusted).map(drop))
        })
        .await?;
        let version = configurations.get("liaison").await?.metadata.resource_version;
        holds_for("nobody writes it", std::time::Duration::from_secs(2), async || {
            Ok(configurations.get("liaison").await?.metadata.resource_version == version)
        })
        .await?;
        let managers = configurations.get("liaison").await?.metadata.managed_fields.unwrap_or_default();
        let ours = managers.iter().find(|manager| manager.manager.as_deref() == Some("liaison-admission-ca"));
        let fields = serde_json::to_string(&ours.context("our field manager")?.fields_v1)?;
        assert!(fields.contains("caBundle") && !fields.contains("rules"), "{fields}");
        Ok(())
    }

    async fn what_has_a_condition_passes_and_what_is_about_rights_waits(
        administrator: &Client,
        user: &Client,
        crm: &str,
    ) -> Result<()> {
        create(administrator, "team", &connection("unfit", &json!({ "connectorRef": { "name": "app" } })))
            .await
            .map_err(Error::msg)?;
        let object = connection("crm", &fit());
        patch(user, "team", &object, json!({ "metadata": { "labels": { "a": "b" } } }))
            .await
            .map_err(Error::msg)?;
        patch(user, "team", &object, json!({ "spec": { "suspend": true } })).await.map_err(Error::msg)?;
        let moved = json!({ "spec": { "parameters": { "site": "b" } } });
        refused(patch(administrator, "team", &object, moved).await, "parameters.connections.liaison.dev");
        refused(create(user, "team", &request("late", "crm", crm)).await, "consent-requests.liaison.dev");

        let folder = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "team" },
            "spec": { "displayName": "Team", "type": "Shared", "adopt": true },
        });
        delete(administrator, "", &folder).await.map_err(Error::msg)?;
        let folders: Api<liaison::api::Folder> = Api::all(administrator.clone());
        assert!(folders.get("team").await?.metadata.deletion_timestamp.is_some(), "the finalizer holds it");
        Ok(())
    }

    fn forged(name: &str, uid: &str, username: &str) -> Value {
        let mut forged = request(name, "crm", uid);
        forged["spec"]["requester"] = json!({ "username": username, "groups": ["staff", "system:authenticated"], "seal": "0".repeat(64) });
        forged
    }

    async fn until_stored(client: &Client, object: &Value, without: &str) -> Result<ConsentRequest> {
        let what = format!("stored without {without}");
        eventually(&what, SOON, async || create(client, "team", object).await.map(Some).map_err(Error::msg))
            .await?
            .try_parse()
            .map_err(Error::from)
    }

    #[tokio::test]
    async fn without_the_operator_policies_and_conditions_hold_and_at_last_the_seal() -> Result<()> {
        let Stage { control_plane, operator, internal_url } = Stage::start("outages").await?;
        assert!(answers(&format!("{internal_url}/readyz")).await);
        a_bundle_that_somebody_removes_comes_back(&control_plane).await?;

        let administrator = control_plane.client().await?;
        let user = super::super::user(&control_plane, "team", &USER).await?;
        create(&administrator, "", &token_connector()).await.map_err(Error::msg)?;
        let folder = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "team" },
            "spec": { "displayName": "Team", "type": "Shared", "adopt": true },
        });
        create(&administrator, "", &folder).await.map_err(Error::msg)?;
        control_plane.run_kubectl(&["wait", "--for=condition=Ready", "--timeout=20s", "folder/team"])?;
        let crm = create(&administrator, "team", &connection("crm", &fit())).await.map_err(Error::msg)?;
        let crm = uid(&crm);
        let keyring = keyring(&control_plane).await?;

        operator.kill()?;
        what_has_a_condition_passes_and_what_is_about_rights_waits(&administrator, &user, &crm).await?;

        control_plane.run_kubectl(&["delete", "mutatingwebhookconfiguration", "liaison"])?;
        let words = "spec.requester is not the stamp of who makes the request";
        eventually("the webhook is gone, and the policy refuses", SOON, async || {
            let answer = create(&user, "team", &forged("forged", &crm, "administrator")).await;
            Ok(answer.is_err_and(|text| text.contains(words)).then_some(()))
        })
        .await?;
        // A stamp of one's own passes the policy; the seal is the proof.
        let own = until_stored(&user, &forged("own", &crm, "ada-of-team"), "the webhook").await?;
        control_plane.run_kubectl(&["delete", "validatingadmissionpolicy", "liaison-consent-requests"])?;
        let other = until_stored(&user, &forged("other", &crm, "administrator"), "the policy").await?;
        for stored in [own, other] {
            let requester = stored.spec.requester.clone().context("requester")?;
            let stamp = RequesterStamp { namespace: "team", spec: &stored.spec, requester: &requester };
            assert!(!keyring.requester_seal_matches(stamp, &requester.seal));
        }
        Ok(())
    }
}
