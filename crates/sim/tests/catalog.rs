//! The simulated catalog is held to the sentences that every backend obeys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use ddx_catalog::Catalog;
use ddx_catalog::conformance::Subject;
use ddx_sim::Plan;
use ddx_sim::catalog::{Records, SimulatedCatalog};
use ddx_sim::world::World;

struct Simulated {
    folder: tempfile::TempDir,
}

impl Subject for Simulated {
    fn catalog(&self) -> Arc<dyn Catalog> {
        let mut plan = Plan::of(1);
        plan.faults.clear();
        let world = World::new(&plan);
        world.process_begins();
        Arc::new(SimulatedCatalog::open(&world, &plan, &Records::default()))
    }

    fn backup_folder(&self) -> &Path {
        self.folder.path()
    }
}

fn simulated() -> Simulated {
    let folder = tempfile::tempdir().unwrap();
    Simulated { folder }
}

ddx_catalog::conformance_tests!(
    #[tokio::test(start_paused = true)]
    simulated()
);
