//! Workloads of blue at the token endpoint, for what is red's.

use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::Family;
use super::attempt::Deed;
use super::processes::{BORROWED, binding, furnish};
use super::stage::{RED, Stage, uid, with};
use crate::binding::ACCOUNT;
use crate::support::waiting::eventually;
use crate::workload::{AUDIENCE, Workload, pod};
use crate::world::World;

async fn workload(stage: &Stage, red: bool, name: &str) -> Result<Workload<'static>> {
    let world = World::shared();
    let ground = if red { &stage.red } else { &stage.blue };
    Workload::new(world.control_plane, ground, (name, &world.token_url)).await
}

/// The workload gets nothing, with this status; what it is told, without the name that it asked for.
async fn nothing(workload: &Workload<'_>, token: &str, form: &[(&str, &str)], status: u16) -> Result<String> {
    let answer = workload.ask(token, form).await?;
    ensure!(!answer.text.contains("access_token") && !answer.text.contains(RED), "it got a credential");
    ensure!(answer.status == status, "{} {}", answer.status, answer.text);
    Ok(form.iter().fold(answer.text, |text, (_, value)| text.replace(value, "NAME")))
}

/// The same token with other claims; its signature does not fit any more.
fn altered(token: &str, claim: &str, value: Value) -> Result<String> {
    let parts: Vec<_> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1])?)?;
    claims[claim] = value;
    Ok(format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]))
}

/// The same token as if it were bound to this Pod.
fn bound(token: &str, pod: &Pod) -> Result<String> {
    let Pod { metadata, .. } = pod;
    let claim = json!({
        "namespace": metadata.namespace, "pod": { "name": metadata.name, "uid": metadata.uid },
        "serviceaccount": { "name": ACCOUNT, "uid": "0" },
    });
    altered(token, "kubernetes.io", claim)
}

/// Whoever has not the right learns nothing, not even whether there is something.
async fn by_strangers(family: &mut Family) -> Result<()> {
    let stage = &family.stage;
    let red = stage.red.namespace.clone();
    let blue = stage.blue.namespace.clone();
    let stranger = workload(stage, false, "stranger").await?;
    let borrower = workload(stage, false, BORROWED).await?;
    let (token, lent) = (stranger.token().await?, borrower.token().await?);
    let (crm, missing) = (format!("{red}/crm"), format!("{red}/no1"));
    let there = nothing(&stranger, &token, &[("connection", &crm)], 403).await;
    let said = there.as_ref().map(String::clone).unwrap_or_default();
    let same = |answer: Result<String>| -> Result<()> {
        let answer = answer?;
        ensure!(answer == said, "{answer} is not {said}");
        Ok(())
    };
    let of_borrower = nothing(&borrower, &lent, &[("connection", &crm)], 403).await;
    let of_missing = nothing(&stranger, &token, &[("connection", &missing)], 403).await;
    let nowhere = nothing(&stranger, &token, &[("connection", "no-such-folder/crm")], 403).await;
    let twice = [("connection", format!("{blue}/own")), ("connection", crm.clone())];
    let twice = twice.each_ref().map(|(key, value)| (*key, value.as_str()));
    let twice = nothing(&stranger, &token, &twice, 400).await.map(drop);
    let up = format!("{blue}/../{red}/crm");
    let up = nothing(&stranger, &token, &[("connection", &up)], 400).await.map(drop);
    let both = [("connection", crm.as_str()), ("binding", "any/any")];
    let both = nothing(&stranger, &token, &both, 400).await.map(drop);
    let outcomes = [
        ("a missing Connection is told as one that is there", same(of_missing)),
        ("a missing namespace too", same(nowhere)),
        ("another Connection than the one that is lent", same(of_borrower)),
        ("two connections in one question", twice),
        ("a path upwards", up),
        ("a connection and a binding", both),
    ];
    family.count("a Connection without the right to use it", there.map(drop))?;
    for (name, outcome) in outcomes {
        family.count(name, outcome)?;
    }
    Ok(())
}

/// Bindings of others, and such as say what they are not.
async fn by_bindings(family: &mut Family) -> Result<()> {
    let stage = &family.stage;
    let (red, blue) = (stage.red.namespace.clone(), stage.blue.namespace.clone());
    let stranger = workload(stage, false, "stranger").await?;
    let token = stranger.token().await?;
    let (orders, missing) = (format!("{red}/orders"), format!("{red}/no1"));
    let there = nothing(&stranger, &token, &[("binding", &orders)], 403).await;
    let not_there = nothing(&stranger, &token, &[("binding", &missing)], 403).await;
    let same = match (&there, not_there) {
        (Ok(there), Ok(not_there)) if *there == not_there => Ok(()),
        (there, not_there) => Err(anyhow::anyhow!("{there:?} is not {not_there:?}")),
    };
    let chosen = format!("{blue}/chosen");
    let olga = super::people::name_of("olga", &blue);
    let of_olga = nothing(&stranger, &token, &[("binding", &chosen), ("user", &olga)], 403).await.map(drop);
    let process = workload(stage, false, ACCOUNT).await?;
    let own = process.token().await?;
    let of_nobody = [("binding", chosen.as_str()), ("user", "eve")];
    let of_nobody = nothing(&process, &own, &of_nobody, 400).await.map(drop);
    // Eve's binding says that it is bound to red's Connection.
    let crm = stage.red.connections().get("crm").await?;
    let bound = json!({ "connection": { "namespace": red, "name": "crm", "uid": uid(&crm)? } });
    let spec = json!({ "connectionRef": { "namespace": red, "name": "crm" } });
    let forged = with(&binding(stage, "forged", "client", &spec), "/status", bound);
    Deed::create(&stage.eve, &forged).perform().await?;
    stage.blue.until_binding("forged", "False", "ConnectionNotAccessible").await?;
    let forged = format!("{blue}/forged");
    let forged = eventually("the binding is known there", Duration::from_secs(10), async || {
        let answer = process.ask(&own, &[("binding", &forged)]).await?;
        ensure!(!answer.text.contains("access_token"), "it got a credential");
        Ok((answer.body["reason"] == "ConnectionNotAccessible").then_some(()))
    })
    .await;
    family.count("a binding of red's process", there.map(drop))?;
    family.count("a binding that is not there, told apart", same)?;
    family.count("a user's choice, by another process", of_olga)?;
    family.count("a choice that nobody made", of_nobody)?;
    family.count("a binding that says to be bound to red's Connection", forged)
}

/// Tokens that are not for this, in the name of red's own process, which gets its credential with the right one.
async fn with_other_tokens(family: &mut Family) -> Result<()> {
    let stage = &family.stage;
    let orders = workload(stage, true, ACCOUNT).await?;
    let good = orders.token().await?;
    let crm = format!("{}/crm", stage.red.namespace);
    let form = [("connection", crm.as_str())];
    let answer = orders.ask(&good, &form).await?;
    ensure!(answer.status == 200 && answer.text.contains(RED), "{}", answer.text);
    let strangers = workload(stage, false, "stranger").await?.token().await?;
    let subject = format!("system:serviceaccount:{}:{ACCOUNT}", stage.red.namespace);
    let pod = pod(&stage.red, "one", ACCOUNT).await?;
    let of_pod = orders.token_for(&[AUDIENCE], Some(&pod)).await?;
    let pods: Api<Pod> = Api::namespaced(stage.red.client.clone(), &stage.red.namespace);
    pods.delete("one", &DeleteParams::default().grace_period(0)).await?;
    let tokens = [
        ("a token for another audience", orders.projected(&["vault"]).await?),
        ("a token for the API server", orders.projected(&[]).await?),
        ("a token that is bound to no Pod", orders.token_for(&[AUDIENCE], None).await?),
        ("a token with a Pod written into it", bound(&orders.token_for(&[AUDIENCE], None).await?, &pod)?),
        ("a token with red's name written into it", altered(&strangers, "sub", subject.into())?),
        ("a token whose end was moved", altered(&good, "exp", json!(4_000_000_000_i64))?),
        ("a token that has ended", altered(&good, "exp", json!(1))?),
        ("a token of a person", World::shared().zitadel.access_token("openid").await?),
        ("a token that is too long", format!("{good}{}", "x".repeat(9000))),
        ("no token", String::new()),
    ];
    let mut outcomes = Vec::new();
    for (name, token) in tokens {
        outcomes.push((name, nothing(&orders, &token, &form, 401).await.map(drop)));
    }
    let gone =
        eventually("the token of a Pod that is gone is not taken", Duration::from_secs(12), async || {
            Ok((orders.ask(&of_pod, &form).await?.status == 401).then_some(()))
        })
        .await;
    outcomes.push(("the token of a Pod that is gone", gone));
    for (name, outcome) in outcomes {
        family.count(name, outcome)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_token_endpoint_hands_out_nothing_of_others() -> Result<()> {
    let mut family = Family::new("token-endpoint").await?;
    furnish(&family.stage).await?;
    by_strangers(&mut family).await?;
    by_bindings(&mut family).await?;
    with_other_tokens(&mut family).await?;
    family.end().await
}
