//! One life of the simulated server: process after process on one disk and one catalog, until all
//! clients are done and nothing is left.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use ddx_engine::{Config, Engine};
use ddx_memory::Ledger;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::catalog::{Records, SimulatedCatalog};
use crate::client::Client;
use crate::last;
use crate::machine::{Memory, OneThread, Time, store};
use crate::plan::{Fault, Plan, Setting};
use crate::tally::Tally;
use crate::world::{Downfall, World};

/// Every client is done within this, or starves. What goes wrong in a plan is over after some 30 s.
const LIFE_MAX: Duration = Duration::from_secs(1_800);

/// An orderly stop takes at most this.
const STOP_MAX: Duration = Duration::from_secs(60);

/// An upload on which nothing happens is given up after this.
pub const UPLOAD_EXPIRES: Duration = Duration::from_secs(1_200);

/// A file goes after this.
pub const FILE_EXPIRES: Duration = Duration::from_secs(48 * 3_600);

/// How often the house is kept.
pub const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

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
    fn new(plan: &Plan) -> Self {
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
            granule_bytes_min: plan.setting.granule_min_bytes,
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

/// So long space stays reserved for an upload to which nothing comes.
pub(crate) fn reservation_expires(setting: &Setting) -> Duration {
    Duration::from_millis(setting.upload_expires_ms / 4)
}

fn settings(setting: &Setting) -> Config {
    let upload_expires = Duration::from_millis(setting.upload_expires_ms);
    Config {
        inline_max_bytes: setting.inline_max_bytes,
        granule_min_bytes: setting.granule_min_bytes,
        granule_max_bytes: setting.granule_max_bytes.max(setting.granule_min_bytes),
        checkpoint_every: Duration::from_millis(setting.checkpoint_ms),
        checkpoint_bytes: setting.checkpoint_bytes,
        // Hours would outlast the life.
        body_pause: 2 * Config::default().body_idle,
        upload_expires,
        reservation_expires: reservation_expires(setting),
        file_expires: Some(FILE_EXPIRES),
        sha256_always: setting.sha256_always,
        housekeeping_every: HOUSEKEEPING_EVERY.min(upload_expires / 20),
        download_bytes: 4 * setting.granule_min_bytes,
        ..Config::default()
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
