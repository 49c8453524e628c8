//! The simulated catalog is held to the sentences that every backend obeys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ddx_sim::Plan;
use ddx_sim::catalog::{Records, SimulatedCatalog};
use ddx_sim::world::World;

#[tokio::test(start_paused = true)]
async fn the_simulated_catalog_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::of(1);
    plan.faults.clear();
    let world = World::new(&plan);
    world.process_begins();
    ddx_catalog::conformance::run(folder.path(), || {
        Arc::new(SimulatedCatalog::open(&world, &plan, &Records::default()))
    })
    .await;
}
