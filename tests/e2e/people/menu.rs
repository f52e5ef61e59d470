//! What a person is refused who acts on one connection of many, in a cluster that asks the operator.

use anyhow::{Context as _, Result};
use kube::api::DeleteParams;
use liaison::api::Connection;
use liaison::domain::consumers::deletion_refused;
use serde_json::json;

use crate::fixtures::{Ground, HEALS};
use crate::rows::menu::{bound, team};
use crate::support::waiting::eventually;
use crate::terminal::Terminal;

#[tokio::test]
async fn n24_a_connection_in_use_is_deleted_only_by_who_says_its_name() -> Result<()> {
    let (ground, kubeconfig) = team("n24").await?;
    let other = Ground::new(ground.client.clone(), "n24-other").await?;
    ground.connection("crm", json!({ "connectorRef": { "name": "no-such-application" } })).await?;
    bound(&ground, "report", &ground, "crm").await?;
    bound(&other, "quiet-project", &ground, "crm").await?;
    let consumers = |now: &Connection| now.status.as_ref().and_then(|status| status.consumers.clone());
    let used = ground
        .until_is("crm", "is in use", |now| consumers(now).is_some_and(|consumers| consumers.count == 2))
        .await?;
    let error =
        ground.connections().delete("crm", &DeleteParams::default()).await.err().context("refused")?;
    let words = deletion_refused("n24", "crm", consumers(&used).as_ref()).context("words")?;
    assert!(error.to_string().contains(&words), "{error}");

    for typed in ["", "yes\n", "CRM\n"] {
        let ended = Terminal::typing(&kubeconfig, &["delete", "crm"], typed).await?;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let users = "Processes use it and would stop working: \"report\", 1 of other folders";
        assert!(ended.output.contains(users) && ended.output.contains("\"crm\" stays"), "{ended:?}");
    }
    let annotations = ground.connections().get("crm").await?.metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key("liaison.dev/confirm-delete"), "{annotations:?}");

    let ended = Terminal::run(&kubeconfig, &["delete", "crm", "--confirm"]).await?;
    assert_eq!((ended.code, ended.output.ends_with("\"crm\" is deleted")), (Some(0), true), "{ended:?}");
    eventually("it is gone", HEALS, async || {
        Ok(ground.connections().get_opt("crm").await?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn n08_a_rename_to_a_name_that_is_taken_is_refused_in_plain_words() -> Result<()> {
    let (ground, kubeconfig) = team("n08").await?;
    let named =
        |name: &str| json!({ "connectorRef": { "name": "no-such-application" }, "displayName": name });
    ground.connection("a", named("Sales")).await?;
    ground.connection("b", named("Marketing")).await?;
    let words = "display name \"Sales\" is already used in folder \"n08\"";
    let refused = eventually("the name is known to be taken", HEALS, async || {
        let ended = Terminal::run(&kubeconfig, &["rename", "b", "Sales"]).await?;
        if ended.code == Some(0) {
            ground.patch("b", json!({ "spec": { "displayName": "Marketing" } })).await?;
        }
        Ok(Some(ended).filter(|ended| ended.code == Some(1)))
    })
    .await?;
    assert!(refused.complaint.trim_end().ends_with(words), "{refused:?}");
    for (bad, part) in [("", "at least 1 chars"), (&*"x".repeat(129), "may not be more than 128")] {
        let ended = Terminal::run(&kubeconfig, &["rename", "b", bad]).await?;
        assert!(ended.code == Some(1) && ended.complaint.contains(part), "{ended:?}");
    }
    Ok(())
}
