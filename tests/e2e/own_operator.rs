//! Tests that need an operator of their own, and so a control plane of their own: two operators on one would both
//! act on everything.

mod own_control_plane {
    use std::sync::mpsc::sync_channel;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use anyhow::Result;
    use kube::api::ListParams;
    use liaison::domain::conditions::ConditionType;
    use serde_json::json;

    use crate::fixtures::{Ground, client_credentials_connector};
    use crate::support::control_plane::{ControlPlane, Options};
    use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET, Zitadel};
    use crate::support::run_directory::RunDirectory;
    use crate::support::strict_provider::{Answer, StrictProvider};
    use crate::support::waiting::eventually;
    use crate::world::OperatorSettings;

    #[tokio::test]
    async fn a_zitadel_token_is_refreshed_at_a_fraction_of_its_lifetime_over_and_over() -> Result<()> {
        let control_plane =
            ControlPlane::start(RunDirectory::take("zitadel")?, &Options::with_crds()).await?;
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
        let control_plane =
            ControlPlane::start(RunDirectory::take("stopping")?, &Options::with_crds()).await?;
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
}
