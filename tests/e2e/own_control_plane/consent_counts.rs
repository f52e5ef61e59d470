//! What a consent costs, and that requests which are there cost nothing more.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use liaison::api::ConsentRequest;
use liaison::api::consent_request::Phase;
use liaison::domain::conditions::ConditionType::Ready;
use serde_json::json;

use super::consenting::{Attempt, PeopleScene, reason};
use super::counts::{no_write, settled, watches};
use super::report;
use super::rotating_provider::RotatingProvider;
use crate::fixtures::{Ground, token_connector};
use crate::person::ask;
use crate::support::audit_log::{AuditEvent, AuditLog};
use crate::support::waiting::{SOON, eventually};

/// Requests of the operator for one consent, of any verb, but for watches and bookkeeping.
const MOST_REQUESTS: usize = 64;

async fn scene(name: &str) -> Result<PeopleScene> {
    let scene = PeopleScene::new(name).await?;
    let provider = RotatingProvider::default();
    provider.set(3600, false);
    scene.stage.script(move |request| provider.answer(request));
    scene.connector("people").await?;
    Ok(scene)
}

/// A consent that goes well, until the Connection is Ready.
async fn consent(scene: &PeopleScene, name: &str) -> Result<()> {
    scene.waiting(name, "people").await?;
    let Attempt::Ended(request) = scene.attempt(name).await? else { anyhow::bail!("told to begin again") };
    ensure!(request.status.is_some_and(|status| status.phase == Some(Phase::Succeeded)));
    scene.until(name, |connection| reason(connection, Ready) == "Ready").await.map(drop)
}

#[tokio::test]
async fn a_consent_takes_eight_writes_and_two_provider_requests() -> Result<()> {
    let scene = scene("consent-counts").await?;
    let audit_log = scene.stage.control_plane.audit_log().context("an audit log")?;
    scene.waiting("crm", "people").await?;
    settled(&audit_log, audit_log.mark()?).await?;
    let mark = audit_log.mark()?;
    consent(&scene, "crm").await?;
    settled(&audit_log, mark).await?;

    let ours = |event: &AuditEvent| event.user_agent.starts_with("liaison/");
    let requests: Vec<_> = audit_log.since(mark)?.into_iter().filter(ours).collect();
    let writes = AuditLog::count(&audit_log.writes("liaison/", mark)?);
    let bookkeeping = |event: &AuditEvent| {
        event.verb == "watch" || ["leases", "events"].contains(&event.object_ref.resource.as_str())
    };
    let others: Vec<_> = requests.into_iter().filter(|event| !bookkeeping(event)).collect();
    let provider = scene.stage.provider.received();
    let asked = provider.iter().filter(|request| request.path != "/authorize").count();
    report(&format!(
        "counts: a consent: {} writes {writes:?}; {} requests of any verb {:?}; {asked} provider requests",
        writes.values().sum::<usize>(),
        others.len(),
        AuditLog::count(&others)
    ));
    let expected = [
        ("patch consentrequests/status", 5),
        ("patch connections", 1),
        ("create secrets", 1),
        ("patch connections/status", 1),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(what, count)| (what.to_owned(), count)).into();
    assert_eq!(writes, expected);
    assert_eq!(asked, 2, "the token, and the account with the verification");
    assert!(others.len() <= MOST_REQUESTS, "{:?}", AuditLog::count(&others));
    Ok(())
}

/// Ten requests that wait for their people, and ten that have come to nothing.
async fn twenty_requests(scene: &PeopleScene) -> Result<Api<ConsentRequest>> {
    let Ground { client, namespace, .. } = &scene.ground;
    let endpoint = |path: &str| scene.stage.provider.endpoint(path);
    scene.ground.connector("token", token_connector(&endpoint)).await?;
    scene.ground.secret("pat", &[("token", "made-by-a-person")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "token" }, "credentials": { "secretRef": { "name": "pat" } } });
    scene.ground.connection("static", spec).await?;
    for person in ["ada", "eve"] {
        let theirs = scene.stage.control_plane.client_as(person, &["system:masters"]).await?;
        for _ in 0..5 {
            ask(&theirs, &scene.ground, "static").await?;
        }
    }
    let requests: Api<ConsentRequest> = Api::namespaced(client.clone(), namespace);
    let count = async |phase: Phase| -> Result<usize> {
        let found = requests.list(&ListParams::default()).await?;
        let is = |request: &&ConsentRequest| {
            request.status.as_ref().is_some_and(|status| status.phase == Some(phase))
        };
        Ok(found.iter().filter(is).count())
    };
    eventually("ten requests have failed", SOON, async || {
        Ok((count(Phase::Failed).await? == 10).then_some(()))
    })
    .await?;
    for person in ["ada", "eve"] {
        let theirs = scene.stage.control_plane.client_as(person, &["system:masters"]).await?;
        let mut five = Vec::new();
        for _ in 0..5 {
            five.push(ask(&theirs, &scene.ground, "crm").await?);
        }
        // A burst may be faster than the watch from which admission counts; the younger ones then end as TooManyConsents.
        for asked in five {
            asked.until(Phase::Issued).await?;
        }
        let sixth = ask(&theirs, &scene.ground, "crm").await.err().context("a sixth one is refused")?;
        ensure!(format!("{sixth:#}").contains("you have 5 consent requests under way"), "{sixth:#}");
    }
    eventually("ten requests are open", SOON, async || Ok((count(Phase::Issued).await? == 10).then_some(())))
        .await?;
    Ok(requests)
}

#[tokio::test]
async fn requests_that_wait_or_have_ended_cause_no_write() -> Result<()> {
    let mut scene = scene("consent-idle").await?;
    consent(&scene, "crm").await?;
    let requests = twenty_requests(&scene).await?;
    let audit_log = scene.stage.control_plane.audit_log().context("an audit log")?;
    settled(&audit_log, audit_log.mark()?).await?;
    let asked = scene.stage.provider.received().len();

    let mark = audit_log.mark()?;
    scene.stage.boundaries.kill();
    scene.stage.operate().await?;
    no_write(&audit_log, "a restart with 21 consent requests", mark).await?;

    let mark = audit_log.mark()?;
    let note =
        Patch::Merge(json!({ "metadata": { "annotations": { "example.org/note": "by somebody else" } } }));
    for request in requests.list(&ListParams::default()).await? {
        requests.patch(&request.name_any(), &PatchParams::default(), &note).await?;
    }
    no_write(&audit_log, "annotations of others on 21 consent requests", mark).await?;

    let mark = audit_log.mark()?;
    let before = watches(&scene.stage);
    scene.stage.control_plane.restart_api_server().await?;
    eventually("all watches have begun again", SOON, async || {
        Ok((watches(&scene.stage) >= before + 8).then_some(()))
    })
    .await?;
    no_write(&audit_log, "a restart of the API server with 21 consent requests", mark).await?;
    assert_eq!(scene.stage.provider.received().len(), asked, "and none of it asked the provider");
    Ok(())
}
