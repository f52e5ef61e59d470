//! Links that are sent to others, or opened by who only reads the object.

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{Patch, PatchParams};
use liaison::api::ConsentRequest;
use liaison::api::consent_request::Phase;
use reqwest::{Method, Url};
use serde_json::json;

use super::{CRM, Scene, follow, follow_home, person, refused};
use crate::person::{ask, s256, secret};
use crate::support::walker::Walker;
use crate::world::World;

/// The last characters of a text, as many as a receipt has.
fn end_of(text: &str) -> String {
    text.chars().skip(text.chars().count().saturating_sub(43)).collect()
}

#[tokio::test]
async fn a_link_that_is_sent_to_somebody_else_gives_its_sender_nothing() -> Result<()> {
    let scene = Scene::at_zitadel("attack-link").await?;
    let eve = scene.person("eve").await?;
    for guess in
        ["start", "challenge", "digest", "chance", "sealed", "sealed digest", "digest of the challenge"]
    {
        let asked = ask(&eve, &scene.ground, CRM).await?;
        let receipt = follow_home(&mut Walker::new(), &asked.link().await?).await?;
        // Ada's browser brought the receipt to her own machine. All that Eve has is what she made and what she can read.
        let returned = asked.until(Phase::Returned).await?;
        let sealed = returned.status.and_then(|status| status.sealed_result).context("a sealed result")?;
        let challenge = s256(&asked.start);
        let guessed = match guess {
            "start" => asked.start.clone(),
            "challenge" => challenge,
            // What is kept of the receipt; nobody can read it, and it would be of no use.
            "digest" => s256(&receipt),
            "sealed" => end_of(&sealed),
            "sealed digest" => s256(&sealed),
            "digest of the challenge" => s256(&challenge),
            _ => secret()?,
        };
        asked.hand_in(&guessed).await?;
        ensure!(asked.failure().await? == "ReceiptMismatch", "{guess}");
        refused(asked.hand_in(&receipt).await, "spec.receipt is set once")?;
    }
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn who_asks_does_not_write_how_far_the_request_has_come() -> Result<()> {
    let scene = Scene::at_zitadel("attack-status").await?;
    let eve = scene.person("eve").await?;
    let asked = ask(&eve, &scene.ground, CRM).await?;
    asked.link().await?;
    for status in [
        json!({ "phase": "Returned" }),
        json!({ "phase": "Redeeming" }),
        json!({ "phase": "Succeeded" }),
        json!({ "url": "https://evil.example" }),
    ] {
        let patch = Patch::Merge(json!({ "status": status }));
        let answer = asked.requests.patch_status(&asked.name, &PatchParams::default(), &patch).await;
        refused(answer.map_err(Into::into), "forbidden")?;
        // Beside the spec it is not taken either: the API server leaves it out.
        asked.requests.patch(&asked.name, &PatchParams::default(), &patch).await?;
        asked.until(Phase::Issued).await?;
    }
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn an_answer_that_is_moved_to_another_request_opens_for_nobody() -> Result<()> {
    let scene = Scene::at_zitadel("attack-moved").await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let adas = ask(&ada, &scene.ground, CRM).await?;
    let receipt = follow_home(&mut Walker::new(), &adas.link().await?).await?;
    let sealed = adas.until(Phase::Returned).await?.status.and_then(|status| status.sealed_result);

    let eves = ask(&eve, &scene.ground, CRM).await?;
    follow(&mut Walker::new(), &eves.link().await?).await?;
    // No user writes a status; suppose that somebody did, and that Eve came by the receipt.
    let requests: Api<ConsentRequest> = Api::namespaced(scene.ground.client.clone(), &scene.ground.namespace);
    let moved = Patch::Merge(json!({ "status": { "phase": "Returned", "sealedResult": sealed } }));
    requests.patch_status(&eves.name, &PatchParams::default(), &moved).await?;
    eves.hand_in(&receipt).await?;
    ensure!(eves.failure().await? == "ReceiptMismatch");
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn who_only_reads_a_link_opens_nothing_and_burns_nothing() -> Result<()> {
    let scene = Scene::new("attack-reader").await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let link = asked.link().await?;

    let control_plane = World::shared().control_plane;
    let viewer = person(control_plane, &scene.ground, "viewer", "liaison-connection-viewer").await?;
    refused(scene.seen_by(&viewer, &asked).now().await, "forbidden")?;
    let seen = scene.seen_by(&eve, &asked).now().await?;
    let url = seen.status.clone().and_then(|status| status.url).context("url")?;
    let challenge = &seen.spec.challenge;
    for query in [
        String::new(),
        "?start=".to_owned(),
        "?start=guess".to_owned(),
        format!("?start={challenge}"),
        format!("?start={}", s256(challenge)),
        format!("?start={}", secret()?),
        format!("?start={challenge}&start={challenge}"),
        format!("?start={}", asked.start.get(1..).unwrap_or_default()),
        format!("?start={}%00", asked.start),
        format!("?start={}", asked.start.to_uppercase()),
        // The right secret beside another one is no secret.
        format!("?start={}&start=other", asked.start),
    ] {
        let address = Url::parse(&format!("{url}{query}"))?;
        let form: Vec<_> = address.query_pairs().into_owned().collect();
        let mut walker = Walker::new();
        for (method, form) in [(Method::GET, None), (Method::HEAD, None), (Method::POST, Some(form))] {
            let page = walker.once(method, &address, form.as_deref()).await?;
            ensure!(page.status == 404, "{}: {query}", page.status);
        }
        ensure!(walker.cookies.values().all(std::collections::BTreeMap::is_empty), "{query}: a cookie");
    }
    ensure!(asked.now().await? == seen, "to try changes nothing");
    scene.nothing_came_of_it(&[]).await?;

    // To look at the right link burns nothing either, as scanners of mail do.
    let page = Walker::new().open(&link).await?;
    ensure!(page.status == 200 && asked.now().await? == seen);
    let receipt = follow_home(&mut Walker::new(), &link).await?;
    asked.hand_in(&receipt).await?;
    asked.until(Phase::Succeeded).await?;
    ensure!(scene.token_requests()? == 1);

    // A link is good once, also for who knows the secret.
    let again = Walker::new().open(&link).await?;
    ensure!(again.status == 409, "{}", again.status);
    Ok(())
}
