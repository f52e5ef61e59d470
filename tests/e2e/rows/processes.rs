//! Who configures processes, and what they may be bound to.

use anyhow::{Context as _, Result};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use liaison::api::{Connection, ProcessBinding};
use serde_json::{Value, json};

use super::binding::{holds_token, make_use_role, to, working};
use super::examples;
use crate::binding::{ACCOUNT, process, ready_message};
use crate::fixtures::{Ground, HEALS};
use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::repository;
use crate::support::waiting::{SOON, eventually};
use crate::world::World;

/// Somebody who writes bindings of a namespace, may use its connections, and changes none of them.
async fn consumer(namespace: &str, user: &str) -> Result<Client> {
    let world = World::shared();
    let kubectl = |arguments: &[&str]| world.control_plane.run_kubectl(arguments).map(drop);
    let (role, in_namespace) = (format!("consumes-{user}"), format!("--namespace={namespace}"));
    let resource = "--resource=processbindings.liaison.dev";
    kubectl(&[
        "create",
        "role",
        &role,
        "--verb=get,list,watch,create,patch,update,delete",
        resource,
        &in_namespace,
    ])?;
    kubectl(&[
        "create",
        "rolebinding",
        &role,
        &format!("--role={role}"),
        &format!("--user={user}"),
        &in_namespace,
    ])?;
    make_use_role().await?;
    let use_role = format!("uses-{user}");
    let role = "--clusterrole=liaison-connection-use";
    kubectl(&["create", "rolebinding", &use_role, role, &format!("--user={user}"), &in_namespace])?;
    let client = world.control_plane.client_as(user, &[]).await?;
    let bindings: Api<ProcessBinding> = Api::namespaced(client.clone(), namespace);
    eventually("the API server knows the roles", SOON, async || {
        Ok(bindings.list(&ListParams::default()).await.is_ok().then_some(()))
    })
    .await?;
    Ok(client)
}

#[tokio::test]
async fn s34_who_changes_no_connection_gives_a_process_one_and_it_runs() -> Result<()> {
    let (ground, _provider) = working("s34").await?;
    ground.grant_use().await?;
    let client = consumer("s34", "s34-consumer").await?;
    let connections: Api<Connection> = Api::namespaced(client.clone(), "s34");
    let suspend = Patch::Merge(json!({ "spec": { "suspend": true } }));
    let refused = connections.patch("c", &PatchParams::default(), &suspend).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));

    let bindings: Api<ProcessBinding> = Api::namespaced(client, "s34");
    let slot = |spec: Value| -> Result<ProcessBinding> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": "orders" }, "spec": spec,
        }))?)
    };
    let mut spec = to("not-there-yet");
    spec["connectorRef"] = json!({ "name": "s34" });
    spec["serviceAccountName"] = ACCOUNT.into();
    eventually("the slot is made", SOON, async || {
        Ok(Some(bindings.create(&PostParams::default(), &slot(spec.clone())?).await?))
    })
    .await?;
    ground.until_binding("orders", "False", "ConnectionNotAccessible").await?;
    let given = Patch::Merge(json!({ "spec": { "connectionRef": { "name": "c" } } }));
    bindings.patch("orders", &PatchParams::default(), &given).await?;
    ground.until_binding("orders", "True", "Bound").await?;
    ground.until_secret("orders", "has what the process needs", holds_token).await?;
    Ok(())
}

#[tokio::test]
async fn s66_a_choice_that_is_left_to_users_makes_no_connection() -> Result<()> {
    let (ground, _provider) = working("s66").await?;
    let count =
        async || Ok::<_, kube::Error>(ground.connections().list(&ListParams::default()).await?.items.len());
    let before = count().await?;
    ground.bind("orders", "s66", json!({ "configurableByUsers": true })).await?;
    ground.until_binding("orders", "False", "AwaitingUserConfiguration").await?;
    assert_eq!(count().await?, before);
    Ok(())
}

/// What each Connector of the examples is called, and the Connection that its file makes.
fn example_connections() -> Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository().join("examples"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(repository().join("examples").join(&file))?;
        let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
            .map(serde::Deserialize::deserialize)
            .collect::<Result<_, _>>()?;
        let connections = documents.iter().filter(|document| document["kind"] == "Connection");
        for connection in connections {
            let name = |value: &Value| value.as_str().map(str::to_owned).context("a name");
            found.push((
                file.clone(),
                name(&connection["spec"]["connectorRef"]["name"])?,
                name(&connection["metadata"]["name"])?,
            ));
        }
    }
    anyhow::ensure!(found.len() >= 4, "{found:?}");
    Ok(found)
}

#[tokio::test]
async fn s20_a_connection_of_every_connector_can_be_chosen_at_run_time() -> Result<()> {
    let world = World::shared();
    let user = "s20-user";
    let mut client = None;
    for (file, connector, connection) in example_connections()? {
        let ground = examples::apply(world, &file).await?;
        if client.is_none() {
            client = Some(consumer(&ground.namespace, user).await?);
            ground.grant_use().await?;
        }
        let name = format!("s20-{connection}");
        ground.bind(&name, &connector, json!({ "configurableByUsers": true })).await?;
        let client = client.clone().context("a client")?;
        let bindings: Api<ProcessBinding> = Api::namespaced(client, &ground.namespace);
        let choice = json!([{ "user": user, "connectionRef": { "name": connection } }]);
        let choose = Patch::Merge(json!({ "spec": { "choices": choice } }));
        eventually(&format!("{connection} is chosen"), SOON, async || {
            Ok(Some(bindings.patch(&name, &PatchParams::default(), &choose).await?))
        })
        .await?;
        let reported = judged(&ground, &name, &connection).await?;
        assert!(!reported.contains("ConnectorMismatch") && !reported.contains("not found"), "{reported}");
    }
    Ok(())
}

/// What is said of the one choice, once its Connection has been looked at: it can be used, or waits for what only its
/// owner can give.
async fn judged(ground: &Ground, binding: &str, connection: &str) -> Result<String> {
    eventually(&format!("{binding} is judged"), HEALS, async || {
        let message = ready_message(&ground.bindings().get(binding).await?);
        let usable = message.starts_with("1 of 1 users' choices can be used");
        let waits = message.contains(&format!("connection \"{connection}\" is not ready: "))
            || message.contains(&format!("connection \"{connection}\" awaits authentication: "));
        Ok(Some(message).filter(|_| usable || waits))
    })
    .await
}

#[tokio::test]
async fn the_example_of_a_process_gets_the_token_of_a_real_provider() -> Result<()> {
    let world = World::shared();
    let ground = examples::apply(world, "03-client-credentials.yaml").await?;
    ground.secret("example-client", &[("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]).await?;
    make_use_role().await?;
    let file = repository().join("examples/05-process.yaml");
    world.control_plane.run_kubectl(&["apply", "-f", &file.to_string_lossy()])?;
    ground.until_binding_within("orders", "True", "Bound", SOON).await?;
    let texts = ground.until_secret("orders-example", "has the token", holds_token).await?;
    assert_eq!((texts["type"].as_str(), texts["provider"].as_str()), ("example-client", "liaison"));
    // What a Pod with this Secret does.
    let answer = reqwest::Client::new()
        .get(format!("{}/userinfo", texts["base-url"]))
        .bearer_auth(&texts["access-token"])
        .send()
        .await?;
    assert!(answer.status().is_success(), "{}", answer.status());
    assert_eq!(answer.json::<Value>().await?["name"], texts["account"].as_str());
    Ok(())
}

#[tokio::test]
async fn a_process_outside_of_all_folders_is_served_too() -> Result<()> {
    let (there, _provider) = working("served-from").await?;
    let client = World::shared().control_plane.client().await?;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "no-folder" } });
    crate::fixtures::apply(&client, "", &namespace).await?;
    let here = Ground { client, namespace: "no-folder".to_owned() };
    crate::binding::grant(&there.client, "served-from", process("no-folder"), Some("c")).await?;
    let spec =
        json!({ "connectionRef": { "namespace": "served-from", "name": "c" }, "secretName": "orders" });
    here.bind("orders", "served-from", spec).await?;
    let bound = here.until_binding("orders", "True", "Bound").await?;
    assert_eq!(bound.name_any(), "orders");
    Ok(())
}
