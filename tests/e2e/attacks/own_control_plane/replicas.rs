//! One cookie, one link and one receipt, at two replicas at once.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use liaison::api::consent_request::Phase;
use reqwest::{Method, Url};

use super::super::{CRM, forget, person, query, sessions, visit};
use super::{Installation, phase_of};
use crate::person::{ask, leave, secret, sign_in};
use crate::support::walker::Walker;

/// The link or the session is used, or the site's limit for all was reached by the tests that run beside.
const TURNED_AWAY: [u16; 2] = [409, 429];

/// How often both replicas are asked at once.
const ROUNDS: usize = 6;

/// The address at the leader and at the follower, twice each.
fn at_both(installation: &Installation, url: &Url) -> Result<Vec<Url>> {
    let mut other = url.clone();
    other.set_port(Some(installation.follower.public_port)).ok().context("a port")?;
    Ok(vec![url.clone(), other.clone(), url.clone(), other])
}

#[tokio::test]
async fn one_session_returns_once_though_two_replicas_are_asked() -> Result<()> {
    let installation = Installation::shared()?;
    let ground = installation.ground("attack-replicas").await?;
    let ada = person(&installation.control_plane, &ground, "ada", "liaison-connection-user").await?;
    for round in 0..ROUNDS {
        let asked = ask(&ada, &ground, CRM).await?;
        let mut walker = Walker::new();
        let page = leave(&mut walker, &asked.link().await?).await?;
        let callback = sign_in(&mut walker, page, &installation.leader.public_url()).await?;
        let cookies = sessions(&walker);
        let addresses = at_both(installation, &callback)?;
        let visits = addresses.iter().map(|address| visit(Method::GET, address, &cookies));
        let mut receipts = Vec::new();
        for page in try_join_all(visits).await? {
            match page.leads_to()? {
                Some(target) => receipts.push(query(&target, "receipt")),
                None => ensure!(TURNED_AWAY.contains(&page.status), "round {round}: {}", page.status),
            }
        }
        ensure!(receipts.len() == 1, "round {round}: {} receipts", receipts.len());
        ensure!(phase_of(&asked).await? == Phase::Returned);
        // Whatever else was handed out, it is not what stands there now.
        asked.hand_in(&secret()?).await?;
        ensure!(asked.failure().await? == "ReceiptMismatch");
    }
    installation.nothing_came_of_it(&ground).await
}

#[tokio::test]
async fn one_link_departs_once_though_two_replicas_are_asked() -> Result<()> {
    let installation = Installation::shared()?;
    let ground = installation.ground("attack-departures").await?;
    let ada = person(&installation.control_plane, &ground, "ada", "liaison-connection-user").await?;
    for round in 0..ROUNDS {
        let asked = ask(&ada, &ground, CRM).await?;
        let link: Url = asked.link().await?.parse()?;
        let form = [("start".to_owned(), asked.start.clone())];
        let departures = at_both(installation, &link)?.into_iter().map(async |address| {
            let mut walker = Walker::new();
            let page = walker.once(Method::POST, &address, Some(&form)).await?;
            anyhow::Ok((page.status, sessions(&walker).len()))
        });
        let departed = try_join_all(departures).await?;
        let first = departed.iter().filter(|departed| **departed == (200, 1)).count();
        let turned_away = |(status, sessions): &&(u16, usize)| TURNED_AWAY.contains(status) && *sessions == 0;
        let others = departed.iter().filter(turned_away).count();
        ensure!((first, others) == (1, 3), "round {round}: {departed:?}");
        forget(&asked).await?;
    }
    installation.nothing_came_of_it(&ground).await
}
