//! How often the operator writes for a process, counted by the API server's own audit log.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::counts::{no_write, settled};
use super::{Stage, report};
use crate::binding::{WITHDRAWN, withdraw};
use crate::fixtures::{Ground, client_credentials_connector};
use crate::support::audit_log::{AuditEvent, AuditLog, Mark};
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;

const SPEC: &str = "client";

struct Scene {
    stage: Stage,
    ground: Ground,
    audit_log: AuditLog,
}

impl Scene {
    /// A folder with a Connection that is Ready, and a process that may use it.
    async fn new(name: &str) -> Result<Self> {
        let stage = Stage::new(name).await?;
        let count = AtomicU32::new(0);
        stage.script(move |request| {
            Some(match request.path.as_str() {
                "/token" => Answer::json(
                    200,
                    &json!({
                        "access_token": format!("issued-{}", count.fetch_add(1, Ordering::Relaxed)),
                        "token_type": "Bearer", "expires_in": 3600,
                    }),
                ),
                "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
                _ => return None,
            })
        });
        let ground = stage.ground(name).await?;
        let endpoint = |path: &str| stage.provider.endpoint(path);
        ground.connector(SPEC, client_credentials_connector(&endpoint)).await?;
        ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
        ground.connection("c", connection()).await?;
        ground.until_ready("c").await?;
        ground.grant_use().await?;
        let audit_log = stage.control_plane.audit_log().context("an audit log")?;
        settled(&audit_log, audit_log.mark()?).await?;
        Ok(Self { stage, ground, audit_log })
    }

    async fn bind(&self) -> Result<()> {
        self.ground
            .bind("orders", SPEC, json!({ "connectionRef": { "name": "c" }, "secretName": "orders" }))
            .await
    }

    fn reviews(&self, from: Mark) -> Result<usize> {
        let ours = |event: &AuditEvent| {
            event.user_agent.starts_with("liaison/") && event.object_ref.resource == "subjectaccessreviews"
        };
        Ok(self.audit_log.since(from)?.iter().filter(|event| ours(event)).count())
    }
}

fn connection() -> Value {
    json!({ "connectorRef": { "name": SPEC }, "oauthApp": { "secretRef": { "name": "app" } } })
}

#[tokio::test]
async fn a_process_is_bound_by_two_writes_and_each_new_token_takes_two_more() -> Result<()> {
    let scene = Scene::new("counts-binding").await?;
    let mark = scene.audit_log.mark()?;
    scene.bind().await?;
    scene.ground.until_binding("orders", "True", "Bound").await?;
    settled(&scene.audit_log, mark).await?;
    let writes = scene.audit_log.writes("liaison/", mark)?;
    let counted = AuditLog::count(&writes);
    report(&format!("counts: a binding, to Ready: {} writes {counted:?}", writes.len()));
    let of_binding = |writes: &[AuditEvent]| {
        let own = ["orders", ""];
        writes.iter().filter(|write| own.contains(&write.object_ref.name.as_str())).count()
    };
    assert_eq!(of_binding(&writes), 2, "{counted:?}");
    // The Connection says who uses it.
    assert!(writes.len() <= 3, "{counted:?}");
    let reviews = scene.reviews(mark)?;
    assert!(
        (1..=2).contains(&reviews),
        "one question about its right, or the last one after it was given: {reviews}"
    );

    let mark = scene.audit_log.mark()?;
    scene.ground.annotate("c", "liaison.dev/reauthenticate-at", "once").await?;
    scene
        .ground
        .until_secret("orders", "has the next token", |texts| texts["access-token"] == "issued-1")
        .await?;
    settled(&scene.audit_log, mark).await?;
    let writes = scene.audit_log.writes("liaison/", mark)?;
    let counted = AuditLog::count(&writes);
    report(&format!("counts: a new token with a binding: {} writes {counted:?}", writes.len()));
    assert_eq!(of_binding(&writes), 2, "its Secret, and when that ends: {counted:?}");
    assert!(scene.reviews(mark)? <= 2, "no more than the later questions after the right was given");
    Ok(())
}

#[tokio::test]
async fn for_a_process_nothing_is_written_where_nothing_changes() -> Result<()> {
    let scene = Scene::new("counts-binding-idle").await?;
    scene.bind().await?;
    scene.ground.until_binding("orders", "True", "Bound").await?;
    settled(&scene.audit_log, scene.audit_log.mark()?).await?;

    let mark = scene.audit_log.mark()?;
    scene.bind().await?;
    scene.ground.grant_use().await?;
    no_write(&scene.audit_log, "the same binding and the same right again", mark).await?;

    let mark = scene.audit_log.mark()?;
    let unrelated = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "unrelated" }, "rules": [],
    });
    scene.ground.apply(&unrelated).await?;
    eventually(
        "rights are reviewed again",
        WITHDRAWN,
        async || Ok((scene.reviews(mark)? >= 1).then_some(())),
    )
    .await?;
    no_write(&scene.audit_log, "a change of rights that changes nothing", mark).await?;
    let reviews = scene.reviews(mark)?;
    report(&format!("counts: a change of rights: {reviews} reviews of one binding"));
    assert!(reviews <= 3, "{reviews}");

    let mark = scene.audit_log.mark()?;
    scene.stage.boundaries.kill();
    scene.stage.operate().await?;
    no_write(&scene.audit_log, "a restart with a binding", mark).await?;
    Ok(())
}

#[tokio::test]
async fn a_withdrawn_right_empties_the_secret_also_where_the_operator_was_away() -> Result<()> {
    let scene = Scene::new("counts-binding-away").await?;
    scene.bind().await?;
    scene.ground.until_secret("orders", "has the token", |texts| texts.contains_key("access-token")).await?;
    scene.stage.boundaries.kill();
    withdraw(&scene.ground.client, &scene.ground.namespace).await?;
    scene.stage.operate().await?;
    scene
        .ground
        .until_secret("orders", "has lost the token", |texts| !texts.contains_key("access-token"))
        .await?;
    Ok(())
}
