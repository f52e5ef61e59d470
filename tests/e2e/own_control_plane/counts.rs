//! How often the operator asks and writes, counted by the API server's own audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use liaison::api::Connection;
use liaison::api::names::token_secret;
use serde_json::{Value, json};

use super::{Stage, report};
use crate::fixtures::{Ground, client_credentials_connector, token_connector};
use crate::support::audit_log::{AuditEvent, AuditLog, Mark};
use crate::support::fault_proxy::Forwarded;
use crate::support::strict_provider::Answer;
use crate::support::waiting::{SOON, eventually, holds_for};

/// How late the operator's watch of connections is. Its own writes must not look undone to it meanwhile.
const LAG: Duration = Duration::from_millis(300);

/// The most that becoming Ready may take.
#[derive(Clone, Copy)]
struct Most {
    writes: usize,
    requests: usize,
}

/// With a token that is revoked when it is no longer needed: the finalizer is one request more than the six of the others.
const HELD: Most = Most { writes: 3, requests: 7 };
/// With a token that just expires.
const EXPIRING: Most = Most { writes: 2, requests: 6 };
/// With a credential that a person made.
const STATIC: Most = Most { writes: 1, requests: 6 };

/// How long nothing may be written for where nothing should be.
const QUIET: Duration = Duration::from_secs(4);

struct Scene {
    stage: Stage,
    ground: Ground,
    lifetime: Arc<AtomicU32>,
    audit_log: AuditLog,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let stage = Stage::new(name).await?;
        stage.proxy.lag("/connections", LAG);
        let lifetime = Arc::new(AtomicU32::new(3600));
        let seconds = Arc::clone(&lifetime);
        stage.script(move |request| {
            Some(match request.path.as_str() {
                "/token" => Answer::json(
                    200,
                    &json!({
                        "access_token": "issued", "token_type": "Bearer",
                        "expires_in": seconds.load(Ordering::Relaxed),
                    }),
                ),
                "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
                _ => return None,
            })
        });
        let ground = stage.ground(name).await?;
        let endpoint = |path: &str| stage.provider.endpoint(path);
        ground.connector("client", client_credentials_connector(&endpoint)).await?;
        ground.connector("token", token_connector(&endpoint)).await?;
        ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
        ground.secret("pat", &[("token", "made-by-a-person")]).await?;
        let audit_log = stage.control_plane.audit_log().context("an audit log")?;
        let scene = Self { stage, ground, lifetime, audit_log };
        settled(&scene.audit_log, scene.audit_log.mark()?).await?;
        Ok(scene)
    }

    fn client_credentials() -> Value {
        json!({ "connectorRef": { "name": "client" }, "oauthApp": { "secretRef": { "name": "app" } } })
    }

    fn personal_access_token() -> Value {
        json!({ "connectorRef": { "name": "token" }, "credentials": { "secretRef": { "name": "pat" } } })
    }

    /// Requests of the operator that concern a Connection by its name or uid. Events and leases are bookkeeping.
    fn requests_about(&self, connection: &Connection, from: Mark) -> Result<Vec<AuditEvent>> {
        let (name, secret) = (connection.name_any(), token_secret(&connection.uid().unwrap_or_default()));
        let source = connection.spec.oauth_app.as_ref().or(connection.spec.credentials.as_ref());
        let source = source.map(|source| source.secret_ref.name.clone()).unwrap_or_default();
        let events = self.audit_log.since(from)?;
        let ours = events.into_iter().filter(|event| event.user_agent.starts_with("liaison/"));
        // A create names its object in the body alone; there is one Connection at a time.
        let creates = |event: &AuditEvent| event.verb == "create" && event.object_ref.resource == "secrets";
        Ok(ours
            .filter(|event| [&name, &secret, &source].contains(&&event.object_ref.name) || creates(event))
            .collect())
    }

    /// From a manifest to Ready and to rest: what it took.
    async fn first_ready(&self, name: &str, spec: Value, most: Most) -> Result<Connection> {
        let mark = self.audit_log.mark()?;
        self.ground.connection(name, spec).await?;
        let connection = self.ground.until_ready(name).await?;
        settled(&self.audit_log, mark).await?;
        let writes = self.audit_log.writes("liaison/", mark)?;
        let requests = self.requests_about(&connection, mark)?;
        report(&format!(
            "counts: {name}, to first Ready: {} writes {:?}; {} requests of any verb {:?}",
            writes.len(),
            AuditLog::count(&writes),
            requests.len(),
            AuditLog::count(&requests),
        ));
        anyhow::ensure!(!writes.is_empty() && writes.len() <= most.writes, "{:?}", AuditLog::count(&writes));
        anyhow::ensure!(requests.len() <= most.requests, "{:?}", AuditLog::count(&requests));
        Ok(connection)
    }
}

/// Waits until the operator has written nothing for a while.
pub(super) async fn settled(audit_log: &AuditLog, from: Mark) -> Result<()> {
    let mut count = usize::MAX;
    eventually("the operator has nothing left to write", SOON, async || {
        let before = std::mem::replace(&mut count, audit_log.writes("liaison/", from)?.len());
        if before != count {
            return Ok(None);
        }
        let same = async || Ok(audit_log.writes("liaison/", from)?.len() == count);
        Ok(holds_for("no further write", 2 * LAG, same).await.ok())
    })
    .await
}

/// No write follows what was just done, for long enough that a late watch has told of it.
pub(super) async fn no_write(audit_log: &AuditLog, what: &str, from: Mark) -> Result<()> {
    holds_for(what, QUIET, async || Ok(audit_log.writes("liaison/", from)?.is_empty())).await.with_context(
        || format!("{:?}", audit_log.writes("liaison/", from).map(|writes| AuditLog::count(&writes))),
    )?;
    report(&format!("counts: {what}: 0 writes"));
    Ok(())
}

/// The operator's watches that have begun so far.
pub(super) fn watches(stage: &Stage) -> usize {
    let begun = |request: &&Forwarded| request.query.contains("watch=true") && request.status == 200;
    stage.proxy.forwarded().iter().filter(begun).count()
}

#[tokio::test]
async fn becoming_ready_takes_few_writes_and_requests() -> Result<()> {
    let scene = Scene::new("counts-ready").await?;
    scene.first_ready("client", Scene::client_credentials(), HELD).await?;
    let mut without_revocation = client_credentials_connector(&|path| scene.stage.provider.endpoint(path));
    without_revocation["authMethods"][0]["oauth2"].as_object_mut().context("oauth2")?.remove("revokeURL");
    scene.ground.connector("expiring", without_revocation).await?;
    let spec = json!({ "connectorRef": { "name": "expiring" }, "oauthApp": { "secretRef": { "name": "other-app" } } });
    scene.ground.secret("other-app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
    settled(&scene.audit_log, scene.audit_log.mark()?).await?;
    scene.first_ready("expiring", spec, EXPIRING).await?;
    scene.first_ready("token", Scene::personal_access_token(), STATIC).await?;
    Ok(())
}

#[tokio::test]
async fn a_refresh_takes_two_writes() -> Result<()> {
    let scene = Scene::new("counts-refresh").await?;
    scene.lifetime.store(6, Ordering::Relaxed);
    let mark = scene.audit_log.mark()?;
    scene.ground.connection("client", Scene::client_credentials()).await?;
    let connection = scene.ground.until_ready("client").await?;
    let sequence = |connection: &Connection| {
        connection.status.clone().unwrap_or_default().token.map_or(0, |token| token.sequence)
    };
    scene.ground.until_is("client", "refreshed twice", |connection| sequence(connection) >= 3).await?;
    scene.lifetime.store(3600, Ordering::Relaxed);
    let connection = scene
        .ground
        .until_is("client", "refreshed for long", |now| sequence(now) > sequence(&connection) + 2)
        .await?;
    settled(&scene.audit_log, mark).await?;
    let refreshes = usize::try_from(sequence(&connection))? - 1;
    let writes = scene.audit_log.writes("liaison/", mark)?;
    let counted = AuditLog::count(&writes);
    report(&format!(
        "counts: {refreshes} refreshes after the first token: {} writes in all {counted:?}",
        writes.len()
    ));
    assert_eq!(writes.len(), 3 + 2 * refreshes, "{counted:?}");
    Ok(())
}

#[tokio::test]
async fn what_changes_nothing_causes_no_write() -> Result<()> {
    let mut scene = Scene::new("counts-idle").await?;
    scene.first_ready("client", Scene::client_credentials(), HELD).await?;
    scene.first_ready("token", Scene::personal_access_token(), STATIC).await?;
    let asked = scene.stage.provider.received().len();

    let mark = scene.audit_log.mark()?;
    scene.stage.boundaries.kill();
    scene.stage.operate().await?;
    no_write(&scene.audit_log, "a restart", mark).await?;

    let mark = scene.audit_log.mark()?;
    scene.ground.connection("client", Scene::client_credentials()).await?;
    scene.ground.connection("token", Scene::personal_access_token()).await?;
    scene.ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
    no_write(&scene.audit_log, "the same manifests again", mark).await?;

    let mark = scene.audit_log.mark()?;
    scene.ground.annotate("client", "example.org/note", "by somebody else").await?;
    let labels = Patch::Merge(json!({ "metadata": { "labels": { "example.org/team": "red" } } }));
    scene.ground.connections().patch("token", &PatchParams::default(), &labels).await?;
    scene.ground.secrets().patch("app", &PatchParams::default(), &labels).await?;
    no_write(&scene.audit_log, "labels and annotations of others", mark).await?;

    let mark = scene.audit_log.mark()?;
    let before = watches(&scene.stage);
    scene.stage.control_plane.restart_api_server().await?;
    eventually("all watches have begun again", SOON, async || {
        Ok((watches(&scene.stage) >= before + 8).then_some(()))
    })
    .await?;
    no_write(&scene.audit_log, "a restart of the API server", mark).await?;
    assert_eq!(scene.stage.provider.received().len(), asked, "and none of it asked the provider");
    Ok(())
}

/// Two sources that both want their connection to be the default, and say so again and again, as Flux does.
#[tokio::test]
async fn s25_two_manifests_that_both_ask_to_be_the_default_are_applied_again_without_a_write() -> Result<()> {
    let scene = Scene::new("counts-defaults").await?;
    let marked = json!({ "connectorRef": { "name": "no-such-application" }, "default": true });
    let names = ["first", "second"];
    for name in names {
        scene.ground.connection(name, marked.clone()).await?;
    }
    let effective =
        |connection: &Connection| connection.status.as_ref().and_then(|status| status.effective_default);
    scene.ground.until_is("second", "is the default", |now| effective(now) == Some(true)).await?;
    scene.ground.until_is("first", "is superseded", |now| effective(now) == Some(false)).await?;
    settled(&scene.audit_log, scene.audit_log.mark()?).await?;

    let specs = async || {
        let mut specs = Vec::new();
        for name in names {
            let now = scene.ground.connections().get(name).await?;
            specs.push((now.metadata.generation, now.metadata.resource_version, now.spec));
        }
        anyhow::Ok(specs)
    };
    let (before, mark) = (specs().await?, scene.audit_log.mark()?);
    for _ in 0..20 {
        for name in names {
            scene.ground.connection(name, marked.clone()).await?;
        }
    }
    no_write(&scene.audit_log, "both manifests, 20 times each", mark).await?;
    assert_eq!(specs().await?, before, "nobody has written anything");
    Ok(())
}

#[tokio::test]
async fn bodies_of_secrets_are_never_listed_or_watched() -> Result<()> {
    let scene = Scene::new("counts-secrets").await?;
    scene.first_ready("client", Scene::client_credentials(), HELD).await?;
    let forwarded = scene.stage.proxy.forwarded();
    // A path that ends with the resource is a collection: a list, or a watch.
    let collections: Vec<_> = forwarded
        .iter()
        .filter(|request| request.method == "GET" && request.path.ends_with("/secrets"))
        .collect();
    let watches = collections.iter().filter(|request| request.query.contains("watch=true")).count();
    report(&format!(
        "counts: {} lists and {watches} watches of Secrets, all as metadata only",
        collections.len() - watches
    ));
    assert!(watches >= 2 && collections.len() > watches, "{collections:?}");
    for request in collections {
        let kinds = request.accept.split(',').map(str::trim);
        let metadata_only = kinds.clone().all(|kind| kind.contains("as=PartialObjectMetadata"));
        assert!(metadata_only, "{request:?}");
    }
    assert!(
        forwarded.iter().all(|request| request.user_agent.starts_with("liaison/")),
        "nobody else used the proxy"
    );
    Ok(())
}
