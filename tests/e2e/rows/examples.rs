//! The manifests in examples/, as a person applies them.

use anyhow::Result;
use kube::Api;
use liaison::api::AuthType;

use crate::fixtures::Ground;
use crate::support::identity_provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::repository;
use crate::world::World;

/// The namespace that examples/00-folder.yaml makes.
const NAMESPACE: &str = "team-examples";

/// The identity provider that the examples name.
pub(super) const PROVIDER: &str = "localhost:9998";

pub(super) async fn ground(world: &World) -> Result<Ground> {
    let folder = repository().join("examples/00-folder.yaml");
    world.control_plane.run_kubectl(&[
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        &folder.to_string_lossy(),
    ])?;
    Ok(Ground { client: world.control_plane.client().await?, namespace: NAMESPACE.to_owned() })
}

/// Applies an example as it stands but for the port of the identity provider, which `make demo` has as it is written.
pub(super) async fn apply(world: &World, file: &str) -> Result<Ground> {
    let ground = ground(world).await?;
    let example = std::fs::read_to_string(repository().join("examples").join(file))?;
    assert!(example.contains(PROVIDER), "an example that leads elsewhere");
    let manifest = world.control_plane.directory().join(file);
    std::fs::write(&manifest, example.replace(PROVIDER, &world.zitadel.authority()))?;
    world.control_plane.run_kubectl(&["apply", "-f", &manifest.to_string_lossy()])?;
    Ok(ground)
}

#[tokio::test]
async fn s01_the_personal_access_token_example_runs_end_to_end() -> Result<()> {
    let world = World::shared();
    let ground = apply(world, "01-personal-access-token.yaml").await?;
    let token = world.zitadel.access_token("openid profile").await?;
    ground.secret("example-pat", &[("token", &token)]).await?;
    let status = ground.until_ready("personal-access-token").await?.status.unwrap_or_default();
    assert_eq!(status.account.as_deref(), Some("Service Account"));
    assert_eq!(status.auth_type, Some(AuthType::PersonalAccessToken));
    assert_eq!(status.base_url, Some(format!("http://{}", world.zitadel.authority())));
    Ok(())
}

#[tokio::test]
async fn s01_the_api_key_example_runs_end_to_end() -> Result<()> {
    let world = World::shared();
    let ground = apply(world, "02-api-key.yaml").await?;
    let key = world.zitadel.access_token("openid profile").await?;
    ground.secret("example-api-key", &[("apiKey", &key)]).await?;
    let status = ground.until_ready("api-key").await?.status.unwrap_or_default();
    assert_eq!((status.account.as_deref(), status.auth_type), (Some("service"), Some(AuthType::APIKey)));
    Ok(())
}

#[tokio::test]
async fn s01_the_client_credentials_example_runs_end_to_end() -> Result<()> {
    let world = World::shared();
    let ground = apply(world, "03-client-credentials.yaml").await?;
    ground.secret("example-client", &[("clientId", CLIENT_ID), ("clientSecret", CLIENT_SECRET)]).await?;
    let connection = ground.until_ready("client-credentials").await?;
    let status = connection.status.clone().unwrap_or_default();
    assert_eq!(status.account.as_deref(), Some("Service Account"));
    assert!(status.token.is_some_and(|token| token.sequence >= 1 && token.expires_at.is_some()));

    let uid = connection.metadata.uid.clone().unwrap_or_default();
    let secret = ground.secrets().get(&format!("liaison-token-{uid}")).await?;
    assert_eq!(secret.type_.as_deref(), Some("liaison.dev/token"));
    let owner = secret.metadata.owner_references.unwrap_or_default();
    assert_eq!(owner.first().map(|owner| owner.uid.as_str()), Some(uid.as_str()));
    Ok(())
}

#[tokio::test]
async fn one_apply_makes_a_namespace_its_folder_and_a_connection() -> Result<()> {
    let world = World::shared();
    let ground = ground(world).await?;
    let folders: Api<liaison::api::Folder> = Api::all(ground.client.clone());
    let folder = folders.get(NAMESPACE).await?;
    assert!(folder.spec.adopt);
    Ok(())
}
