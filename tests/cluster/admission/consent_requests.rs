//! Who may ask for a consent, whose stamp it bears, and who may bring its receipt back.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use liaison::envelope::Keyring;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;

/// A request as a person makes it.
pub(super) fn request(name: &str, connection: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ConsentRequest", "metadata": { "name": name },
        "spec": { "connectionRef": { "name": connection, "uid": uid }, "challenge": "c".repeat(43) },
    })
}

/// The operator's keys.
pub(super) async fn keyring(control_plane: &ControlPlane) -> Result<Keyring> {
    let secrets: Api<Secret> = Api::namespaced(control_plane.client().await?, "liaison-system");
    let data = secrets.get("liaison-keyring").await?.data.unwrap_or_default();
    let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(Keyring::from_secret_data(&data)?)
}

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Context as _, Result};
    use kube::{Api, ResourceExt};
    use liaison::api::ConsentRequest;
    use liaison::envelope::RequesterStamp;
    use serde_json::json;

    use super::super::{Stage, connection, create, patch, refused, uid};
    use super::{keyring, request};

    #[tokio::test]
    async fn a_request_bears_the_sealed_stamp_of_who_made_it_whatever_was_written_there() -> Result<()> {
        let stage = Stage::shared()?;
        let user = stage.user("stamped", &["liaison-connection-user", "liaison-connection-creator"]).await?;
        let crm =
            create(&user, "stamped", &connection("crm", &json!({}))).await.map_err(anyhow::Error::msg)?;

        let mut forged = request("forged", "crm", &uid(&crm));
        forged["spec"]["requester"] =
            json!({ "username": "admin", "groups": ["system:masters"], "seal": "0" });
        let made = create(&user, "stamped", &forged).await.map_err(anyhow::Error::msg)?;
        let made: ConsentRequest = made.try_parse()?;
        let requester = made.spec.requester.clone().context("requester")?;
        assert_eq!(requester.username, "ada-of-stamped");
        assert_eq!(requester.groups, ["staff", "system:authenticated"]);
        let stamp = RequesterStamp { namespace: "stamped", spec: &made.spec, requester: &requester };
        let keyring = keyring(&stage.control_plane).await?;
        assert!(keyring.requester_seal_matches(stamp, &requester.seal));

        let changed = json!({ "spec": { "requester": { "username": "eve" } } });
        let words = "spec.requester is stamped when the request is made and cannot be changed";
        refused(patch(&user, "stamped", &forged, changed).await, words);
        Ok(())
    }

    #[tokio::test]
    async fn a_request_needs_the_right_to_authenticate_that_connection() -> Result<()> {
        let stage = Stage::shared()?;
        let viewer = stage.user("unentitled", &["edit", "liaison-connection-viewer"]).await?;
        let administrator = stage.control_plane.client().await?;
        let rule = ["create", "role", "asks", "--verb=create", "--resource=consentrequests.liaison.dev"];
        stage.control_plane.run_kubectl(&[&rule[..], &["--namespace=unentitled"]].concat())?;
        let bind = ["create", "rolebinding", "asks", "--role=asks", "--user=ada-of-unentitled"];
        stage.control_plane.run_kubectl(&[&bind[..], &["--namespace=unentitled"]].concat())?;
        let crm = create(&administrator, "unentitled", &connection("crm", &json!({})))
            .await
            .map_err(anyhow::Error::msg)?;
        let answer = create(&viewer, "unentitled", &request("r", "crm", &uid(&crm))).await;
        refused(answer, "a consent request needs the right to authenticate connection \"crm\"");
        Ok(())
    }

    #[tokio::test]
    async fn a_receipt_is_brought_by_the_requester_alone_after_the_browser_has_returned() -> Result<()> {
        let stage = Stage::shared()?;
        let user = stage.user("receipts", &["liaison-connection-user", "liaison-connection-creator"]).await?;
        let administrator = stage.control_plane.client().await?;
        let crm =
            create(&user, "receipts", &connection("crm", &json!({}))).await.map_err(anyhow::Error::msg)?;
        let object = request("r", "crm", &uid(&crm));
        let receipt = json!({ "spec": { "receipt": "r".repeat(43) } });
        let mut early = object.clone();
        early["spec"]["receipt"] = "r".repeat(43).into();
        refused(
            create(&user, "receipts", &early).await,
            "spec.receipt is set after the browser has returned",
        );

        create(&user, "receipts", &object).await.map_err(anyhow::Error::msg)?;
        refused(patch(&user, "receipts", &object, receipt.clone()).await, "not in phase Returned");
        let requests: Api<ConsentRequest> = Api::namespaced(administrator.clone(), "receipts");
        let returned = kube::api::Patch::Merge(json!({ "status": { "phase": "Returned" } }));
        requests.patch_status("r", &kube::api::PatchParams::default(), &returned).await?;

        let words = "spec.receipt is set by the requester and by nobody else";
        refused(patch(&administrator, "receipts", &object, receipt.clone()).await, words);
        let brought = patch(&user, "receipts", &object, receipt).await.map_err(anyhow::Error::msg)?;
        assert_eq!(brought.name_any(), "r");
        let labelled =
            patch(&administrator, "receipts", &object, json!({ "metadata": { "labels": { "a": "b" } } }))
                .await;
        assert!(labelled.is_ok(), "{labelled:?}");
        Ok(())
    }

    #[tokio::test]
    async fn five_requests_of_a_person_may_be_under_way() -> Result<()> {
        let stage = Stage::shared()?;
        let user = stage.user("crowded", &["liaison-connection-user", "liaison-connection-creator"]).await?;
        let crm =
            create(&user, "crowded", &connection("crm", &json!({}))).await.map_err(anyhow::Error::msg)?;
        let mut made = 0;
        let words = loop {
            match create(&user, "crowded", &request(&format!("r{made}"), "crm", &uid(&crm))).await {
                Ok(_) => made += 1,
                Err(words) => break words,
            }
            // The count is what the watch has shown, so one or two more may slip through.
            assert!(made < 20, "never refused");
            crate::support::waiting::pause().await;
        };
        assert!(made >= 5 && words.contains("consent requests under way, and may have 5"), "{made}: {words}");
        Ok(())
    }
}
