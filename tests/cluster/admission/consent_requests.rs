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
        "spec": {
            "connectionRef": { "name": connection, "uid": uid }, "challenge": "c".repeat(43), "loopbackPort": 48123,
        },
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
    use anyhow::{Context as _, Error, Result};
    use kube::{Api, Client, ResourceExt};
    use liaison::api::{Connection, ConsentRequest};
    use liaison::envelope::RequesterStamp;
    use serde_json::json;

    use super::super::{Stage, connection, create, patch, refused, uid};
    use super::{keyring, request};
    use crate::support::waiting::{SOON, eventually, pause};

    #[tokio::test]
    async fn a_request_bears_the_sealed_stamp_of_who_made_it_whatever_was_written_there() -> Result<()> {
        let stage = Stage::shared()?;
        stage.user("stamped", &["liaison-connection-user", "liaison-connection-creator"]).await?;
        let user = stage.control_plane.client_with(known_to_the_last_detail).await?;
        let crm = create(&user, "stamped", &connection("crm", &json!({}))).await.map_err(Error::msg)?;

        let mut forged = request("forged", "crm", &uid(&crm));
        forged["spec"]["requester"] =
            json!({ "username": "admin", "groups": ["system:masters"], "seal": "0" });
        let made = create(&user, "stamped", &forged).await.map_err(Error::msg)?;
        let made: ConsentRequest = made.try_parse()?;
        let requester = made.spec.requester.clone().context("requester")?;
        assert_eq!(requester.username, "ada-of-stamped");
        assert_eq!(requester.groups, ["staff", "auditors", "system:authenticated"]);
        assert_eq!(
            (requester.uid.as_str(), requester.extra["scopes"].join(" ")),
            ("17", "read write".to_owned())
        );
        let stamp = RequesterStamp { namespace: "stamped", spec: &made.spec, requester: &requester };
        let keyring = keyring(&stage.control_plane).await?;
        assert!(keyring.requester_seal_matches(stamp, &requester.seal));

        let changed = json!({ "spec": { "requester": { "username": "eve" } } });
        let words = "spec.requester is stamped when the request is made and cannot be changed";
        refused(patch(&user, "stamped", &forged, changed).await, words);
        Ok(())
    }

    /// Somebody of whom the authenticator knows uid, groups and more.
    fn known_to_the_last_detail(config: &mut kube::Config) {
        config.auth_info.impersonate = Some("ada-of-stamped".to_owned());
        config.auth_info.impersonate_groups = Some(vec!["staff".to_owned(), "auditors".to_owned()]);
        let details = [
            ("impersonate-uid", "17"),
            ("impersonate-extra-scopes", "read"),
            ("impersonate-extra-scopes", "write"),
        ];
        let header =
            |name, value| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value));
        config.headers.extend(details.map(|(name, value)| header(name, value)));
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
        let crm =
            create(&administrator, "unentitled", &connection("crm", &json!({}))).await.map_err(Error::msg)?;
        let answer = create(&viewer, "unentitled", &request("r", "crm", &uid(&crm))).await;
        refused(answer, "a consent request needs the right to authenticate connection \"crm\"");
        Ok(())
    }

    /// A user and a Connection of a folder, for which the operator issues links: requests stay under way.
    async fn waiting_for_a_person(namespace: &str) -> Result<(Client, String)> {
        let stage = Stage::shared()?;
        let user = stage.user(namespace, &["liaison-connection-user", "liaison-connection-creator"]).await?;
        let administrator = stage.control_plane.client().await?;
        let objects = [
            (
                "",
                json!({
                    "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": namespace },
                    "spec": { "displayName": namespace, "type": "Shared", "adopt": true },
                }),
            ),
            (
                "",
                json!({
                    "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": namespace },
                    "spec": { "displayName": "An application", "authMethods": [{
                        "type": "OAuth2AuthorizationCode",
                        "oauth2": {
                            "authorizeURL": "https://login.example.com/authorize",
                            "tokenURL": "https://login.example.com/token",
                        },
                    }] },
                }),
            ),
            (
                namespace,
                json!({
                    "apiVersion": "v1", "kind": "Secret",
                    "metadata": { "name": "app", "labels": { "liaison.dev/credentials": "true" } },
                    "stringData": { "clientId": "a", "clientSecret": "b" },
                }),
            ),
        ];
        for (within, object) in objects {
            create(&administrator, within, &object).await.map_err(Error::msg)?;
        }
        let spec = json!({
            "connectorRef": { "name": namespace }, "oauthApp": { "secretRef": { "name": "app" } },
        });
        let crm = create(&administrator, namespace, &connection("crm", &spec)).await.map_err(Error::msg)?;
        let connections: Api<Connection> = Api::namespaced(administrator, namespace);
        eventually("a person is waited for", SOON, async || {
            let conditions = connections.get("crm").await?.status.unwrap_or_default().conditions;
            Ok(conditions.iter().any(|it| it.reason == "AwaitingAuthentication").then_some(()))
        })
        .await?;
        Ok((user, uid(&crm)))
    }

    #[tokio::test]
    async fn a_receipt_is_brought_by_the_requester_alone_after_the_browser_has_returned() -> Result<()> {
        let stage = Stage::shared()?;
        let (user, crm) = waiting_for_a_person("receipts").await?;
        let administrator = stage.control_plane.client().await?;
        let object = request("r", "crm", &crm);
        let receipt = json!({ "spec": { "receipt": "r".repeat(43) } });
        let mut early = object.clone();
        early["spec"]["receipt"] = "r".repeat(43).into();
        refused(
            create(&user, "receipts", &early).await,
            "spec.receipt is set after the browser has returned",
        );

        create(&user, "receipts", &object).await.map_err(Error::msg)?;
        refused(patch(&user, "receipts", &object, receipt.clone()).await, "not in phase Returned");
        let requests: Api<ConsentRequest> = Api::namespaced(administrator.clone(), "receipts");
        let returned = kube::api::Patch::Merge(json!({ "status": { "phase": "Returned" } }));
        requests.patch_status("r", &kube::api::PatchParams::default(), &returned).await?;

        let words = "spec.receipt is set by the requester and by nobody else";
        refused(patch(&administrator, "receipts", &object, receipt.clone()).await, words);
        let brought = patch(&user, "receipts", &object, receipt).await.map_err(Error::msg)?;
        assert_eq!(brought.name_any(), "r");
        let labelled =
            patch(&administrator, "receipts", &object, json!({ "metadata": { "labels": { "a": "b" } } }))
                .await;
        assert!(labelled.is_ok(), "{labelled:?}");
        Ok(())
    }

    #[tokio::test]
    async fn five_requests_of_a_person_may_be_under_way() -> Result<()> {
        let (user, crm) = waiting_for_a_person("crowded").await?;
        let mut made = 0;
        let words = loop {
            match create(&user, "crowded", &request(&format!("r{made}"), "crm", &crm)).await {
                Ok(_) => made += 1,
                Err(words) => break words,
            }
            // The count is what the watch has shown, so one or two more may slip through.
            assert!(made < 20, "never refused");
            pause().await;
        };
        assert!(made >= 5 && words.contains("consent requests under way, and may have 5"), "{made}: {words}");
        Ok(())
    }
}
