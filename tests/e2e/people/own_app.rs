//! The folder's own OAuth app, and where it meets a provider that objects.

use anyhow::Result;
use kube::ResourceExt;
use liaison::api::connection::{Connection, State};
use liaison::api::consent_request::Phase;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use crate::fixtures::{Ground, message};
use crate::person::{
    ask, consent, hand_over, leave, loopback, oidc_app, oidc_connector_for_people, with_own_app, zitadel_app,
    zitadel_connector,
};
use crate::support::oidc_provider;
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::eventually;
use crate::support::walker::Walker;
use crate::welcome::{self, Welcome, asked, pass, pass_through, welcome};
use crate::world::{PER_CONNECTION, World};

const AUTHENTICATED: ConditionType = ConditionType::Authenticated;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A Connection that waits for a person at a scripted provider.
async fn at_script(name: &str, change: impl Fn(&mut Value)) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let mut connector = welcome::connector(&provider);
    change(&mut connector);
    ground.connector(name, connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("crm", with_own_app(name)).await?;
    ground.until("crm", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    Ok((ground, provider))
}

#[tokio::test]
async fn s47_a_wrong_client_secret_is_told_and_the_same_connection_heals_with_the_right_one() -> Result<()> {
    let world = World::shared();
    let ground = ground("s47-wrong").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    let wrong = [("clientId", oidc_provider::WEB_CLIENT_ID), ("clientSecret", "wrong")];
    ground.secret("app", &wrong).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    let refused = hand_over(&ground, "crm", &world.public_url, "ada").await?;
    assert_eq!(refused.failure().await?, "ClientRejected");
    let told = ground.until("crm", AUTHENTICATED, "False", "ClientRejected").await?;
    let text = message(&told, AUTHENTICATED);
    assert!(
        text.contains("clientSecret") && text.contains("`kubectl liaison connect crm -n s47-wrong`"),
        "{text}"
    );
    assert_eq!(told.status.clone().unwrap_or_default().state, State::Inactive);
    ground.until_event("crm", "ClientRejected").await?;

    ground.secret("app", &oidc_app()).await?;
    ground.until("crm", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    consent(&ground, "crm", &world.public_url).await?;
    assert_eq!(ground.until_ready("crm").await?.uid(), told.uid());
    Ok(())
}

#[tokio::test]
async fn s43_a_missing_key_of_the_oauth_client_is_named_before_anybody_is_sent_anywhere() -> Result<()> {
    let guide = "https://docs.example.com/register-an-app";
    let ground = ground("s43").await?;
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let mut connector = welcome::connector(&provider);
    connector["documentationURL"] = guide.into();
    ground.connector("s43", connector).await?;
    ground.connection("crm", with_own_app("s43")).await?;
    let none = ground.until("crm", AUTHENTICATED, "False", "ClientCredentialsMissing").await?;
    assert!(message(&none, AUTHENTICATED).contains("secret \"app\" does not exist"));

    ground.secret("app", &[("clientId", "a")]).await?;
    let half = ground
        .until_is("crm", "names the key", |c| {
            message(c, AUTHENTICATED).contains("under the key clientSecret")
        })
        .await?;
    // S45: where the application's owner explains it.
    assert!(message(&half, AUTHENTICATED).contains(guide));
    // S46: the address can be registered before there is a client; S42: nobody is sent anywhere.
    let shown = half.status.clone().unwrap_or_default().authentication.unwrap_or_default();
    let redirect_uri = format!("{}/callback/s43", World::shared().public_url);
    assert_eq!((shown.url, shown.redirect_uri), (None, Some(redirect_uri)));
    let early = ask(&ground.client, &ground, "crm").await?;
    assert_eq!(early.failure().await?, "ClientCredentialsMissing");

    let generation = half.metadata.generation;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let healed = ground.until("crm", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    assert_eq!(healed.metadata.generation, generation);
    assert_eq!(provider.received().len(), 0);
    welcome::consent(&ground, "crm").await?;
    ground.until_ready("crm").await?;
    Ok(())
}

/// The provider's complaint about the redirect address is told with the exact value to register.
async fn is_told_what_to_register(ground: &Ground, redirect_uri: &str) -> Result<()> {
    let told = ground.until("crm", AUTHENTICATED, "False", "RedirectURIMismatch").await?;
    let text = message(&told, AUTHENTICATED);
    let quoted = text.split_whitespace().any(|word| word == redirect_uri);
    assert!(quoted && text.contains("`kubectl liaison connect crm"), "{text}");
    Ok(())
}

#[tokio::test]
async fn s46_a_redirect_address_that_the_provider_does_not_know_is_told_at_both_of_its_endpoints()
-> Result<()> {
    let (ground, provider) = at_script("s46", |_| {}).await?;
    let redirect_uri = format!("{}/callback/s46", World::shared().public_url);

    let complaint = Answer::json(400, &json!({ "error": "redirect_uri_mismatch" }));
    welcome(&provider, Welcome { token: complaint, ..Welcome::default() });
    assert_eq!(pass(&ground, "crm").await?.failure().await?, "RedirectURIMismatch");
    is_told_what_to_register(&ground, &redirect_uri).await?;

    let refusal = vec![("error", "redirect_uri_mismatch".to_owned())];
    welcome(&provider, Welcome { back: refusal, ..Welcome::default() });
    let asked = ask(&ground.client, &ground, "crm").await?;
    let mut walker = Walker::new();
    let callback = pass_through(&mut walker, &asked.link().await?).await?;
    let page = walker.open(callback.as_str()).await?.text();
    assert!(page.contains(&redirect_uri), "{page}");
    assert_eq!(asked.failure().await?, "RedirectURIMismatch");
    is_told_what_to_register(&ground, &redirect_uri).await?;
    assert_eq!(provider.count("/token"), 1);

    // It is registered now.
    welcome(&provider, Welcome::default());
    welcome::consent(&ground, "crm").await?;
    ground.until_ready("crm").await?;
    Ok(())
}

/// The address in both requests of a consent is, byte for byte, the one that the status shows.
async fn redirects_to(ground: &Ground, provider: &StrictProvider, redirect_uri: &str) -> Result<()> {
    welcome::consent(ground, "crm").await?;
    let ready = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(ready.authentication.unwrap_or_default().redirect_uri.as_deref(), Some(redirect_uri));
    for path in ["/authorize", "/token"] {
        assert_eq!(asked(provider, path, "redirect_uri"), [Some(redirect_uri.to_owned())], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn s46_the_redirect_address_is_one_for_the_connector_in_both_requests() -> Result<()> {
    let (ground, provider) = at_script("s46-connector", |_| {}).await?;
    redirects_to(&ground, &provider, &format!("{}/callback/s46-connector", World::shared().public_url)).await
}

#[tokio::test]
async fn s46_an_application_whose_host_is_a_parameter_has_an_address_for_each_connection() -> Result<()> {
    let name = "s46-connection";
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let mut connector = welcome::connector(&provider);
    let authorize = provider.endpoint("/authorize").replace("localhost", "{site}");
    connector["authMethods"][0]["oauth2"]["authorizeURL"] = authorize.into();
    connector["parameters"] = json!([{ "name": "site", "required": true, "enum": ["localhost"] }]);
    let ground = ground(name).await?;
    ground.connector(name, connector.clone()).await?;
    let faulty = async || {
        let conditions = ground.connectors().get(name).await?.status.unwrap_or_default().conditions;
        Ok(conditions.into_iter().find(|found| found.type_ == "Valid" && found.status == "False"))
    };
    let fault = eventually("one address for all is refused", crate::fixtures::HEALS, faulty).await?.message;
    assert!(fault.contains("PerConnection"), "{fault}");

    connector["redirect"] = "PerConnection".into();
    ground.connector(name, connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let mut spec = with_own_app(name);
    spec["parameters"] = json!({ "site": "localhost" });
    ground.connection("crm", spec).await?;
    ground.until("crm", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    redirects_to(&ground, &provider, &format!("{}/callback/{name}/crm", World::shared().public_url)).await
}

#[tokio::test]
async fn s46_a_real_provider_knows_the_address_of_one_connection_and_turns_away_any_other() -> Result<()> {
    let world = World::shared();
    let (namespace, name) = PER_CONNECTION;
    let ground = ground(namespace).await?;
    let mut connector = zitadel_connector(world);
    connector["redirect"] = "PerConnection".into();
    ground.connector(namespace, connector).await?;
    ground.secret("app", &zitadel_app()).await?;
    for connection in [name, "other"] {
        ground.connection(connection, with_own_app(namespace)).await?;
        ground.until(connection, AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    }
    consent(&ground, name, &world.public_url).await?;
    ground.until_ready(name).await?;

    let asked = ask(&ground.client, &ground, "other").await?;
    let mut walker = Walker::new();
    let page = leave(&mut walker, &asked.link().await?).await?;
    assert!(page.url.as_str().starts_with(&world.zitadel.endpoint("")), "{}", page.url);
    assert!(page.status >= 400 && page.form(&[]).is_err(), "{}", page.text());
    asked.until(Phase::Started).await?;
    Ok(())
}

#[tokio::test]
async fn s38_an_answer_of_another_issuer_is_refused_as_strictly_as_the_connector_says() -> Result<()> {
    let (ground, provider) = at_script("s38-issuer", |_| {}).await?;
    let (right, wrong) = (provider.endpoint(""), "https://attacker.example.com");
    let mut redeemed = 0;
    for (mode, sent, accepted) in [
        ("Required", Some(right.as_str()), true),
        ("Required", Some(wrong), false),
        ("Required", None, false),
        ("IfPresent", Some(&right), true),
        ("IfPresent", Some(wrong), false),
        ("IfPresent", None, true),
        ("Off", Some(wrong), true),
        ("Off", None, true),
    ] {
        let mut connector = welcome::connector(&provider);
        connector["authMethods"][0]["oauth2"]["issuer"] = right.as_str().into();
        connector["authMethods"][0]["oauth2"]["iss"] = mode.into();
        ground.connector("s38-issuer", connector).await?;
        let mut back = Welcome::default().back;
        back.extend(sent.map(|issuer| ("iss", issuer.to_owned())));
        welcome(&provider, Welcome { back, ..Welcome::default() });
        let asked = ask(&ground.client, &ground, "crm").await?;
        let mut walker = Walker::new();
        let callback = pass_through(&mut walker, &asked.link().await?).await?;
        if accepted {
            asked.bring(&loopback(&mut walker, &callback).await?).await?;
            asked.until(Phase::Succeeded).await?;
            redeemed += 1;
        } else {
            let page = walker.open(callback.as_str()).await?;
            assert!(
                page.text().contains("does not come from the issuer"),
                "{mode} {sent:?}: {}",
                page.text()
            );
            assert_eq!(asked.failure().await?, "ResponseMismatch", "{mode} {sent:?}");
        }
        assert_eq!(provider.count("/token"), redeemed, "{mode} {sent:?}");
    }
    Ok(())
}

#[tokio::test]
async fn n14_scopes_that_a_person_did_not_get_are_listed_until_a_consent_brings_them() -> Result<()> {
    let (ground, provider) = at_script("n14", |_| {}).await?;
    let granting = |scope: &str| {
        let token = json!({ "access_token": "x", "refresh_token": "y", "expires_in": 3600, "scope": scope });
        Welcome { token: Answer::json(200, &token), ..Welcome::default() }
    };
    welcome(&provider, granting("read"));
    welcome::consent(&ground, "crm").await?;
    let fewer = ground.until("crm", ConditionType::ScopesSatisfied, "False", "ScopesMissing").await?;
    let text = message(&fewer, ConditionType::ScopesSatisfied);
    assert!(text.starts_with("the provider did not grant: write;"), "{text}");
    assert!(text.contains("`kubectl liaison connect crm -n n14`"), "{text}");
    ground.until("crm", ConditionType::Ready, "False", "ScopesMissing").await?;
    ground.until("crm", AUTHENTICATED, "True", "TokenIssued").await?;
    let granted =
        |c: &Connection| c.status.clone().and_then(|status| status.token).map(|token| token.granted_scopes);
    assert_eq!(granted(&fewer), Some(vec!["read".to_owned()]));

    welcome(&provider, granting("write read"));
    welcome::consent(&ground, "crm").await?;
    let all = ground.until_ready("crm").await?;
    assert_eq!(granted(&all), Some(vec!["read".to_owned(), "write".to_owned()]));
    assert_eq!(all.status.unwrap_or_default().authentication.unwrap_or_default().url, None);
    Ok(())
}

#[tokio::test]
async fn n22_the_base_address_has_the_connections_parameters_in_it() -> Result<()> {
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let ground = ground("n22").await?;
    let mut connector = welcome::connector(&provider);
    connector["baseURL"] = format!("{}/{{organization}}/v1", provider.endpoint("")).into();
    connector["parameters"] = json!([{ "name": "organization", "required": true, "pattern": "[a-z-]+" }]);
    ground.connector("n22", connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let mut spec = with_own_app("n22");
    spec["parameters"] = json!({ "organization": "finance-ap" });
    ground.connection("crm", spec).await?;
    ground.until("crm", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    welcome::consent(&ground, "crm").await?;
    let status = ground.until_ready("crm").await?.status.unwrap_or_default();
    assert_eq!(status.base_url, Some(provider.endpoint("/finance-ap/v1")));
    assert_eq!(status.credential_source.as_deref(), Some("Connection/app"));
    Ok(())
}

#[tokio::test]
async fn s35_each_auth_type_of_one_connector_leads_to_a_ready_connection() -> Result<()> {
    let ground = ground("s35").await?;
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let mut connector = welcome::connector(&provider);
    let methods = connector["authMethods"].as_array_mut().unwrap();
    methods.push(json!({ "type": "PersonalAccessToken",
        "request": { "headers": { "Authorization": "Bearer {token}" } },
        "parameters": [{ "name": "token", "secret": true, "required": true }] }));
    methods.push(json!({ "type": "APIKey", "request": { "headers": { "X-Key": "{apiKey}" } } }));
    connector["verify"] = json!({ "url": provider.endpoint("/me") });
    ground.connector("s35", connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.secret("credentials", &[("token", "t"), ("apiKey", "k")]).await?;
    for (name, auth_type) in [
        ("code", "OAuth2AuthorizationCode"),
        ("app", "OAuth2BringYourOwnApp"),
        ("pat", "PersonalAccessToken"),
        ("key", "APIKey"),
    ] {
        let source = json!({ "secretRef": { "name": if auth_type.starts_with("OAuth2") { "app" } else { "credentials" } } });
        let field = if auth_type.starts_with("OAuth2") { "oauthApp" } else { "credentials" };
        ground
            .connection(
                name,
                json!({ "connectorRef": { "name": "s35" }, "authType": auth_type, field: source }),
            )
            .await?;
        if auth_type.starts_with("OAuth2") {
            ground.until(name, AUTHENTICATED, "False", "AwaitingAuthentication").await?;
            welcome::consent(&ground, name).await?;
        }
        let ready = ground.until_ready(name).await?.status.unwrap_or_default();
        assert_eq!(ready.auth_type.map(|known| known.to_string()).as_deref(), Some(auth_type));
    }
    Ok(())
}

#[tokio::test]
async fn s41_an_own_app_needs_a_connector_that_sends_people_to_a_provider() -> Result<()> {
    let ground = ground("s41").await?;
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    let connector = crate::fixtures::client_credentials_connector(&|path| provider.endpoint(path));
    ground.connector("s41", connector).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let wanted = "connector \"s41\" has no OAuth2 authorization code method, so it cannot take your own app";
    is_told(&ground, with_own_app("s41"), "AuthTypeNotSupported", wanted).await
}

/// Refused at once where the operator knows the connector already, else reported; in the same words.
async fn is_told(ground: &Ground, spec: Value, reason: &str, words: &str) -> Result<()> {
    let text = match ground.connection("misfit", spec).await {
        Ok(()) => message(
            &ground.until("misfit", ConditionType::Ready, "False", reason).await?,
            ConditionType::Ready,
        ),
        Err(refused) => format!("{refused:#}"),
    };
    assert!(text.contains(words), "{text}");
    Ok(())
}

#[tokio::test]
async fn s36_the_code_is_what_a_connector_for_people_means_where_nothing_is_said() -> Result<()> {
    let (ground, provider) = at_script("s36-person", |_| {}).await?;
    let spec =
        json!({ "connectorRef": { "name": "s36-person" }, "oauthApp": { "secretRef": { "name": "app" } } });
    ground.connection("plain", spec).await?;
    let waiting = ground.until("plain", AUTHENTICATED, "False", "AwaitingAuthentication").await?;
    let chosen = waiting.status.unwrap_or_default().auth_type.map(|known| known.to_string());
    assert_eq!(chosen.as_deref(), Some("OAuth2AuthorizationCode"));

    let spec = json!({ "connectorRef": { "name": "s36-person" }, "authType": "OAuth2Password" });
    // S39: with the choices.
    let words = "does not support authType \"OAuth2Password\"; supported: OAuth2AuthorizationCode, \
                 OAuth2BringYourOwnApp";
    is_told(&ground, spec, "AuthTypeNotSupported", words).await?;
    assert_eq!(provider.received().len(), 0);
    Ok(())
}
