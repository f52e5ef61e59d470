//! What the token endpoint asks of the API server, how fast it answers from memory, whom it limits, and what it writes
//! down.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

use super::canary::Canaries;
use super::findings::Findings;
use super::{Stage, report};
use crate::fixtures::{Ground, client_credentials_connector};
use crate::support::audit_log::{AuditEvent, AuditLog, Mark};
use crate::support::installation::TokenPort;
use crate::support::strict_provider::Answer;
use crate::support::waiting::{SOON, eventually};
use crate::workload::Workload;
use crate::world::OperatorSettings;

/// What the second question and those after it may take at most: the figure is reported, not asserted.
const WANTED_P99: Duration = Duration::from_millis(10);

pub(super) struct Scene {
    stage: Stage,
    ground: Ground,
    canaries: Canaries,
    url: String,
}

impl Scene {
    /// A Ready Connection `c`, whose tokens are canaries.
    pub(super) async fn new(name: &str) -> Result<Self> {
        let mut stage = Stage::new(name).await?;
        let port = TokenPort::take()?;
        stage.settings.tokens = Some(port);
        let canaries = Canaries::default();
        let made = canaries.clone();
        stage.script(move |request| {
            Some(match request.path.as_str() {
                "/token" => Answer::json(
                    200,
                    &json!({
                        "access_token": made.fresh("access token"), "refresh_token": made.fresh("refresh token"),
                        "token_type": "Bearer", "expires_in": 3600,
                    }),
                ),
                "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
                _ => return None,
            })
        });
        let ground = stage.ground(name).await?;
        ground
            .connector("client", client_credentials_connector(&|path| stage.provider.endpoint(path)))
            .await?;
        ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
        let spec =
            json!({ "connectorRef": { "name": "client" }, "oauthApp": { "secretRef": { "name": "app" } } });
        ground.connection("c", spec).await?;
        ground.until_ready("c").await?;
        Ok(Self { stage, ground, canaries, url: port.url() })
    }

    pub(super) async fn workload(&self, name: &str) -> Result<Workload<'_>> {
        Workload::new(&self.stage.control_plane, &self.ground, (name, &self.url)).await
    }

    /// One that may use the Connection.
    pub(super) async fn user(&self, name: &str) -> Result<Workload<'_>> {
        let user = self.workload(name).await?;
        user.allow_use(&self.ground.namespace, Some("c")).await?;
        Ok(user)
    }

    pub(super) fn connection(&self) -> String {
        format!("{}/c", self.ground.namespace)
    }

    fn audit_log(&self) -> Result<AuditLog> {
        self.stage.control_plane.audit_log().context("an audit log")
    }

    /// Events that tell of credentials that were handed out, and to whom.
    async fn told(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.ground.client.clone(), &self.ground.namespace);
        let events = events.list(&ListParams::default()).await?.items;
        let told = events.into_iter().filter(|event| event.reason.as_deref() == Some("CredentialHandedOut"));
        Ok(told.filter_map(|event| event.related?.name).collect())
    }
}

/// What operators have asked the API server since then, but for what they do all the time.
fn asked(log: &AuditLog, from: Mark) -> Result<Vec<AuditEvent>> {
    let ours = log.since(from)?.into_iter().filter(|event| event.user_agent.starts_with("liaison/"));
    Ok(ours.filter(|event| event.verb != "watch" && event.object_ref.resource != "leases").collect())
}

/// How often operators have asked so since then; a request is written down when it is done.
async fn count(log: &AuditLog, from: Mark, what: &str, expected: usize) -> Result<()> {
    let counted =
        || Ok::<_, anyhow::Error>(AuditLog::count(&asked(log, from)?).get(what).copied().unwrap_or(0));
    eventually(&format!("{what}: {expected}"), SOON, async || Ok((counted()? >= expected).then_some(())))
        .await?;
    ensure!(counted()? == expected, "{what}: {} instead of {expected}", counted()?);
    Ok(())
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index]
}

/// Asks one after the other, and says how long each took.
async fn timed(user: &Workload<'_>, token: &str, connection: &str, times: usize) -> Result<Vec<Duration>> {
    let mut durations = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        let answer = user.ask_once(token, &[("connection", connection)]).await?;
        durations.push(started.elapsed());
        ensure!(answer.status == 200, "{} {}", answer.status, answer.body["error"]);
    }
    Ok(durations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_first_question_answers_come_from_memory_and_ask_the_api_server_nothing() -> Result<()> {
    let scene = Scene::new("tokens-memory").await?;
    let (connection, log) = (scene.connection(), scene.audit_log()?);
    let mut users = vec![scene.user("user").await?];
    for last in 2..=8 {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        users.push(scene.user("user").await?.from(address).await?);
    }
    let token = users[0].token().await?;
    // The right has just been given; the authorizer of the API server may be a moment behind.
    eventually("the first answer", SOON, async || {
        let answer = users[0].ask_once(&users[0].token().await?, &[("connection", &connection)]).await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    scene.ground.until_event("c", "CredentialHandedOut").await?;

    let first = log.mark()?;
    let started = Instant::now();
    timed(&users[0], &token, &connection, 1).await?;
    count(&log, first, "create tokenreviews", 1).await?;
    count(&log, first, "create subjectaccessreviews", 1).await?;
    // The token itself was opened before.
    count(&log, first, "get secrets", 0).await?;

    let later = log.mark()?;
    let one_by_one = timed(&users[0], &token, &connection, 300).await?;
    let at_once = try_join_all(users[1..].iter().map(|user| timed(user, &token, &connection, 300))).await?;
    let elapsed = started.elapsed();
    let since = asked(&log, later)?;
    ensure!(elapsed < Duration::from_secs(10), "too slow to say anything: {elapsed:?}");
    assert_eq!(AuditLog::count(&since), std::collections::BTreeMap::new());
    assert_eq!(scene.told().await?, ["user"], "2,400 credentials, one Event");

    for (how, mut durations) in [("one by one", one_by_one), ("7 at once", at_once.concat())] {
        durations.sort_unstable();
        report(&format!(
            "token endpoint: {} answers from memory {how}, over TLS and HTTP/1.1: p50 {:?}, p99 {:?}, at most {:?} (wanted: p99 {WANTED_P99:?})",
            durations.len(),
            percentile(&durations, 0.5),
            percentile(&durations, 0.99),
            percentile(&durations, 1.0),
        ));
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_good_costs_the_api_server_nothing_and_a_forgery_one_question() -> Result<()> {
    let scene = Scene::new("tokens-forged").await?;
    let (connection, log) = (scene.connection(), scene.audit_log()?);
    let user = scene.user("user").await?;
    let good = user.token().await?;
    let other = user.projected(&["vault"]).await?;
    let mark = log.mark()?;
    let form = [("connection", connection.as_str())];
    let oversized = format!("{good}{}", "x".repeat(9000));
    for token in [other.as_str(), "opaque", "a.b.c", &oversized] {
        assert_eq!(user.ask(token, &form).await?.status, 401);
    }
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for _ in 0..5 {
        assert_eq!(user.ask(&forged, &form).await?.status, 401);
    }
    count(&log, mark, "create tokenreviews", 1).await?;
    count(&log, mark, "create subjectaccessreviews", 0).await?;

    // Who may not use it costs one question for each name, be it there or not, and nothing is looked up.
    let stranger = scene.workload("stranger").await?;
    let token = stranger.token().await?;
    let mark = log.mark()?;
    for name in ["c", "missing"] {
        for _ in 0..3 {
            let connection = format!("tokens-forged/{name}");
            assert_eq!(stranger.ask(&token, &[("connection", &connection)]).await?.status, 403);
        }
    }
    count(&log, mark, "create tokenreviews", 1).await?;
    count(&log, mark, "create subjectaccessreviews", 2).await?;
    assert_eq!(asked(&log, mark)?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_source_that_asks_too_often_is_held_back_and_others_are_not() -> Result<()> {
    let scene = Scene::new("tokens-limits").await?;
    let connection = scene.connection();
    let modest = scene.user("modest").await?;
    let token = modest.token().await?;
    let form = [("connection", connection.as_str())];
    assert_eq!(modest.ask(&token, &form).await?.status, 200);
    let greedy = scene.user("greedy").await?.from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9))).await?;
    let held_back = eventually("the greedy one is held back", SOON, async || {
        let answers = try_join_all((0..200).map(|_| greedy.ask_once("opaque", &form))).await?;
        Ok(answers.into_iter().find(|answer| answer.status == 429))
    })
    .await?;
    assert_eq!(held_back.body["error"], "slow_down");
    let wait: u64 = held_back.headers["retry-after"].to_str()?.parse()?;
    assert!((1..=5).contains(&wait), "{wait} s");
    assert_eq!(modest.ask_once(&token, &form).await?.status, 200);

    // Tokens that are all different, as long as they could be good, are looked at a few at a time.
    let good = greedy.token().await?;
    let forged = |number: usize| format!("{}{number:04}", &good[..good.len() - 4]);
    let mark = scene.audit_log()?.mark()?;
    let greedy = greedy.from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10))).await?;
    let tokens: Vec<_> = (0..60).map(forged).collect();
    let answers = try_join_all(tokens.iter().map(|token| greedy.ask_once(token, &form))).await?;
    let count_of = |status| answers.iter().filter(|answer| answer.status == status).count();
    let reviews = AuditLog::count(&asked(&scene.audit_log()?, mark)?);
    report(&format!(
        "token endpoint: of 60 forged tokens {} were reviewed, {} held back",
        count_of(401),
        count_of(429)
    ));
    assert!(count_of(429) >= 20 && count_of(401) + count_of(429) == 60, "{reviews:?}");
    assert_eq!(modest.ask_once(&token, &form).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_replica_that_does_not_lead_answers_too_and_goes_on_when_the_leader_is_gone() -> Result<()> {
    let scene = Scene::new("tokens-replicas").await?;
    let port = TokenPort::take()?;
    let settings = OperatorSettings {
        exceptions: vec![scene.stage.provider.authority()],
        tokens: Some(port),
        lease_seconds: 3,
        ..OperatorSettings::new("standby")?
    };
    let _standby = settings.start(&scene.stage.control_plane).await?;
    let connection = scene.connection();
    let (user, same) = (scene.user("user").await?, scene.user("user").await?.at(&port.url()));
    let token = user.token().await?;
    let form = [("connection", connection.as_str())];
    let first = eventually("the leader answers", SOON, async || {
        let answer = user.ask(&user.token().await?, &form).await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    let second = same.ask(&token, &form).await?;
    assert_eq!((second.status, &second.body["access_token"]), (200, &first.body["access_token"]));
    scene.ground.until_event("c", "CredentialHandedOut").await?;

    scene.stage.boundaries.kill();
    assert_eq!(same.ask_once(&token, &form).await?.status, 200, "no gap");
    // Both have told it by the same name.
    assert_eq!(scene.told().await?, ["user"]);
    Ok(())
}

#[tokio::test]
async fn s48_what_is_handed_out_is_found_in_no_log_metric_event_or_status() -> Result<()> {
    let scene = Scene::new("tokens-canaries").await?;
    let connection = scene.connection();
    let (user, stranger) = (scene.user("user").await?, scene.workload("stranger").await?);
    let form = [("connection", connection.as_str())];
    let mut tokens = vec![user.token().await?, stranger.token().await?, user.projected(&["vault"]).await?];
    tokens.push(format!("{}AAAA", &tokens[0][..tokens[0].len() - 4]));
    let handed_out = eventually("it is handed out", SOON, async || {
        let answer = user.ask(&user.token().await?, &form).await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    let mut statuses = Vec::new();
    for token in &tokens {
        statuses.push(user.ask(token, &form).await?.status);
        // What anybody who holds it could use; header and claims name nobody's secret.
        let signature = token.rsplit('.').next().context("signature")?;
        scene.canaries.learn("signature of a workload's token", signature);
    }
    assert_eq!(statuses, [200, 403, 401, 401]);
    scene.ground.until_event("c", "CredentialHandedOut").await?;
    let access_token = handed_out.body["access_token"].as_str().context("access_token")?;
    let search = scene.canaries.search();
    assert!(!search.hits(access_token.as_bytes()).is_empty(), "the search finds what was handed out");
    assert!(!handed_out.body.as_object().context("object")?.contains_key("refresh_token"));
    let expected: [&str; 7] =
        ["access_token", "account", "auth_type", "connection", "expires_in", "scope", "token_type"];
    let keys: Vec<_> = handed_out.body.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    assert_eq!(keys, expected);

    let mut findings = Findings::of(&search);
    findings.look_at_objects(&scene.ground.client).await?;
    findings.look_at_files(&scene.stage, "tokens-canaries").await?;
    report(&format!(
        "S48, token endpoint: {} canaries, {} hits in {} kB of objects, logs, metrics and audit log",
        scene.canaries.count(),
        findings.lines.len(),
        findings.searched >> 10,
    ));
    assert!(findings.lines.is_empty(), "{:#?}", findings.lines);

    let metrics =
        reqwest::get(format!("{}/metrics", scene.stage.settings.internal_url())).await?.text().await?;
    for outcome in ["Token", "NotAccessible", "Unauthenticated"] {
        let counted = format!("liaison_hand_out_duration_seconds_count{{outcome=\"{outcome}\"}}");
        assert!(metrics.contains(&counted), "{counted}");
    }
    let log = handed_out_lines(&scene)?;
    let uid = user.pod.uid().context("uid")?;
    let who = ["service_account=\"tokens-canaries/user\"", "pod=\"user\"", &format!("pod_uid=\"{uid}\"")];
    assert!(log.iter().any(|line| who.iter().all(|field| line.contains(field))), "{log:?}");
    Ok(())
}

/// The lines of the operator's log that say what was handed out.
fn handed_out_lines(scene: &Scene) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(scene.stage.control_plane.directory())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("operator-") {
            let text = std::fs::read_to_string(&path)?;
            lines.extend(
                text.lines().filter(|line| line.contains("credential was handed out")).map(str::to_owned),
            );
        }
    }
    Ok(lines)
}
