//! The small organisation of examples/organisation, applied as it stands, and what its people and its process then have.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::examples::PROVIDER;
use crate::fixtures::{Ground, HEALS, apply};
use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::repository;
use crate::support::waiting::eventually;
use crate::world::World;

/// Applies the folder with all its files; the port of the identity provider is this run's.
async fn organisation(world: &World) -> Result<()> {
    let target = world.control_plane.directory().join("organisation");
    std::fs::create_dir_all(&target)?;
    for file in std::fs::read_dir(repository().join("examples/organisation"))? {
        let file = file?;
        let text = std::fs::read_to_string(file.path())?.replace(PROVIDER, &world.zitadel.authority());
        std::fs::write(target.join(file.file_name()), text)?;
    }
    let client = world.control_plane.client().await?;
    let app = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "acme-crm", "labels": { "liaison.dev/credentials": "true" } },
        "stringData": { "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET },
    });
    apply(&client, OPERATOR_NAMESPACE, &app).await?;
    world.control_plane.run_kubectl(&["apply", "--filename", &target.to_string_lossy()])?;
    Ok(())
}

/// What `kubectl auth can-i` answers.
fn may(world: &World, person: &[&str], question: &[&str]) -> Result<bool> {
    let mut command = world.control_plane.kubectl();
    command.args(["auth", "can-i"]).args(question).args(person);
    let answer = String::from_utf8(command.output()?.stdout)?;
    match answer.trim() {
        "yes" => Ok(true),
        answer => {
            ensure!(answer.starts_with("no"), "kubectl auth can-i {question:?}: {answer}");
            Ok(false)
        }
    }
}

#[tokio::test]
async fn s44_a_small_organisation_shares_one_app_and_nobody_reads_it() -> Result<()> {
    let world = World::shared();
    organisation(world).await?;
    let client = world.control_plane.client().await?;
    for namespace in ["acme-finance", "acme-sales"] {
        let ground = Ground { client: client.clone(), namespace: namespace.to_owned() };
        let status = ground.until_ready("crm").await?.status.unwrap_or_default();
        ensure!(status.credential_source.as_deref() == Some("Policy/acme"), "{:?}", status.credential_source);
        let copied = ground.secrets().get_opt("acme-crm").await?;
        ensure!(copied.is_none(), "the app was copied into {namespace}");
    }
    let (sales, operations) =
        (["--as=sam", "--as-group=sales"], ["--as=olga", "--as-group=sales-operations"]);
    let (auditor, ada) = (["--as=aud", "--as-group=auditors"], ["--as=ada"]);
    let (here, there) = ("--namespace=acme-sales", "--namespace=acme-finance");
    let connections = "connections.liaison.dev";
    let home = format!("--namespace={OPERATOR_NAMESPACE}");
    for (person, question, expected) in [
        (&sales[..], [&["use", connections, here][..]], true),
        (&sales, [&["create", connections, here]], false),
        (&sales, [&["use", connections, there]], false),
        (&operations, [&["create", connections, here]], true),
        (&auditor, [&["list", connections, there]], true),
        (&auditor, [&["verify", connections, there]], false),
        (&ada, [&["create", connections, "--namespace=acme-ada"]], true),
        (&ada, [&["get", connections, here]], false),
        (&sales, [&["get", "secret/acme-crm", &home]], false),
    ] {
        let answer = may(world, person, question[0])?;
        ensure!(answer == expected, "{person:?} {question:?}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn the_process_of_a_small_organisation_gets_the_default_connection() -> Result<()> {
    let world = World::shared();
    organisation(world).await?;
    let client = world.control_plane.client().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "acme-sales");
    let filled = eventually("the process's Secret is filled", HEALS * 2, async || {
        let found = secrets.get_opt("crm-of-reports").await?;
        Ok(found.filter(|secret| secret.data.as_ref().is_some_and(|data| data.contains_key("access-token"))))
    })
    .await?;
    let keys: Vec<_> = filled.data.context("data")?.into_keys().collect();
    ensure!(!keys.iter().any(|key| key.contains("refresh")), "{keys:?}");
    let owners: Api<RoleBinding> = Api::namespaced(client, "acme-ada");
    eventually("Ada has her folder", HEALS, async || {
        let bound = owners.list(&ListParams::default()).await?.items;
        Ok((bound.len() == 1 && bound[0].role_ref.name == "liaison-folder-owner").then_some(()))
    })
    .await
}
