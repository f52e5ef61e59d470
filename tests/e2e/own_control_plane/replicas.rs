//! Two replicas, of which one leads: every token is asked for once, whatever becomes of the leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use liaison::api::Connection;
use serde_json::{Value, json};

use super::{Stage, report};
use crate::fixtures::{Ground, client_credentials_connector};
use crate::support::guarded::Guarded;
use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider};
use crate::support::operator::{OPERATOR_NAMESPACE, Operator};
use crate::support::strict_provider::Answer;
use crate::support::waiting::{SOON, eventually};
use crate::world::OperatorSettings;

const CONNECTIONS: usize = 6;
const TOKEN_SECONDS: u32 = 4;
/// Refreshes of each Connection in each stretch between two faults.
const REFRESHES: i64 = 4;

struct Replica {
    settings: OperatorSettings,
    operator: Operator,
}

impl Replica {
    async fn start(stage: &Stage, identity: &str, exception: String) -> Result<Self> {
        let settings = OperatorSettings {
            exceptions: vec![exception],
            lease_seconds: 4,
            // One request at a time: a fault costs a replica at most the one token that was on its way.
            more: vec!["--concurrency=1".to_owned()],
            ..OperatorSettings::new(identity)?
        };
        let operator = settings.start(&stage.control_plane).await?;
        Ok(Self { settings, operator })
    }

    async fn start_again(self, stage: &Stage) -> Result<Self> {
        let Self { settings, operator } = self;
        drop(operator);
        let operator = settings.start(&stage.control_plane).await?;
        Ok(Self { settings, operator })
    }

    fn server(&mut self) -> &mut Guarded {
        self.operator.server()
    }

    /// Requests to providers, by its own count.
    async fn provider_calls(&self) -> Result<usize> {
        let text = reqwest::get(format!("{}/metrics", self.settings.internal_url())).await?.text().await?;
        let counts =
            text.lines().filter(|line| line.starts_with("liaison_provider_request_duration_seconds_count"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum())
    }
}

async fn until_leads(stage: &Stage, identity: &str) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(stage.control_plane.client().await?, OPERATOR_NAMESPACE);
    eventually(&format!("{identity} leads"), SOON, async || {
        let holder = leases.get("liaison-leader").await?.spec.and_then(|spec| spec.holder_identity);
        Ok((holder.as_deref() == Some(identity)).then_some(()))
    })
    .await
}

fn sequence(connection: &Connection) -> i64 {
    connection.status.clone().unwrap_or_default().token.map_or(0, |token| token.sequence)
}

async fn sequences(ground: &Ground) -> Result<Vec<i64>> {
    Ok(ground.connections().list(&ListParams::default()).await?.iter().map(sequence).collect())
}

/// Waits until every Connection has been refreshed a number of times from now on.
async fn refreshed(ground: &Ground) -> Result<()> {
    let before = sequences(ground).await?;
    eventually("every Connection is refreshed", Duration::from_mins(1), async || {
        let now = sequences(ground).await?;
        Ok(before.iter().zip(&now).all(|(before, now)| now >= &(before + REFRESHES)).then_some(()))
    })
    .await
}

fn connection(connector: &str) -> Value {
    json!({ "connectorRef": { "name": connector }, "oauthApp": { "secretRef": { "name": "app" } } })
}

#[tokio::test]
async fn each_token_is_asked_for_once_though_leaders_are_killed_and_frozen() -> Result<()> {
    let stage = Stage::new("replicas").await?;
    let oidc = OidcProvider::start(stage.control_plane.directory(), TOKEN_SECONDS).await?;
    let mut first = Replica::start(&stage, "first", oidc.authority()).await?;
    until_leads(&stage, "first").await?;
    let second = Replica::start(&stage, "second", oidc.authority()).await?;
    let ground = Ground::new(stage.control_plane.client().await?, "replicas").await?;
    let connector = json!({
        "displayName": "Certified provider",
        "authMethods": [{ "type": "OAuth2ClientCredentials", "oauth2": {
            "tokenURL": oidc.endpoint("token"), "scopes": { "default": ["read"] },
        } }],
    });
    ground.connector("oidc", connector).await?;
    ground.secret("app", &[("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]).await?;
    for number in 0..CONNECTIONS {
        ground.connection(&format!("connection-{number}"), connection("oidc")).await?;
    }
    for number in 0..CONNECTIONS {
        ground.until_ready(&format!("connection-{number}")).await?;
    }
    let requests = || oidc.requests("POST", "token");
    let surplus = async || -> Result<i64> {
        // The status follows the provider's answer at once: wait for a moment in which nothing is on its way.
        let mut least = i64::MAX;
        eventually("requests and tokens are compared", SOON, async || {
            let before = requests()?;
            let tokens: i64 = sequences(&ground).await?.iter().sum();
            least = least.min(i64::try_from(before)? - tokens);
            Ok((requests()? == before && least >= 0).then_some(()))
        })
        .await?;
        Ok(least)
    };

    refreshed(&ground).await?;
    ensure!(second.provider_calls().await? == 0, "the follower asked a provider");
    ensure!(first.provider_calls().await? > CONNECTIONS, "the leader did");
    let undisturbed = (requests()?, settled_surplus(&surplus, 0).await?);

    first.server().kill_now()?;
    until_leads(&stage, "second").await?;
    refreshed(&ground).await?;
    let killed = settled_surplus(&surplus, 1).await?;
    let first = first.start_again(&stage).await?;

    let mut second = second;
    second.server().signal("STOP")?;
    until_leads(&stage, "first").await?;
    refreshed(&ground).await?;
    second.server().signal("CONT")?;
    // It finds that it leads no more, and ends, so that it can start anew as a follower.
    second.server().wait_exit(SOON).await?;
    refreshed(&ground).await?;
    let frozen = settled_surplus(&surplus, killed + 1).await?;
    let second = second.start_again(&stage).await?;
    refreshed(&ground).await?;
    ensure!(second.provider_calls().await? == 0, "a follower asked a provider");
    ensure!(first.provider_calls().await? > CONNECTIONS, "the leader did");

    let total: i64 = sequences(&ground).await?.iter().sum();
    let surplus = settled_surplus(&surplus, frozen).await?;
    report(&format!(
        "replicas: {total} tokens of {CONNECTIONS} connections; requests beyond one per token: {} of {} undisturbed, \
         {killed} after a killed leader, {frozen} after a frozen one as well, {surplus} at the end",
        undisturbed.1, undisturbed.0,
    ));
    Ok(())
}

/// Requests beyond one per token, once the last answers have become tokens.
async fn settled_surplus(surplus: &impl AsyncFn() -> Result<i64>, most: i64) -> Result<i64> {
    eventually(&format!("at most {most} requests beyond one per token"), Duration::from_secs(5), async || {
        let surplus = surplus().await?;
        ensure!(surplus <= most, "{surplus} requests too many");
        Ok(Some(surplus))
    })
    .await
}

#[tokio::test]
async fn a_leader_frozen_while_it_waits_for_a_token_changes_nothing_when_it_wakes_up() -> Result<()> {
    let stage = Stage::new("frozen").await?;
    let mut first = Replica::start(&stage, "first", stage.provider.authority()).await?;
    until_leads(&stage, "first").await?;
    let process = first.server().id().to_string();
    let (freeze, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (armed, reached) = (Arc::clone(&freeze), Arc::clone(&asked));
    stage.script(move |request| {
        Some(match request.path.as_str() {
            "/token" => {
                let frozen = armed.swap(false, Ordering::Relaxed);
                if frozen {
                    // Before the answer: it lies in the operator's socket until it wakes up.
                    assert!(
                        std::process::Command::new("kill")
                            .args(["-STOP", &process])
                            .status()
                            .unwrap()
                            .success()
                    );
                    reached.store(true, Ordering::Relaxed);
                }
                let lifetime = if frozen { 3600 } else { TOKEN_SECONDS };
                Answer::json(200, &json!({ "access_token": "issued", "expires_in": lifetime }))
            }
            "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
            _ => return None,
        })
    });
    let ground = Ground::new(stage.control_plane.client().await?, "frozen").await?;
    ground.connector("scripted", client_credentials_connector(&|path| stage.provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
    ground.connection("one", connection("scripted")).await?;
    ground.until_ready("one").await?;
    let second = Replica::start(&stage, "second", stage.provider.authority()).await?;
    freeze.store(true, Ordering::Relaxed);
    eventually("the leader freezes in a request", SOON, async || {
        Ok(asked.load(Ordering::Relaxed).then_some(()))
    })
    .await?;
    ensure!(second.provider_calls().await? == 0, "the follower asked a provider");

    until_leads(&stage, "second").await?;
    refreshed(&ground).await?;
    let known = sequences(&ground).await?;
    first.server().signal("CONT")?;
    first.server().wait_exit(SOON).await?;
    let woken = sequences(&ground).await?;
    ensure!(woken >= known, "the woken leader took the status back from token {known:?} to {woken:?}");
    refreshed(&ground).await?;

    // Had the late answer been stored, there would be no refresh for an hour; and it is the only one too many.
    let one = ground.connections().get("one").await?;
    let requests = i64::try_from(stage.provider.count("/token"))?;
    let surplus = eventually("requests and tokens are compared", SOON, async || {
        let (before, one) = (stage.provider.count("/token"), ground.connections().get("one").await?);
        let surplus = i64::try_from(before)? - sequence(&one);
        Ok((stage.provider.count("/token") == before && surplus <= 1).then_some(surplus))
    })
    .await
    .with_context(|| format!("{requests} requests, {} tokens", sequence(&one)))?;
    report(&format!("replicas: {} tokens, {surplus} request too many by the frozen leader", sequence(&one)));
    ensure!(surplus == 1, "the answer to the frozen leader is lost, and no other: {surplus}");
    Ok(())
}
