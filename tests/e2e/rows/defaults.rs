//! Which connection of a folder is taken where nobody names one.

use std::time::Duration;

use anyhow::Result;
use kube::api::DeleteParams;
use liaison::api::Connection;
use liaison::domain::conditions::{self, ConditionType};
use liaison::domain::lookup::the_default;
use serde_json::{Value, json};

use crate::fixtures::{Ground, message};
use crate::support::waiting::holds_for;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A Connection for an application that nobody describes: that takes no part in which one is the default.
fn marked(default: bool) -> Value {
    json!({ "connectorRef": { "name": "no-such-application" }, "default": default })
}

/// `effectiveDefault` and what DefaultApplied says.
fn standing(connection: &Connection) -> (Option<bool>, String) {
    let status = connection.status.clone().unwrap_or_default();
    let applied = conditions::find(&status.conditions, ConditionType::DefaultApplied);
    let applied = applied.map(|applied| format!("{}/{}", applied.status, applied.reason));
    (status.effective_default, applied.unwrap_or_default())
}

async fn until_stands(
    ground: &Ground,
    name: &str,
    effective: Option<bool>,
    applied: &str,
) -> Result<Connection> {
    let wanted = (effective, applied.to_owned());
    let looked_at = |connection: &Connection| {
        let status = connection.status.as_ref();
        status.and_then(|status| status.observed_generation) == connection.metadata.generation
    };
    let what = format!("stands {wanted:?}");
    ground.until_is(name, &what, |connection| looked_at(connection) && standing(connection) == wanted).await
}

/// What a look-up by default finds now, in the words that it is told in.
async fn looked_up(ground: &Ground) -> Result<String> {
    let all = ground.connections().list(&kube::api::ListParams::default()).await?;
    Ok(match the_default(&ground.namespace, "no-such-application", &all.items) {
        Ok(found) => found.metadata.name.clone().unwrap_or_default(),
        Err(blocked) => format!("{}: {}", blocked.reason, blocked.message),
    })
}

#[tokio::test]
async fn s25_the_flag_set_last_wins_both_are_told_and_the_specs_stay_as_people_wrote_them() -> Result<()> {
    let ground = ground("s25").await?;
    ground.connection("a", marked(true)).await?;
    until_stands(&ground, "a", Some(true), "False/OnlyConnection").await?;
    ground.connection("b", marked(false)).await?;
    let first = until_stands(&ground, "a", Some(true), "True/DefaultApplied").await?;
    until_stands(&ground, "b", Some(false), "").await?;
    assert_eq!(looked_up(&ground).await?, "a");

    // Times are kept in seconds.
    let since = first.status.clone().unwrap_or_default().default_since.map(|since| since.0);
    ground
        .until_is("a", "was marked in an earlier second", |_| {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
            i64::try_from(now).is_ok_and(|now| now > since.unwrap_or_default().as_second())
        })
        .await?;
    ground.connection("b", marked(true)).await?;
    until_stands(&ground, "b", Some(true), "True/DefaultApplied").await?;
    let superseded = until_stands(&ground, "a", Some(false), "False/Superseded").await?;
    let text = message(&superseded, ConditionType::DefaultApplied);
    assert!(text.starts_with("connection \"b\" was made the default later"), "{text}");
    assert!(superseded.spec.default, "the spec is the person's");
    assert_eq!(superseded.metadata.generation, first.metadata.generation, "the operator writes no spec");
    assert_eq!(superseded.status.unwrap_or_default().default_since.map(|since| since.0), since);
    ground.until_event("a", "Superseded").await?;
    ground.until_event("b", "DefaultApplied").await?;
    assert_eq!(looked_up(&ground).await?, "b");

    let kubectl = |arguments: &[&str]| World::shared().control_plane.run_kubectl(arguments);
    let table = kubectl(&["get", "connections", "-n", "s25"])?;
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(cells[1].contains(&"false") && cells[2].contains(&"true"), "{table}");
    Ok(())
}

#[tokio::test]
async fn s26_the_only_connection_is_the_choice_and_its_flag_is_told_to_need_two() -> Result<()> {
    let ground = ground("s26").await?;
    ground.connection("a", marked(false)).await?;
    until_stands(&ground, "a", Some(true), "").await?;
    assert_eq!(looked_up(&ground).await?, "a");
    ground.connection("a", marked(true)).await?;
    let only = until_stands(&ground, "a", Some(true), "False/OnlyConnection").await?;
    assert_eq!(
        message(&only, ConditionType::DefaultApplied),
        "connection \"a\" is the only one for connector \"no-such-application\" in folder \"s26\"; a default needs at \
         least two"
    );
    assert_eq!(looked_up(&ground).await?, "a");
    ground.connection("a", marked(false)).await?;
    let unmarked = until_stands(&ground, "a", Some(true), "").await?;
    assert_eq!(unmarked.status.unwrap_or_default().default_since, None);
    Ok(())
}

#[tokio::test]
async fn s27_without_its_default_a_folder_has_none_is_told_once_and_the_last_one_is_the_choice() -> Result<()>
{
    let ground = ground("s27").await?;
    for (name, default) in [("a", true), ("b", false), ("c", false)] {
        ground.connection(name, marked(default)).await?;
    }
    for (name, effective, applied) in [("a", true, "True/DefaultApplied"), ("b", false, ""), ("c", false, "")]
    {
        until_stands(&ground, name, Some(effective), applied).await?;
    }
    ground.connections().delete("a", &DeleteParams::default()).await?;
    for name in ["b", "c"] {
        until_stands(&ground, name, None, "").await?;
        ground.until_event(name, "DefaultRemoved").await?;
    }
    let text = looked_up(&ground).await?;
    assert!(text.starts_with("NoDefaultConnection: namespace \"s27\" has 2 connections"), "{text}");
    ground.annotate("b", "example.org/note", "looked at again").await?;
    let told_once = async || {
        let events = ground.events("b").await?;
        Ok(events.iter().filter(|reason| *reason == "DefaultRemoved").count() == 1)
    };
    holds_for("it is told once", Duration::from_secs(2), told_once).await?;

    ground.connections().delete("b", &DeleteParams::default()).await?;
    until_stands(&ground, "c", Some(true), "").await?;
    assert_eq!(looked_up(&ground).await?, "c");
    Ok(())
}

#[tokio::test]
async fn s27_of_several_flags_the_next_one_follows_when_the_default_goes() -> Result<()> {
    let ground = ground("s27-next").await?;
    // Made in one second or in two: the later one is the default either way, by its name if by nothing else.
    for name in ["a", "b", "c"] {
        ground.connection(name, marked(name != "c")).await?;
    }
    until_stands(&ground, "b", Some(true), "True/DefaultApplied").await?;
    until_stands(&ground, "a", Some(false), "False/Superseded").await?;
    ground.connections().delete("b", &DeleteParams::default()).await?;
    until_stands(&ground, "a", Some(true), "True/DefaultApplied").await?;
    until_stands(&ground, "c", Some(false), "").await?;
    assert_eq!(looked_up(&ground).await?, "a");
    Ok(())
}
