//! An operator of its own, as it is run and stopped.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use kube::api::ListParams;
use liaison::domain::conditions::ConditionType;
use serde_json::json;

use crate::fixtures::{Ground, apply, client_credentials_connector, token_connector};
use crate::support::control_plane::{ControlPlane, Options};
use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET, Zitadel};
use crate::support::run_directory::RunDirectory;
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::eventually;
use crate::world::OperatorSettings;

#[tokio::test]
async fn a_zitadel_token_is_refreshed_at_a_fraction_of_its_lifetime_over_and_over() -> Result<()> {
    let control_plane = ControlPlane::start(RunDirectory::take("zitadel")?, &Options::with_crds()).await?;
    let zitadel = Zitadel::start(control_plane.directory(), None, &[]).await?;
    // Its tokens live for 299 seconds and it has no setting for that; a small fraction shows the same path.
    let settings = OperatorSettings {
        refresh_fraction: 0.03,
        exceptions: vec![zitadel.authority()],
        ..OperatorSettings::new("zitadel")?
    };
    let _operator = settings.start(&control_plane).await?;
    let ground = Ground::new(control_plane.client().await?, "zitadel").await?;
    let connector = json!({
        "displayName": "Zitadel",
        "authMethods": [{ "type": "OAuth2ClientCredentials", "oauth2": {
            "tokenURL": zitadel.endpoint("oauth/token"), "scopes": { "default": ["openid", "profile"] },
        }}],
        "account": { "url": zitadel.endpoint("userinfo"), "idPath": "/sub", "namePath": "/name" },
        "verify": { "url": zitadel.endpoint("userinfo") },
    });
    ground.connector("zitadel", connector).await?;
    ground.secret("app", &[("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]).await?;
    let spec =
        json!({ "connectorRef": { "name": "zitadel" }, "oauthApp": { "secretRef": { "name": "app" } } });
    ground.connection("c", spec).await?;
    ground.until_ready("c").await?;
    let refreshed = ground
        .until_is("c", "has been refreshed twice", |connection| {
            let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
            token.is_some_and(|token| token.sequence >= 3)
        })
        .await?;
    let status = refreshed.status.unwrap_or_default();
    assert_eq!(status.account.as_deref(), Some("Service Account"));
    let token = status.token.unwrap_or_default();
    let lifetime =
        token.expires_at.zip(token.last_refresh_time).map(|(end, start)| end.0.duration_since(start.0));
    assert!(lifetime.is_some_and(|lifetime| (298..=300).contains(&lifetime.as_secs())), "{lifetime:?}");
    Ok(())
}

#[tokio::test]
async fn an_operator_that_is_told_to_stop_stores_the_token_that_is_on_its_way() -> Result<()> {
    let control_plane = ControlPlane::start(RunDirectory::take("stopping")?, &Options::with_crds()).await?;
    let provider = StrictProvider::start()?;
    let settings =
        OperatorSettings { exceptions: vec![provider.authority()], ..OperatorSettings::new("stopping")? };
    let mut operator = settings.start(&control_plane).await?;
    let ground = Ground::new(control_plane.client().await?, "stopping").await?;

    // The answer waits until the operator has been told to stop.
    let (release, held) = sync_channel::<()>(0);
    let held = Mutex::new(held);
    provider.script(move |request| match request.path.as_str() {
        "/token" => {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.recv_timeout(Duration::from_secs(20)).ok()?;
            Some(Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 })))
        }
        _ => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
    });
    ground.connector("stopping", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "stopping" }, "oauthApp": { "secretRef": { "name": "app" } } });
    ground.connection("c", spec).await?;
    eventually("the finalizer is set, so the request is next", Duration::from_secs(20), async || {
        let connection = ground.connections().get("c").await?;
        Ok(connection.metadata.finalizers.map(|_| ()))
    })
    .await?;
    eventually("the operator logs that it asks", Duration::from_secs(20), async || {
        let metrics = reqwest::get(format!("{}/metrics", settings.internal_url())).await?.text().await?;
        Ok(metrics.contains("liaison_reconciles_running{kind=\"Connection\"} 1").then_some(()))
    })
    .await?;
    operator.server().signal("TERM")?;
    eventually("the operator logs that it stops", Duration::from_secs(20), async || {
        let log = std::fs::read_to_string(operator.server().log())?;
        Ok(log.contains("what is under way is finished first").then_some(()))
    })
    .await?;
    release.send(())?;
    let status = operator.server().wait_exit(Duration::from_secs(20)).await?;
    assert!(status.success(), "{status}");
    let records = ground.secrets().list(&ListParams::default().labels("liaison.dev/token-of")).await?;
    assert_eq!(records.items.len(), 1);
    assert_eq!(provider.count("/token"), 1);

    let settings = OperatorSettings { identity: "next".to_owned(), ..settings };
    let _operator = settings.start(&control_plane).await?;
    ground
        .until_is("c", "is ready without a second request", |connection| {
            let conditions = connection.status.clone().unwrap_or_default().conditions;
            conditions
                .iter()
                .any(|found| found.type_ == ConditionType::Ready.as_str() && found.status == "True")
        })
        .await?;
    assert_eq!(provider.count("/token"), 1);
    Ok(())
}

#[tokio::test]
async fn a_malformed_object_is_reported_and_stops_no_watch_and_logs_are_json_when_asked() -> Result<()> {
    let control_plane = ControlPlane::start(RunDirectory::take("malformed")?, &Options::with_crds()).await?;
    let provider = StrictProvider::start()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    // A schema as a later version might have it, which lets pass what this one cannot read.
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    for crd in ["connectors.liaison.dev", "connections.liaison.dev", "folders.liaison.dev"] {
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        let opening = json!([
            { "op": "replace", "path": path, "value": open },
            { "op": "remove", "path": "/spec/versions/0/selectableFields" },
        ])
        .to_string();
        control_plane.run_kubectl(&["patch", "crd", crd, "--type=json", "-p", &opening])?;
    }
    let settings = OperatorSettings {
        exceptions: vec![provider.authority()],
        more: vec!["--log-json".to_owned()],
        ..OperatorSettings::new("malformed")?
    };
    let client = control_plane.client().await?;
    let malformed = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": "later" },
        "spec": { "displayName": "Later", "stability": "Eternal", "authMethods": [{ "type": "Telepathy" }] },
    });
    eventually("the open schema is served", Duration::from_secs(20), async || {
        Ok(apply(&client, "", &malformed).await.ok())
    })
    .await?;
    let mut operator = settings.start(&control_plane).await?;
    let ground = Ground::new(client, "malformed").await?;
    ground.secret("pat", &[("token", "t")]).await?;
    ground
        .connection("broken", json!({ "connectorRef": { "name": "later" }, "authType": "Telepathy" }))
        .await?;
    ground.connector("good", token_connector(&|path| provider.endpoint(path))).await?;
    let spec = |connector: &str| {
        json!({
            "connectorRef": { "name": connector }, "credentials": { "secretRef": { "name": "pat" } },
        })
    };
    ground.connection("good", spec("good")).await?;
    ground.until_ready("good").await?;
    ground.connection("on-malformed", spec("later")).await?;
    ground.until("on-malformed", ConditionType::Ready, "False", "ConnectorInvalid").await?;

    let log = std::fs::read_to_string(operator.server().log())?;
    let lines = log.lines().filter(|line| !line.is_empty());
    for line in lines {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        assert!(entry["timestamp"].is_string() && entry["level"].is_string(), "{line}");
    }
    assert!(log.contains("the stored object cannot be read"), "a malformed Connection is logged");
    Ok(())
}
