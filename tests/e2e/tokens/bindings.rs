//! Workloads that ask by their ProcessBinding.

use anyhow::Result;
use kube::Api;
use kube::api::{Patch, PatchParams};
use liaison::api::ProcessBinding;
use serde_json::{Value, json};

use super::handing_out::{scripted, with_app};
use super::workload;
use crate::fixtures::Ground;
use crate::support::waiting::{SOON, eventually};
use crate::world::World;

async fn binding(ground: &Ground, name: &str, spec: Value) -> Result<()> {
    ground
        .apply(&json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": name }, "spec": spec,
        }))
        .await
}

/// A user sets their own entry, as the API server lets nobody else do.
async fn choose(ground: &Ground, binding: &str, user: &str, connection: &str) -> Result<()> {
    let client = World::shared().control_plane.client_as(user, &["system:masters"]).await?;
    let bindings: Api<ProcessBinding> = Api::namespaced(client, &ground.namespace);
    let choice = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": binding },
        "spec": { "choices": [{ "user": user, "connectionRef": { "name": connection } }] },
    });
    bindings.patch(binding, &PatchParams::apply(user), &Patch::Apply(choice)).await?;
    Ok(())
}

#[tokio::test]
async fn s68_each_users_own_choice_is_handed_out_and_nobody_elses() -> Result<()> {
    let (ground, provider) = scripted("s68-tokens", 3600).await?;
    ground.connection("bobs", with_app("s68-tokens")).await?;
    ground.until_ready("bobs").await?;
    let spec = json!({
        "connectorRef": { "name": "s68-tokens" }, "serviceAccountName": "runner", "configurableByUsers": true,
    });
    binding(&ground, "reports", spec).await?;
    choose(&ground, "reports", "ada", "c").await?;
    let runner = workload(&ground, "runner").await?;
    runner.allow_use("s68-tokens", None).await?;
    let token = runner.token().await?;
    let asked =
        async |user: &str| runner.ask(&token, &[("binding", "s68-tokens/reports"), ("user", user)]).await;

    let adas = eventually("the binding is seen", SOON, async || {
        let answer = asked("ada").await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    assert_eq!(adas.body["connection"], "s68-tokens/c");
    let words = "user \"bob\" has not chosen a connection for binding \"reports\" yet";
    let waiting = asked("bob").await?;
    assert_eq!(waiting.refusal(), (400, "invalid_grant", words));
    assert_eq!(waiting.body["reason"], "AwaitingUserConfiguration");

    // The next run takes what bob has chosen; ada's is as before.
    choose(&ground, "reports", "bob", "bobs").await?;
    let bobs = eventually("the choice is seen", SOON, async || {
        let answer = asked("bob").await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    assert_eq!(bobs.body["connection"], "s68-tokens/bobs");
    assert_ne!(bobs.body["access_token"], adas.body["access_token"]);
    assert_eq!(asked("ada").await?.body["access_token"], adas.body["access_token"]);
    assert_eq!(asked("eve").await?.body["reason"], "AwaitingUserConfiguration");

    let nobody = runner.ask(&token, &[("binding", "s68-tokens/reports")]).await?;
    assert_eq!((nobody.status, nobody.body["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(provider.count("/token"), 2);
    Ok(())
}

#[tokio::test]
async fn a_choice_gives_no_right_and_another_process_does_not_see_the_binding() -> Result<()> {
    let (ground, _provider) = scripted("tokens-choice", 3600).await?;
    let spec = json!({
        "connectorRef": { "name": "tokens-choice" }, "serviceAccountName": "runner", "configurableByUsers": true,
    });
    binding(&ground, "reports", spec).await?;
    choose(&ground, "reports", "ada", "c").await?;
    choose(&ground, "reports", "eve", "missing").await?;
    let runner = workload(&ground, "runner").await?;
    let token = runner.token().await?;
    let asked =
        async |user: &str| runner.ask(&token, &[("binding", "tokens-choice/reports"), ("user", user)]).await;
    let words = "service account \"runner\" lacks use on connections in folder \"tokens-choice\"";
    let denied = eventually("the binding is seen", SOON, async || {
        let answer = asked("ada").await?;
        Ok((answer.body["reason"] == "PermissionDenied").then_some(answer))
    })
    .await?;
    assert_eq!(denied.refusal(), (403, "access_denied", words));
    // What is not there is told in the same words.
    assert_eq!(asked("eve").await?.text, denied.text);

    let other = workload(&ground, "other").await?;
    other.allow_use("tokens-choice", None).await?;
    let token = other.token().await?;
    let told = async |name: &str| {
        let binding = format!("tokens-choice/{name}");
        let answer = other.ask(&token, &[("binding", &binding), ("user", "ada")]).await?;
        anyhow::Ok((answer.status, answer.text.replace(&binding, "NAME")))
    };
    let there = told("reports").await?;
    assert_eq!(there.0, 403);
    assert_eq!(told("missing").await?, there);
    Ok(())
}

#[tokio::test]
async fn a_fixed_binding_leads_to_the_connection_that_it_was_found_bound_to() -> Result<()> {
    let (ground, _provider) = scripted("tokens-fixed", 3600).await?;
    let spec = json!({
        "connectorRef": { "name": "tokens-fixed" }, "serviceAccountName": "runner", "connectionRef": { "name": "c" },
    });
    binding(&ground, "nightly", spec).await?;
    let runner = workload(&ground, "runner").await?;
    runner.allow_use("tokens-fixed", Some("c")).await?;
    let token = runner.token().await?;
    let form = [("binding", "tokens-fixed/nightly")];

    let answer = eventually("the binding is seen to be bound", SOON, async || {
        let answer = runner.ask(&token, &form).await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    assert_eq!(answer.body["connection"], "tokens-fixed/c");
    let with_user = runner.ask(&token, &[form[0], ("user", "ada")]).await?;
    assert_eq!((with_user.status, with_user.body["error"].as_str()), (400, Some("invalid_request")));
    Ok(())
}
