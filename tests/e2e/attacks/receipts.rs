//! Receipts of others, at the wrong time, by the wrong person, and twice.

use anyhow::{Result, ensure};
use kube::Api;
use kube::api::PostParams;
use liaison::api::ConsentRequest;
use liaison::api::consent_request::Phase;
use serde_json::{Value, json};

use super::{CRM, Scene, change, follow, follow_home, forget, refused};
use crate::person::{ask, come_back, secret};
use crate::support::walker::Walker;
use crate::world::World;

const BY_NOBODY_ELSE: &str = "spec.receipt is set by the requester and by nobody else";

#[tokio::test]
async fn a_receipt_fits_the_one_request_whose_browser_was_given_it() -> Result<()> {
    let scene = Scene::at_zitadel("attack-receipt").await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let adas = ask(&ada, &scene.ground, CRM).await?;
    let eves = ask(&eve, &scene.ground, CRM).await?;
    let of_ada = follow_home(&mut Walker::new(), &adas.link().await?).await?;
    let of_eve = follow_home(&mut Walker::new(), &eves.link().await?).await?;
    ensure!(of_ada != of_eve);
    // Whoever is forwarded the address of somebody's own machine hands in what belongs to another request.
    adas.hand_in(&of_eve).await?;
    eves.hand_in(&of_ada).await?;
    ensure!(adas.failure().await? == "ReceiptMismatch");
    ensure!(eves.failure().await? == "ReceiptMismatch");
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn a_receipt_is_brought_by_its_requester_and_by_nobody_else() -> Result<()> {
    let scene = Scene::at_zitadel("attack-bringer").await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let receipt = follow_home(&mut Walker::new(), &asked.link().await?).await?;
    asked.until(Phase::Returned).await?;

    let name = format!("ada-of-{}", scene.ground.namespace);
    let another_ada = World::shared()
        .control_plane
        .client_with(|config| {
            config.auth_info.impersonate = Some(name);
            let uid = ("impersonate-uid".parse().ok(), "another".parse().ok());
            config.headers.extend(uid.0.zip(uid.1));
        })
        .await?;
    for client in [&eve, &scene.ground.client, &another_ada] {
        let theirs = scene.seen_by(client, &asked);
        refused(theirs.hand_in(&receipt).await, BY_NOBODY_ELSE)?;
        refused(theirs.hand_in(&secret()?).await, BY_NOBODY_ELSE)?;
    }
    // Nor by way of a stamp: nobody becomes the requester afterwards.
    for client in [&ada, &eve, &scene.ground.client] {
        let theirs = scene.seen_by(client, &asked);
        let stamp = json!({ "requester": { "username": "eve" }, "receipt": receipt });
        refused(change(&theirs, stamp).await, "cannot be changed")?;
        refused(change(&theirs, json!({ "requester": null })).await, "cannot be changed")?;
    }
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn a_receipt_is_brought_once_and_only_after_the_browser_has_returned() -> Result<()> {
    const NOT_YET: &str = "the request is not in phase Returned";
    let scene = Scene::at_zitadel("attack-early").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let link = asked.link().await?;
    let receipt = secret()?;
    refused(asked.hand_in(&receipt).await, NOT_YET)?;
    let mut walker = Walker::new();
    let callback = follow(&mut walker, &link).await?;
    asked.until(Phase::Started).await?;
    refused(asked.hand_in(&receipt).await, NOT_YET)?;
    refused(scene.seen_by(&scene.ground.client, &asked).hand_in(&receipt).await, BY_NOBODY_ELSE)?;

    let right = come_back(&mut walker, &callback).await?;
    asked.hand_in(&receipt).await?;
    refused(asked.hand_in(&right).await, "spec.receipt is set once")?;
    refused(change(&asked, json!({ "receipt": null })).await, "spec.receipt is set once")?;
    ensure!(asked.failure().await? == "ReceiptMismatch");
    refused(asked.hand_in(&right).await, "spec.receipt is set once")?;
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn a_request_is_not_made_with_a_receipt_nor_pointed_elsewhere() -> Result<()> {
    const UNCHANGED: &str = "a ConsentRequest cannot be changed";
    let scene = Scene::at_zitadel("attack-pointed").await?;
    scene.connection("erp", &scene.connector).await?;
    let eve = scene.person("eve").await?;
    let asked = ask(&eve, &scene.ground, CRM).await?;
    asked.link().await?;
    let made = asked.now().await?;
    let requests: Api<ConsentRequest> = asked.requests.clone();
    let mut with_receipt = ConsentRequest::new("with-receipt", made.spec.clone());
    with_receipt.spec.receipt = Some(secret()?);
    let answer = requests.create(&PostParams::default(), &with_receipt).await;
    refused(answer.map_err(Into::into), "after the browser has returned")?;

    let other = scene.ground.connections().get("erp").await?.metadata.uid;
    let attempts: [Value; 5] = [
        json!({ "connectionRef": { "name": "erp" } }),
        json!({ "connectionRef": { "name": "erp", "uid": other } }),
        json!({ "challenge": secret()? }),
        json!({ "loopbackPort": 48080 }),
        json!({ "loopbackPort": null }),
    ];
    for client in [&eve, &scene.ground.client] {
        for attempt in &attempts {
            refused(change(&scene.seen_by(client, &asked), attempt.clone()).await, UNCHANGED)?;
        }
    }
    forget(&asked).await?;
    scene.nothing_came_of_it(&[]).await
}
