//! What people see with kubectl and its plugin.

use std::process::Command;

use anyhow::Result;
use liaison::domain::conditions::ConditionType;
use serde_json::json;

use crate::fixtures::{Ground, token_connector};
use crate::support::control_plane::output_of;
use crate::support::strict_provider::Answer;
use crate::world::World;

async fn two_connections(name: &str) -> Result<Ground> {
    let world = World::shared();
    let ground = Ground::new(world.control_plane.client().await?, name).await?;
    let provider = world.provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector(name, token_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    for (connection, display_name) in [("first", "First one"), ("second", "Second one")] {
        let spec = json!({
            "connectorRef": { "name": name }, "displayName": display_name,
            "credentials": { "secretRef": { "name": "pat" } },
        });
        ground.connection(connection, spec).await?;
        ground.until_ready(connection).await?;
    }
    Ok(ground)
}

#[tokio::test]
async fn s21_a_folder_lists_the_same_connections_by_itself_and_among_all() -> Result<()> {
    let ground = two_connections("s21").await?;
    let kubectl = |arguments: &[&str]| World::shared().control_plane.run_kubectl(arguments);
    let names = "jsonpath={range .items[?(@.metadata.namespace==\"s21\")]}{.metadata.name} {end}";
    let alone = kubectl(&["get", "connections", "-n", &ground.namespace, "-o", names])?;
    let among_all = kubectl(&["get", "connections", "-A", "-o", names])?;
    assert_eq!((alone.trim(), among_all.trim()), ("first second", "first second"));
    let by_field = kubectl(&[
        "get",
        "connections",
        "-A",
        "--field-selector",
        "spec.connectorRef.name=s21",
        "-o",
        "name",
    ])?;
    assert_eq!(by_field.lines().count(), 2);
    Ok(())
}

#[tokio::test]
async fn s22_a_list_shows_what_people_ask_for() -> Result<()> {
    let ground = two_connections("s22").await?;
    let kubectl = |arguments: &[&str]| World::shared().control_plane.run_kubectl(arguments);
    let default = ["get", "connections", "-n", "s22", "-o", "jsonpath={.items[*].status.effectiveDefault}"];
    assert_eq!(kubectl(&default)?, "", "of two, none is the default until somebody says so");
    ground.patch("first", json!({ "spec": { "default": true } })).await?;
    ground.until("first", ConditionType::DefaultApplied, "True", "DefaultApplied").await?;
    let table = kubectl(&["get", "connections", "-n", &ground.namespace])?;
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default().split("  ").map(str::trim).filter(|word| !word.is_empty());
    let heading: Vec<_> = heading.collect();
    assert_eq!(
        heading,
        ["NAME", "DISPLAY NAME", "CONNECTOR", "ACCOUNT", "STATE", "READY", "DEFAULT", "AUTH TYPE", "AGE"]
    );
    let first = lines.next().unwrap_or_default();
    for word in ["First one", "ada", "Connected", "True", " true ", "PersonalAccessToken"] {
        assert!(first.contains(word), "{first}");
    }
    let wide = kubectl(&["get", "connections", "-n", &ground.namespace, "-o", "wide"])?;
    assert!(wide.lines().next().unwrap_or_default().trim_end().ends_with("REASON"), "{wide}");
    assert!(wide.lines().nth(1).unwrap_or_default().trim_end().ends_with("Ready"), "{wide}");

    let integration = kubectl(&["get", "integration", "-n", &ground.namespace, "-o", "name"])?;
    assert!(integration.contains("connection.liaison.dev/first"), "{integration}");
    let explained = kubectl(&["explain", "connection.spec.credentials.secretRef"])?;
    assert!(explained.contains("liaison.dev/credentials"), "{explained}");
    Ok(())
}

#[tokio::test]
async fn the_plugin_lists_shows_and_verifies_with_the_callers_own_rights() -> Result<()> {
    let ground = two_connections("plugin").await?;
    let kubeconfig = World::shared().control_plane.kubeconfig();
    let plugin = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-liaison"));
        output_of(command.args(arguments).args(["-n", &ground.namespace]).env("KUBECONFIG", kubeconfig))
    };
    let list = plugin(&["list", "--connector", "plugin"])?;
    assert!(list.contains("first") && list.contains("second") && list.contains("ada"), "{list}");
    let shown = plugin(&["show", "first"])?;
    for line in ["Folder:      plugin", "Account:     ada", "State:       Connected"] {
        assert!(shown.contains(line), "{shown}");
    }
    let verified = plugin(&["verify", "first"])?;
    assert!(verified.trim_end().ends_with("Succeeded"), "{verified}");
    let unknown = plugin(&["verify", "nobody"]).unwrap_err();
    assert!(format!("{unknown:#}").contains("nobody"), "{unknown:#}");
    Ok(())
}
