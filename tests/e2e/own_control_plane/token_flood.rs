//! Forged tokens from many addresses at the token endpoint, and who is answered all the same.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::report;
use super::token_endpoint::Scene;
use crate::support::waiting::{SOON, eventually, holds_for};
use crate::workload::Workload;

/// Three times as many as it takes to use up what all new tokens together had, were there one limit for them.
const ATTACKERS: u8 = 30;

/// How often each of them asks: more often than one address may bring new tokens.
const PAUSE: Duration = Duration::from_millis(100);

/// Longer than an answer about a token is good for, so that known workloads have to be looked at again.
const FLOOD: Duration = Duration::from_secs(22);

const NEW_WORKLOADS: u8 = 10;

#[derive(Default)]
struct Answers {
    rejected: AtomicUsize,
    held_back: AtomicUsize,
}

impl Answers {
    fn so_far(&self) -> (usize, usize) {
        (self.rejected.load(Ordering::Relaxed), self.held_back.load(Ordering::Relaxed))
    }
}

/// Brings one forged token after the other, without an end.
async fn attack(attacker: &Workload<'_>, good: &str, form: &[(&str, &str)], answers: &Answers) -> Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let forged = format!("{}{number:08}", &good[..good.len() - 8]);
        let answer = attacker.ask_once(&forged, form).await?;
        match answer.status {
            401 => answers.rejected.fetch_add(1, Ordering::Relaxed),
            429 => answers.held_back.fetch_add(1, Ordering::Relaxed),
            other => anyhow::bail!("{other} {}", answer.text),
        };
    }
}

async fn is_answered(user: &Workload<'_>, token: &str, form: &[(&str, &str)]) -> Result<()> {
    let answer = user.ask_once(token, form).await?;
    ensure!(answer.status == 200, "{}: {} {}", user.name, answer.status, answer.body["error"]);
    Ok(())
}

/// Known workloads and new ones, while the flood is on.
async fn others_are_answered(
    scene: &Scene,
    known: &Workload<'_>,
    form: &[(&str, &str)],
    answers: &Answers,
) -> Result<()> {
    let token = known.token().await?;
    is_answered(known, &token, form).await?;
    let mut new = Vec::new();
    for number in 1..=NEW_WORKLOADS {
        let user = scene.user("new").await?.from(IpAddr::V4(Ipv4Addr::new(127, 0, 2, number))).await?;
        let token = user.token().await?;
        new.push((user, token));
    }
    eventually("the flood is more than is looked at", SOON, async || {
        Ok((answers.so_far().1 > 500).then_some(()))
    })
    .await?;
    for (user, token) in &new {
        is_answered(user, token, form).await?;
    }
    holds_for("a known workload is answered each time", FLOOD, async || {
        is_answered(known, &token, form).await?;
        Ok(true)
    })
    .await?;
    // They are known by now, and have to be looked at again too.
    for (user, token) in &new {
        is_answered(user, token, form).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_from_many_addresses_starve_neither_a_known_workload_nor_a_new_one() -> Result<()> {
    let scene = Scene::new("tokens-flood").await?;
    let connection = scene.connection();
    let form = [("connection", connection.as_str())];
    let known = scene.user("known").await?;
    // The right has just been given; the authorizer of the API server may be a moment behind.
    eventually("the first answer", SOON, async || {
        let answer = known.ask(&known.token().await?, &form).await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    let mut attackers = Vec::new();
    for number in 1..=ATTACKERS {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number));
        attackers.push(scene.workload("attacker").await?.from(address).await?);
    }
    let good = attackers[0].token().await?;
    let answers = Answers::default();
    let flood = try_join_all(attackers.iter().map(|attacker| attack(attacker, &good, &form, &answers)));
    tokio::select! {
        ended = flood => drop(ended?),
        answered = others_are_answered(&scene, &known, &form, &answers) => answered?,
    }
    let (rejected, held_back) = answers.so_far();
    report(&format!(
        "token endpoint: of {} forged tokens from {ATTACKERS} addresses {rejected} were reviewed, {held_back} held back; a known workload and {NEW_WORKLOADS} new ones were answered each time",
        rejected + held_back,
    ));
    Ok(())
}
