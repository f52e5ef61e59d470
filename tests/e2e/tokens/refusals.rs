//! Who gets nothing, and what they are told.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::handing_out::{scripted, with_app};
use super::{ground, workload};
use crate::person::{with_own_app, zitadel_app, zitadel_connector};
use crate::support::waiting::eventually;
use crate::workload::{AUDIENCE, Workload, pod};
use crate::world::World;

/// The same token with other claims; its signature does not fit any more.
fn altered(token: &str, change: impl FnOnce(&mut Value)) -> Result<String> {
    let parts: Vec<_> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1])?)?;
    change(&mut claims);
    Ok(format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]))
}

#[tokio::test]
async fn only_a_service_accounts_token_for_our_audience_is_taken() -> Result<()> {
    let (ground, _provider) = scripted("tokens-who", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-who", None).await?;
    let good = user.token().await?;
    let form = [("connection", "tokens-who/c")];
    assert_eq!(user.ask(&good, &form).await?.status, 200);

    let rejected = [
        ("another audience", user.projected(&["vault"]).await?),
        ("the API server's audience", user.projected(&[]).await?),
        ("an end that has come", altered(&good, |claims| claims["exp"] = 1.into())?),
        (
            "a later end",
            altered(&good, |claims| claims["exp"] = json!(claims["exp"].as_i64().map(|end| end + 60)))?,
        ),
        (
            "another's name",
            altered(&good, |claims| claims["sub"] = "system:serviceaccount:kube-system:default".into())?,
        ),
        ("a user's name", altered(&good, |claims| claims["sub"] = "admin".into())?),
        ("a person's token", World::shared().zitadel.access_token("openid").await?),
        ("no JWT", "opaque".to_owned()),
        ("too long", format!("{good}{}", "x".repeat(9000))),
    ];
    for (what, token) in rejected {
        let answer = user.ask(&token, &form).await?;
        assert_eq!((answer.status, answer.body["error"].as_str()), (401, Some("invalid_client")), "{what}");
        assert!(answer.headers["www-authenticate"].to_str()?.contains("error=\"invalid_token\""), "{what}");
    }
    // Several audiences are one too many for nobody.
    let several = user.projected(&["vault", AUDIENCE]).await?;
    assert_eq!(user.ask(&several, &form).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_token_of_a_pod_that_is_gone_is_not_taken() -> Result<()> {
    let (ground, _provider) = scripted("tokens-pod", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-pod", None).await?;
    let bound = pod(&ground, "one", "user").await?;
    let token = user.token_for(&[AUDIENCE], Some(&bound)).await?;
    let form = [("connection", "tokens-pod/c")];
    assert_eq!(user.ask(&token, &form).await?.status, 200);
    let pods: Api<Pod> = Api::namespaced(ground.client.clone(), "tokens-pod");
    pods.delete("one", &DeleteParams::default().grace_period(0)).await?;
    // Another one of that name is another one.
    pod(&ground, "one", "user").await?;
    eventually("the token is not taken any more", Duration::from_secs(12), async || {
        Ok((user.ask(&token, &form).await?.status == 401).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_token_that_is_bound_to_no_pod_is_refused_with_what_to_do() -> Result<()> {
    let (ground, _provider) = scripted("tokens-unbound", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-unbound", None).await?;
    let form = [("connection", "tokens-unbound/c")];
    let answer = user.ask(&user.token_for(&[AUDIENCE], None).await?, &form).await?;
    let words = "the token is bound to no pod; send the one of a projected volume: serviceAccountToken with audience \"liaison.dev\"";
    assert_eq!(answer.refusal(), (401, "invalid_client", words));
    assert!(answer.headers["www-authenticate"].to_str()?.contains("error=\"invalid_token\""));
    assert_eq!(user.ask(&user.token().await?, &form).await?.status, 200);
    Ok(())
}

/// What is said of a name, whoever asks: status and body with the name left out.
async fn said(workload: &Workload<'_>, name: &str) -> Result<(u16, String)> {
    let answer = workload.ask_for(name).await?;
    Ok((answer.status, answer.text.replace(name, "NAME")))
}

#[tokio::test]
async fn who_may_not_use_a_connection_does_not_learn_whether_it_exists() -> Result<()> {
    let (ground, _provider) = scripted("tokens-oracle", 3600).await?;
    let elsewhere = super::ground("tokens-elsewhere").await?;
    let stranger = workload(&elsewhere, "stranger").await?;
    let there = said(&stranger, "tokens-oracle/c").await?;
    assert_eq!(there.0, 403);
    assert!(there.1.contains("not found or not accessible"), "{}", there.1);
    for missing in ["tokens-oracle/missing", "no-such-namespace/c", "tokens-elsewhere/c"] {
        assert_eq!(said(&stranger, missing).await?, there, "{missing}");
    }
    // Also in the namespace of the caller itself, and for who may use another one of that folder.
    let neighbour = workload(&ground, "neighbour").await?;
    neighbour.allow_use("tokens-oracle", Some("other")).await?;
    assert_eq!(said(&neighbour, "tokens-oracle/c").await?, there);
    assert_eq!(said(&neighbour, "tokens-oracle/other").await?, there);

    // With the right, a folder of somebody else is no obstacle.
    let guest = workload(&elsewhere, "guest").await?;
    guest.allow_use("tokens-oracle", Some("c")).await?;
    assert_eq!(guest.ask_for("tokens-oracle/c").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_waits_for_a_person_says_where_they_have_to_go() -> Result<()> {
    let world = World::shared();
    let ground = ground("tokens-awaiting").await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, zitadel_connector(world)).await?;
    ground.secret("app", &zitadel_app()).await?;
    ground.connection("c", with_own_app(&connector)).await?;
    ground.until("c", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-awaiting", Some("c")).await?;
    let answer = user.ask_for("tokens-awaiting/c").await?;
    let words =
        format!("connection \"c\" awaits authentication: {}/connections/tokens-awaiting/c", world.public_url);
    assert_eq!(answer.refusal(), (400, "invalid_grant", words.as_str()));
    assert_eq!(answer.body["reason"], "AwaitingAuthentication");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_lacks_its_client_hands_out_nothing_and_says_what_is_missing() -> Result<()> {
    let (ground, _provider) = scripted("tokens-lacking", 3600).await?;
    let user = workload(&ground, "user").await?;
    user.allow_use("tokens-lacking", None).await?;
    ground.connection("lost", with_app("no-such-connector")).await?;
    ground.until("lost", ConditionType::Ready, "False", "ConnectorNotFound").await?;
    let answer = user.ask_for("tokens-lacking/lost").await?;
    assert_eq!((answer.status, answer.body["reason"].as_str()), (400, Some("ConnectorNotFound")));
    Ok(())
}

#[tokio::test]
async fn a_question_in_another_form_is_said_to_be_wrong() -> Result<()> {
    let (ground, _provider) = scripted("tokens-form", 3600).await?;
    let user = workload(&ground, "user").await?;
    let token = user.token().await?;
    let forms: [&[(&str, &str)]; 4] = [
        &[],
        &[("connection", "c")],
        &[("connection", "tokens-form/c"), ("connection", "tokens-form/c")],
        &[("connection", "tokens-form/c"), ("binding", "tokens-form/b")],
    ];
    for form in forms {
        let answer = user.ask(&token, form).await?;
        assert_eq!(
            (answer.status, answer.body["error"].as_str()),
            (400, Some("invalid_request")),
            "{form:?}"
        );
        assert!(answer.body["message"].as_str().context("message")?.len() > 10);
    }
    Ok(())
}
