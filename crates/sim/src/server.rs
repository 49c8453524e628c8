//! The simulated server: what of it outlives its processes, and one process.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use ddx_engine::Engine;
use ddx_memory::Ledger;

use crate::catalog::{Records, SimulatedCatalog};
use crate::client::Client;
use crate::machine::{Memory, OneThread, Time, store};
use crate::plan::{Fault, Plan};
use crate::settings::settings;
use crate::world::World;

/// What outlives processes.
pub(crate) struct Life {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) records: Records,
    pub(crate) memory: Memory,
    pub(crate) clients: Vec<Arc<Client>>,
    /// Everything was checked once; after this process nothing comes.
    pub(crate) is_last: Cell<bool>,
    /// Calls that had been made to fail when the present process began.
    pub(crate) failures_before: Cell<(u64, u64)>,
}

/// What a process has.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
}

impl Life {
    /// Before its first process.
    pub(crate) fn new(plan: &Plan) -> Self {
        let world = World::new(plan);
        let memory = Memory::default();
        memory.facts().total_bytes = plan.setting.memory_bytes;
        let hand_over_max = hand_over_max(plan);
        let clients = plan
            .uploads
            .iter()
            .map(|upload| Arc::new(Client::new(&world, plan, upload, hand_over_max)))
            .collect();
        Self {
            world,
            plan: plan.clone(),
            records: Records::default(),
            memory,
            clients,
            is_last: Cell::new(false),
            failures_before: Cell::default(),
        }
    }

    /// A start: the parts, and recovery. None if the process ended meanwhile, or had to give up.
    pub(crate) async fn start(&self) -> Option<Process> {
        let process = self.open();
        let failures = self.world.failures();
        let recovered = tokio::select! {
            biased;
            _ = self.world.downfall() => return None,
            recovered = process.engine.recover() => recovered,
        };
        if self.world.is_down() {
            return None;
        }
        match recovered {
            Ok(recovered) => {
                self.world
                    .event("recovered", recovered.resumable, recovered.stray_segments);
                if recovered.failed > 0 {
                    self.world
                        .wrong(format!("a start found bytes missing: {recovered:?}"));
                }
                Some(process)
            }
            Err(_) if self.world.failures() != failures => None,
            Err(error) => {
                self.world.wrong(format!("a start failed: {error:?}"));
                None
            }
        }
    }

    /// The parts of a process, put together as the binary does it.
    pub(crate) fn open(&self) -> Process {
        let (world, plan) = (&self.world, &self.plan);
        let config = ddx_memory::Config {
            reserve_bytes: Some(plan.setting.memory_bytes / 8),
            buffer_bytes_min: plan.setting.buffer_bytes_min,
            ..ddx_memory::Config::default()
        };
        // A start that can't read its memory waits until it can.
        self.memory.facts().is_blind = false;
        let ledger = Ledger::open_with_clock(
            config,
            Box::new(self.memory.clone()),
            Box::new(Time(world.clone())),
        )
        .expect("the settings are sound and the memory can be read");
        let catalog = Arc::new(SimulatedCatalog::open(world, plan, &self.records));
        let engine = Engine::living_in(
            Arc::new(OneThread::new(world.clone(), plan)),
            settings(&plan.setting),
            catalog,
            store(world, plan),
            ledger.clone(),
        );
        Process { engine, ledger }
    }
}

/// How long a newer request may wait for an older one to leave.
fn hand_over_max(plan: &Plan) -> Duration {
    let stalls_ms: u64 = plan
        .faults
        .iter()
        .map(|fault| match fault {
            Fault::Stall { by_ms, .. } => *by_ms,
            _ => 0,
        })
        .sum();
    Duration::from_millis(8_000 + stalls_ms)
}
