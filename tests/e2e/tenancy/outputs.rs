//! Secrets of others, overwritten or taken away by the operator in the name of a binding.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::DeleteParams;
use liaison::api::names::BINDING_LABEL;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, refused, says};
use super::processes::{binding, furnish};
use super::stage::{Stage, uid, with};
use crate::support::waiting::{SOON, eventually};

/// Secrets of blue with what is in them, by name.
async fn secrets(stage: &Stage, names: &[&str]) -> Result<BTreeMap<String, Secret>> {
    let mut found = BTreeMap::new();
    for name in names {
        found.insert((*name).to_owned(), stage.blue.secrets().get(name).await?);
    }
    Ok(found)
}

const NOT_CARLS: [&str; 5] = ["team-pat", "app", "own-app", "labelled", "named"];

/// Names that no binding may have for its Secret.
fn by_name(stage: &Stage) -> Vec<Attempt> {
    let (carl, red) = (&stage.carl, stage.red.namespace.as_str());
    let mine = binding(stage, "mine", "client", &json!({ "connectionRef": { "name": "own" } }));
    vec![
        attempt(
            "the operator's own Secrets",
            Deed::create(carl, &with(&mine, "/spec/secretName", "liaison-keyring".into())),
            refused("spec.secretName must not begin with liaison-"),
        ),
        attempt(
            "a Secret by a path",
            Deed::create(carl, &with(&mine, "/spec/secretName", format!("{red}/pat").into())),
            refused("spec.secretName"),
        ),
    ]
}

/// Carl may write no Secret; the operator may, in his binding's name.
async fn taken_names(stage: &Stage) -> Result<Vec<Attempt>> {
    let administrator = &stage.blue.client;
    let filled = uid(&stage.blue.bindings().get("filled").await?)?;
    let named = with(&stage.secret_in_blue("named"), "/stringData", json!({ "a": "b" }));
    Deed::create(administrator, &named).perform().await?;
    let mut labelled = with(&named, "/metadata/name", "labelled".into());
    labelled["metadata"]["labels"] = json!({ BINDING_LABEL: filled });
    Deed::create(administrator, &labelled).perform().await?;
    let taken = |name: &str, what: &str| {
        let spec = json!({ "connectionRef": { "name": "own" }, "secretName": name });
        let object = binding(stage, &format!("takes-{name}"), "client", &spec);
        let words = format!("secret \"{name}\" exists in namespace");
        attempt(what, Deed::create(&stage.carl, &object), says("SecretNameTaken", words))
    };
    Ok(vec![
        taken("named", "a Secret of somebody"),
        taken("team-pat", "a Secret with a credential"),
        taken("own-app", "the Secret that the Connection itself uses"),
        taken("filled", "the Secret of another binding"),
        taken("labelled", "a Secret with the mark of another binding"),
    ])
}

/// Bindings that lost, or go, take nothing with them.
async fn taken_and_left(stage: &Stage) -> Result<()> {
    let bindings = stage.blue.bindings();
    let other = json!({ "spec": { "secretName": "elsewhere" } });
    let named = binding(stage, "takes-named", "client", &json!({}));
    Deed::merge(&stage.carl, &named, other).perform().await?;
    stage.blue.until_binding("takes-named", "True", "Bound").await?;
    for name in ["takes-team-pat", "takes-own-app", "takes-labelled", "takes-named"] {
        bindings.delete(name, &DeleteParams::default()).await?;
    }
    eventually("the Secret that the binding did make goes with it", SOON, async || {
        Ok(stage.blue.secrets().get_opt("elsewhere").await?.is_none().then_some(()))
    })
    .await
}

/// Marks of red's binding on a Secret of blue, and a Secret of red's Connection.
async fn child_objects(stage: &Stage) -> Result<()> {
    let orders = stage.red.bindings().get("orders").await?;
    let crm = stage.red.connections().get("crm").await?;
    let before = stage.red.secret_texts("orders").await?.context("a Secret")?;
    for (name, kind, owner) in
        [("orders", "ProcessBinding", uid(&orders)?), ("by-default", "Connection", uid(&crm)?)]
    {
        let mut forged = with(&stage.secret_in_blue(name), "/stringData", json!({ "access-token": "eves" }));
        forged["metadata"]["labels"] = json!({ BINDING_LABEL: owner });
        forged["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "liaison.dev/v1alpha1", "kind": kind, "name": "orders", "uid": owner,
            "controller": true,
        }]);
        Deed::create(&stage.eve, &forged).perform().await?;
    }
    // The operator has looked when what comes later is done.
    let later = json!({ "connectionRef": { "name": "erp" }, "secretName": "later" });
    stage.red.bind("later", &stage.connector("pat"), later).await?;
    stage.red.until_binding("later", "True", "Bound").await?;
    ensure!(stage.red.secret_texts("orders").await?.as_ref() == Some(&before), "red's Secret has changed");
    Ok(())
}

/// A Secret that the operator made, deleted or told to be current: it is as it was.
async fn repaired(stage: &Stage, how: impl AsyncFnOnce(&Client, &Value) -> Result<()>) -> Result<()> {
    let before = stage.blue.secret_texts("filled").await?.context("a Secret")?;
    how(&stage.eve, &stage.secret_in_blue("filled")).await?;
    stage.blue.until_secret("filled", "is as it was", |texts| *texts == before).await?;
    stage.blue.until_binding("filled", "True", "Bound").await?;
    Ok(())
}

async fn made_secrets(family: &mut Family) -> Result<()> {
    let outcome = repaired(&family.stage, async |eve, secret| {
        Deed::delete(eve, secret).perform().await?;
        Ok(())
    })
    .await;
    family.count("a binding's Secret deleted", outcome)?;
    let outcome = repaired(&family.stage, async |eve, secret| {
        let change = json!({
            "metadata": { "annotations": { "liaison.dev/filled-from": "eve" } },
            "stringData": { "access-token": "eves" },
        });
        Deed::merge(eve, secret, change).perform().await?;
        Ok(())
    })
    .await;
    family.count("a binding's Secret changed", outcome)
}

#[tokio::test]
async fn secrets_that_a_binding_did_not_make_are_left_alone() -> Result<()> {
    let mut family = Family::new("outputs").await?;
    furnish(&family.stage).await?;
    let attempts = [by_name(&family.stage), taken_names(&family.stage).await?].concat();
    let before = secrets(&family.stage, &NOT_CARLS).await?;
    family.make(attempts).await?;
    let outcome = taken_and_left(&family.stage).await;
    family.count("Secrets that go with bindings which did not make them", outcome)?;
    ensure!(secrets(&family.stage, &NOT_CARLS).await? == before, "a Secret of blue has changed");
    let outcome = child_objects(&family.stage).await;
    family.count("Secrets with marks of red's binding", outcome)?;
    made_secrets(&mut family).await?;
    family.end().await
}
