//! One life of the simulated server: process after process on one disk and one catalog, until all
//! clients are done and nothing is left.

use std::time::Duration;

use ddx_memory::Ledger;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::last;
use crate::machine::Memory;
use crate::plan::{Fault, Plan, Setting};
use crate::server::{Life, Process};
use crate::tally::Tally;
use crate::world::{Downfall, World};

/// Every client is done within this, or starves. What goes wrong in a plan is over after some 30 s.
const LIFE_MAX: Duration = Duration::from_secs(1_800);

/// An orderly stop takes at most this.
const STOP_MAX: Duration = Duration::from_secs(60);

/// So often a start may fail for planned faults.
const STARTS_MAX: u64 = 200;

/// What came of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub wrong: Option<String>,
    /// The hash of all events.
    pub trace: u64,
    /// What was counted.
    pub tally: Tally,
    /// The events in words, if they were kept.
    pub log: Vec<String>,
}

/// Lives through a plan.
#[must_use]
pub fn live(plan: &Plan, keeps_log: bool) -> Outcome {
    let life = Life::new(plan);
    if keeps_log {
        life.world.keep_log();
    }
    while life.world.verdict().is_none() && !life.process() {
        if life.world.process() > STARTS_MAX {
            life.world.wrong(format!("{STARTS_MAX} starts and no end"));
        }
    }
    let (trace, events) = life.world.trace();
    life.world.count(|tally| {
        tally.lives = 1;
        tally.events = events;
    });
    let seconds = life.world.elapsed().as_secs();
    let mut tally = life.world.tally();
    tally.simulated_seconds = seconds;
    tally.processes = life.world.process();
    Outcome {
        wrong: life.world.verdict(),
        trace,
        tally,
        log: life.world.log(),
    }
}

impl Life {
    /// One process, from its start to its end; true if the life is over.
    fn process(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing that could be missing");
        let is_over = runtime.block_on(async {
            self.world.process_begins();
            self.failures_before.set(self.world.failures());
            self.world.event("start", self.world.process(), 0);
            let is_over = self.run().await;
            self.world.process_ended();
            is_over
        });
        drop(runtime);
        is_over
    }

    async fn run(&self) -> bool {
        let Some(process) = self.start().await else {
            self.world.count(|tally| tally.crashed_starts += 1);
            return false;
        };
        if self.is_last.get() {
            tokio::select! {
                biased;
                _ = self.world.downfall() => return false,
                () = last::recover_again(self, &process) => {}
            }
        }
        process.engine.spawn_housekeeping();
        self.spawn_weather(&process.ledger);
        let mut clients = JoinSet::new();
        for client in &self.clients {
            clients.spawn(client.clone().run(process.engine.clone()));
        }
        let done = async { while clients.join_next().await.is_some() {} };
        let ended = tokio::select! {
            biased;
            downfall = self.world.downfall() => Some(downfall),
            () = done => None,
            () = sleep(LIFE_MAX) => {
                self.starved();
                Some(Downfall::Crash)
            }
        };
        let waits = process.engine.stats().total(ddx_engine::Total::Waits);
        self.world.count(|tally| tally.waits += waits);
        match ended {
            Some(Downfall::Crash) => false,
            Some(Downfall::Stop) => {
                self.stop(&process).await;
                false
            }
            None => last::rites(self, &process).await,
        }
    }

    fn starved(&self) {
        let waiting: Vec<_> = self
            .clients
            .iter()
            .filter(|client| !client.told().is_over)
            .map(|client| client.plan.number)
            .collect();
        self.world
            .wrong(format!("uploads {waiting:?} never come to an end"));
    }

    async fn stop(&self, process: &Process) {
        let close = timeout(STOP_MAX * 2, process.engine.close(STOP_MAX));
        tokio::select! {
            biased;
            () = self.world.down() => {}
            closed = close => if !matches!(closed, Ok(true)) {
                self.world.wrong(format!("an orderly stop took more than {STOP_MAX:?}"));
            }
        }
    }

    /// Samples of memory, and what others do at their times.
    pub(crate) fn spawn_weather(&self, ledger: &Ledger) {
        let (memory, ledger) = (self.memory.clone(), ledger.clone());
        tokio::spawn(async move {
            loop {
                sleep(ledger.config().sample_every).await;
                let resident_bytes = ledger.snapshot().pool_resident_bytes;
                memory.facts().ours_bytes = resident_bytes;
                ledger.sample();
            }
        });
        for fault in &self.plan.faults {
            tokio::spawn(weather(
                self.world.clone(),
                self.memory.clone(),
                *fault,
                self.plan.setting.clone(),
            ));
        }
    }
}

async fn until(world: &World, at_ms: u64) -> bool {
    let at = Duration::from_millis(at_ms);
    let is_ahead = at > world.elapsed();
    sleep(at.saturating_sub(world.elapsed())).await;
    is_ahead
}

/// What one fault of the surroundings does, from wherever in time this process began.
async fn weather(world: World, memory: Memory, fault: Fault, setting: Setting) {
    match fault {
        Fault::Neighbour {
            at_ms,
            for_ms,
            share,
            stalls,
        } => {
            let begins = until(&world, at_ms).await;
            world.count(|tally| tally.neighbours += u64::from(begins));
            memory.facts().others_bytes = setting.memory_bytes / 256 * share;
            while stalls && Duration::from_millis(at_ms + for_ms) > world.elapsed() {
                memory.facts().stall_us += 150_000;
                sleep(Duration::from_millis(200)).await;
            }
            until(&world, at_ms + for_ms).await;
            memory.facts().others_bytes = 0;
        }
        Fault::Blind { at_ms, for_ms } => {
            let begins = until(&world, at_ms).await;
            world.count(|tally| tally.blind_times += u64::from(begins));
            memory.facts().is_blind = true;
            until(&world, at_ms + for_ms).await;
            memory.facts().is_blind = false;
        }
        Fault::DiskNeighbour {
            at_ms,
            for_ms,
            share,
        } => {
            let begins = until(&world, at_ms).await;
            world.count(|tally| tally.disk_neighbours += u64::from(begins));
            world
                .disk()
                .taken_by_others(setting.disk_bytes / 256 * share);
            until(&world, at_ms + for_ms).await;
            world.disk().taken_by_others(0);
        }
        Fault::Clock { at_ms, by_ms } => {
            if until(&world, at_ms).await {
                world.jump(by_ms);
            }
        }
        Fault::Crash { .. }
        | Fault::Stop { .. }
        | Fault::Disk { .. }
        | Fault::Catalog { .. }
        | Fault::Stall { .. } => {}
    }
}
