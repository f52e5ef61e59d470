//! What policies lend, and to whom it is never lent.

use super::*;

#[tokio::test]
async fn s44_two_folders_use_the_organisations_app_and_nobody_there_can_read_it() -> Result<()> {
    let world = World::shared();
    let (one, other) = (ground("s44-one").await?, ground("s44-other").await?);
    one.connector("s44", oidc_connector(world)).await?;
    let app = json!({ "secretRef": { "name": "s44-org-app" } });
    let spec = json!({
        "folders": { "names": ["s44-one", "s44-other"] },
        "defaults": [{
            "connector": "s44", "oauthApp": app, "authTypes": ["OAuth2ClientCredentials"],
            "allowedHosts": [world.oidc.authority()],
        }],
    });
    policy(&one, "s44", &spec).await?;
    let fault = until_policy(&one, "s44", "PolicyInvalid").await?;
    assert!(
        fault.contains("secret \"s44-org-app\" does not exist in namespace \"liaison-system\""),
        "{fault}"
    );
    let bare = json!({ "connectorRef": { "name": "s44" } });
    one.connection("client", bare.clone()).await?;
    let told = one.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    let told = message(&told, ConditionType::Ready);
    assert!(told.contains("the Secret that policy \"s44\" lends") && !told.contains("s44-org-app"), "{told}");

    lent_secret(&one, "s44-org-app", &oidc_client()).await?;
    until_policy(&one, "s44", "PolicyValid").await?;
    other.connection("client", bare).await?;
    for ground in [&one, &other] {
        let status = ground.until_ready("client").await?.status.unwrap_or_default();
        assert_eq!(status.credential_source.as_deref(), Some("Policy/s44"));
        let shown = status.policy.unwrap_or_default();
        assert_eq!((shown.sources, shown.defaults.as_deref()), (vec!["s44".to_owned()], Some("s44")));
        let secrets = ground.secrets().list_metadata(&kube::api::ListParams::default()).await?;
        let names: Vec<_> = secrets.items.iter().filter_map(|secret| secret.metadata.name.clone()).collect();
        assert!(names.iter().all(|name| name.starts_with("liaison-token-")), "{names:?}");
    }
    one.secret("app", &oidc_client()).await?;
    let own = json!({ "connectorRef": { "name": "s44" }, "oauthApp": { "secretRef": { "name": "app" } } });
    one.connection("own", own).await?;
    let status = one.until_ready("own").await?.status.unwrap_or_default();
    assert_eq!(status.credential_source.as_deref(), Some("Connection/app"));

    // Who works in the folder, with all of our roles, does not get near the Secret.
    for role in ["liaison-connection-user", "liaison-connection-creator", "liaison-connection-viewer"] {
        crate::person::user(world.control_plane, &one, &format!("s44-{role}"), role).await?;
        for (verb, namespace) in
            [("get", OPERATOR_NAMESPACE), ("list", OPERATOR_NAMESPACE), ("list", "s44-one")]
        {
            let who = format!("--as=s44-{role}");
            let asked = ["auth", "can-i", verb, "secrets/s44-org-app", "-n", namespace, &who];
            assert!(world.control_plane.run_kubectl(&asked).is_err(), "{role} may {verb} in {namespace}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn s44_nobody_acts_as_the_organisations_app_itself_unless_the_policy_names_that() -> Result<()> {
    let ground = ground("s44-itself").await?;
    let provider = World::shared().provider()?;
    let answer =
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600, "id": "1", "name": "org" });
    provider.script(move |_| Some(Answer::json(200, &answer)));
    let asked = || provider.received().iter().filter(|request| request.path == "/token").count();
    ground.connector("s44-itself", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    lent_secret(&ground, "s44-itself", &[("clientId", "org"), ("clientSecret", "org-secret")]).await?;
    let lending = |more: Value| {
        let mut entry = json!({
            "connector": "s44-itself", "oauthApp": { "secretRef": { "name": "s44-itself" } },
            "allowedHosts": [provider.authority()],
        });
        entry["authTypes"] = more;
        json!({ "folders": { "names": ["s44-itself"] }, "defaults": [entry] })
    };
    policy(&ground, "s44-itself", &lending(Value::Null)).await?;
    let fault = until_policy(&ground, "s44-itself", "PolicyInvalid").await?;
    assert!(fault.contains("lent it only where authTypes names them: OAuth2ClientCredentials"), "{fault}");
    ground.connection("client", json!({ "connectorRef": { "name": "s44-itself" } })).await?;
    let refused = ground.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    let told = message(&refused, ConditionType::Ready);
    let words = "policy \"s44-itself\" does not lend its OAuth app to authType \"OAuth2ClientCredentials\"";
    assert!(told.contains(words), "{told}");
    assert_eq!(provider.received().len(), 0, "nothing was sent");

    policy(&ground, "s44-itself", &lending(json!(["OAuth2ClientCredentials"]))).await?;
    until_policy(&ground, "s44-itself", "PolicyValid").await?;
    ground.until_ready("client").await?;
    let before = asked();
    policy(&ground, "s44-itself", &lending(json!(["OAuth2AuthorizationCode"]))).await?;
    ground.until("client", ConditionType::Ready, "False", "ClientCredentialsMissing").await?;
    ground.annotate("client", "liaison.dev/reauthenticate-at", "now").await?;
    let quiet = std::time::Duration::from_secs(2);
    holds_for("the app is not used any more", quiet, async || Ok(asked() == before)).await
}

/// A provider of the organisation's app and another one, of somebody who would like to have it.
struct Lure {
    ground: Ground,
    provider: StrictProvider,
    attacker: StrictProvider,
    /// The attacker's `127.0.0.1:port`, which no entry allows.
    address: String,
}

async fn lure(name: &str, more: Value) -> Result<Lure> {
    let ground = ground(name).await?;
    let (provider, attacker) = (World::shared().provider()?, World::shared().provider()?);
    let token = json!({ "access_token": "t", "expires_in": 3600 });
    attacker.script(move |_| Some(Answer::json(200, &token)));
    let address = attacker.authority().replace("localhost", "127.0.0.1");
    lent_secret(
        &ground,
        name,
        &[("clientId", "org"), ("clientSecret", "org-secret"), ("token", "org-token")],
    )
    .await?;
    let mut spec = json!({
        "folders": { "names": [name] }, "egressExceptions": [address],
        "defaults": [{
            "connector": name, "oauthApp": { "secretRef": { "name": name } },
            "authTypes": ["OAuth2ClientCredentials"], "credentials": { "secretRef": { "name": name } },
            "allowedHosts": [provider.authority()],
        }],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    policy(&ground, name, &spec).await?;
    Ok(Lure { ground, provider, attacker, address })
}

#[tokio::test]
async fn s44_an_organisations_app_is_never_lent_to_a_connector_that_leads_elsewhere() -> Result<()> {
    let Lure { ground, attacker, address, .. } = lure("s44-lure", json!({})).await?;
    let at = |path: &str| format!("http://{address}{path}");
    ground.connector("s44-lure", client_credentials_connector(&at)).await?;
    let bare = json!({ "connectorRef": { "name": "s44-lure" } });
    let words = ground.told("client", bare).await?;
    for part in
        ["what policy \"s44-lure\" lends to connections on connector \"s44-lure\" may not go to", "127.0.0.1"]
    {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(attacker.received().len(), 0, "nothing was sent");
    Ok(())
}

#[tokio::test]
async fn s44_a_connector_that_is_turned_to_an_attacker_later_gets_nothing_that_is_lent() -> Result<()> {
    // Wider than it should be, and only reporting: what is lent has bounds of its own.
    let Lure { ground, provider, attacker, address } =
        lure("s44-turned", json!({ "enforcement": "Report" })).await?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "org" }))));
    ground.connector("s44-turned", token_connector(&|path| provider.endpoint(path))).await?;
    ground.connection("static", json!({ "connectorRef": { "name": "s44-turned" } })).await?;
    let ready = ground.until_ready("static").await?.status.unwrap_or_default();
    assert_eq!(ready.credential_source.as_deref(), Some("Policy/s44-turned"));

    ground.connector("s44-turned", token_connector(&|path| format!("http://{address}{path}"))).await?;
    let stopped = ground.until("static", ConditionType::PolicyAllowed, "False", "HostNotAllowed").await?;
    assert!(message(&stopped, ConditionType::Ready).contains("nothing was sent"), "{stopped:?}");
    for annotation in ["liaison.dev/verify-at", "liaison.dev/reauthenticate-at"] {
        ground.annotate("static", annotation, "now").await?;
    }
    ground.until("static", ConditionType::Ready, "False", "HostNotAllowed").await?;
    assert_eq!(attacker.received().len(), 0, "nothing was sent");

    ground.connector("s44-turned", token_connector(&|path| provider.endpoint(path))).await?;
    let is_ready = |connection: &Connection| {
        let conditions =
            connection.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions::find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True")
    };
    ground.until_is("static", "is ready again, once the limit of verifications allows one", is_ready).await?;
    assert_eq!(attacker.received().len(), 0);
    Ok(())
}
