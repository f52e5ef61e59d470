//! The listener of `kubectl liaison connect` on the person's own machine.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::ListParams;
use liaison::api::ConsentRequest;
use liaison::api::consent_request::Phase;
use reqwest::Url;
use serde_json::json;

use super::plugin::at_script;
use crate::person::loopback;
use crate::support::strict_provider::Answer;
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::Walker;
use crate::terminal::{Terminal, kubeconfig_of};
use crate::welcome::{Welcome, pass_through};
use crate::world::World;

/// Where a browser is sent with its receipt.
pub(super) async fn returned(walker: &mut Walker, link: &str) -> Result<Url> {
    let callback = pass_through(walker, link).await?;
    loopback(walker, &callback).await
}

/// Whatever is not this machine's own address with a receipt in its shape is not valid there.
async fn is_its_own_alone(receipt: &Url) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut elsewhere = receipt.clone();
    elsewhere.set_path("/elsewhere");
    let mut another = receipt.clone();
    another.set_query(Some("receipt=short"));
    let port = receipt.port().context("port")?;
    for (url, host) in [
        (receipt, format!("localhost:{port}")),
        (receipt, format!("attacker.example.com:{port}")),
        (receipt, "127.0.0.1".to_owned()),
        (&elsewhere, format!("127.0.0.1:{port}")),
        (&another, format!("127.0.0.1:{port}")),
    ] {
        let answer = client.get(url.clone()).header("host", &host).send().await?;
        assert_eq!(answer.status(), 404, "{url} {host}");
        assert!(answer.text().await?.contains("This link is not valid"));
    }
    assert_eq!(client.post(receipt.clone()).send().await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn the_listener_answers_its_own_address_alone_and_shows_the_outcome_as_often_as_asked() -> Result<()> {
    let (ground, provider) = at_script("listener").await?;
    ground.patch("crm", json!({ "spec": { "displayName": "Payroll" } })).await?;
    let (release, held) = sync_channel::<()>(0);
    let held = Mutex::new(held);
    let kubeconfig = kubeconfig_of(World::shared().control_plane, None, Some("listener"))?;
    let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm"])?;
    let link = terminal.link().await?;
    let mut walker = Walker::new();
    let receipt = returned(&mut walker, &link).await?;

    is_its_own_alone(&receipt).await?;
    assert_eq!(provider.count("/token"), 0, "none of these was taken for the person's own");

    // The person is impatient: they load the page again before the provider has answered.
    provider.script(move |request| match request.path.as_str() {
        "/token" => {
            let _ = held.lock().map(|held| held.recv_timeout(Duration::from_secs(20)));
            Some(Welcome::default().token)
        }
        _ => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
    });
    let client = reqwest::Client::builder().no_proxy().build()?;
    let load = || {
        let request = client.get(receipt.clone()).send();
        tokio::spawn(async move { request.await?.text().await })
    };
    let pages = [load(), load()];
    let requests: Api<ConsentRequest> = Api::namespaced(ground.client.clone(), "listener");
    eventually("the code is being redeemed", SOON, async || {
        let all = requests.list(&ListParams::default()).await?.items;
        let phase = all.first().and_then(|request| request.status.as_ref()?.phase);
        Ok((phase == Some(Phase::Redeeming)).then_some(()))
    })
    .await?;
    release.send(())?;
    for page in pages {
        let text = page.await??;
        for part in ["Connected", "Payroll", "listener/crm", "ada"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(terminal.end().await?.code, Some(0));
    Ok(())
}
