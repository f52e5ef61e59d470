//! Slots of processes, and what users choose for them.

use anyhow::Result;
use kube::api::{Api, Patch, PatchParams};
use liaison::api::ProcessBinding;
use liaison::api::process_binding::Requirement;
use serde_json::{Value, json};

use super::binding::working;
use crate::binding::ready_message;
use crate::fixtures::HEALS;
use crate::support::waiting::{SOON, eventually, holds_for};
use crate::world::World;

#[tokio::test]
async fn n18_a_slot_says_what_it_is_for_and_whether_what_it_needs_is_there() -> Result<()> {
    let (ground, _provider) = working("n18").await?;
    ground.grant_use().await?;
    let slot = |spec: Value| {
        let mut spec = spec;
        spec["purpose"] = "announces orders".into();
        spec
    };
    ground.bind("there", "n18", slot(json!({ "connectionRef": { "name": "c" } }))).await?;
    ground.bind("not-there", "n18", slot(json!({ "connectionRef": { "name": "d" } }))).await?;
    ground.bind("of-users", "n18", slot(json!({ "configurableByUsers": true }))).await?;
    for (name, requirement) in [("there", "Available"), ("not-there", "Missing"), ("of-users", "Unknown")] {
        eventually(&format!("{name} is {requirement}"), HEALS, async || {
            let status = ground.bindings().get(name).await?.status.unwrap_or_default();
            let seen = status.observed_generation.is_some();
            Ok(status.requirement.filter(|found| seen && format!("{found:?}") == requirement))
        })
        .await?;
    }
    let wide = ["get", "processbindings", "--namespace", "n18", "--output", "wide"];
    let listed = World::shared().control_plane.run_kubectl(&wide)?;
    for word in
        ["REQUIREMENT", "Available", "Missing", "Unknown", "announces orders", "ConnectionNotAccessible"]
    {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    Ok(())
}

#[tokio::test]
async fn s67_what_users_choose_stays_empty_even_with_a_default_in_the_folder() -> Result<()> {
    let (ground, _provider) = working("s67").await?;
    ground.grant_use().await?;
    ground.patch("c", json!({ "spec": { "default": true } })).await?;
    ground.bind("orders", "s67", json!({ "configurableByUsers": true })).await?;
    let empty = ground.until_binding("orders", "False", "AwaitingUserConfiguration").await?;
    let is_empty = |binding: &ProcessBinding| {
        let status = binding.status.clone().unwrap_or_default();
        status.connection.is_none()
            && status.binding.is_none()
            && status.requirement == Some(Requirement::Unknown)
    };
    assert!(is_empty(&empty));
    let bindings = ground.bindings();
    holds_for("it stays empty", std::time::Duration::from_secs(2), async || {
        Ok(is_empty(&bindings.get("orders").await?))
    })
    .await?;
    let secret =
        json!({ "connectorRef": { "name": "s67" }, "configurableByUsers": true, "secretName": "orders" });
    let error = format!("{:#}", ground.bind("other", "s67", secret).await.unwrap_err());
    assert!(error.contains("spec.secretName is not for spec.configurableByUsers"), "{error}");
    Ok(())
}

#[tokio::test]
async fn s68_once_a_user_has_chosen_their_runs_take_it_and_others_stay_as_they_are() -> Result<()> {
    let (ground, _provider) = working("s68").await?;
    ground.grant_use().await?;
    ground.bind("orders", "s68", json!({ "configurableByUsers": true })).await?;
    ground.until_binding("orders", "False", "AwaitingUserConfiguration").await?;
    let world = World::shared();
    let (ada, bob) = ("ada-of-s68", "bob-of-s68");
    for user in [ada, bob] {
        let name = format!("--user={user}");
        for role in ["admin", "liaison-connection-user"] {
            let bind = format!("{role}-{user}");
            let role = format!("--clusterrole={role}");
            world.control_plane.run_kubectl(&[
                "create",
                "rolebinding",
                &bind,
                &role,
                &name,
                "--namespace",
                "s68",
            ])?;
        }
        let edit = format!("edits-{user}");
        let role = "--clusterrole=edits-bindings-of-s68";
        let _ = world.control_plane.run_kubectl(&[
            "create",
            "clusterrole",
            "edits-bindings-of-s68",
            "--verb=get,patch",
            "--resource=processbindings.liaison.dev",
        ]);
        world.control_plane.run_kubectl(&[
            "create",
            "rolebinding",
            &edit,
            role,
            &name,
            "--namespace",
            "s68",
        ])?;
    }
    let choose = async |user: &str, all: &[(&str, &str)]| -> Result<()> {
        let client = world.control_plane.client_as(user, &[]).await?;
        let bindings: Api<ProcessBinding> = Api::namespaced(client, "s68");
        let choices: Vec<_> = all
            .iter()
            .map(|(user, name)| json!({ "user": user, "connectionRef": { "name": name } }))
            .collect();
        let patch = Patch::Merge(json!({ "spec": { "choices": choices } }));
        eventually(&format!("{user} chooses"), SOON, async || {
            Ok(Some(bindings.patch("orders", &PatchParams::default(), &patch).await?))
        })
        .await?;
        Ok(())
    };
    choose(ada, &[(ada, "c")]).await?;
    let chosen = ground.until_binding("orders", "True", "Bound").await?;
    assert!(
        ready_message(&chosen).starts_with("1 of 1 users' choices can be used"),
        "{}",
        ready_message(&chosen)
    );
    choose(bob, &[(ada, "c"), (bob, "not-there")]).await?;
    let both = eventually("both choices are judged", HEALS, async || {
        let binding = ground.bindings().get("orders").await?;
        Ok(Some(ready_message(&binding)).filter(|message| message.starts_with("1 of 2 users' choices")))
    })
    .await?;
    assert!(both.contains("user \"bob-of-s68\": ConnectionNotAccessible: "), "{both}");
    Ok(())
}
