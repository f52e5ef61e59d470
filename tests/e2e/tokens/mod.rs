//! Workloads that ask the token endpoint, with real tokens of their ServiceAccounts.

mod bindings;
mod handing_out;
mod refusals;

use anyhow::Result;

use crate::fixtures::Ground;
use crate::workload::Workload;
use crate::world::World;

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// A workload in the folder of the test.
async fn workload(ground: &Ground, name: &str) -> Result<Workload<'static>> {
    let world = World::shared();
    Workload::new(world.control_plane, ground, (name, &world.token_url)).await
}
