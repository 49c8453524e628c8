//! The machine under the engine: threads and the time of day, memory, and the disk with its faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_engine::Surroundings;
use ddx_memory::{Clock, Host, ProbeError, Process, Reading, Source, Stall};
use ddx_storage::Store;
use ddx_storage::faults::{Call, FaultyStore};

use crate::plan::{DiskFault, Fault, Plan};
use crate::world::World;

/// One thread for everything: work that blocks becomes a task that waits for as long as the seed
/// says and then runs at once.
pub struct OneThread {
    world: World,
    stalls: BTreeMap<u64, u64>,
}

impl OneThread {
    /// In this world, with the stalls of this plan.
    #[must_use]
    pub fn new(world: World, plan: &Plan) -> Self {
        let stalls = plan.faults.iter().filter_map(|fault| match fault {
            Fault::Stall { work, by_ms } => Some((*work, *by_ms)),
            _ => None,
        });
        Self {
            stalls: stalls.collect(),
            world,
        }
    }
}

impl Surroundings for OneThread {
    fn unix_at(&self) -> i64 {
        self.world.unix_at()
    }

    fn random(&self, into: &mut [u8]) {
        self.world.fill(into);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let world = self.world.clone();
        let (number, mut pause) = world.next_work();
        if let Some(by_ms) = self.stalls.get(&number) {
            world.count(|tally| tally.disk_stalls += 1);
            pause += Duration::from_millis(*by_ms);
        }
        tokio::spawn(async move {
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
            world.event("work begins", number, 0);
            if !world.is_down() {
                work();
                world.event("work ends", number, 0);
            }
        });
    }
}

/// What the next reading of memory says.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Memory of the machine.
    pub total_bytes: u64,
    /// Taken by others.
    pub others_bytes: u64,
    /// Touched by us.
    pub ours_bytes: u64,
    /// How long tasks have stalled.
    pub stall_us: u64,
    /// Whether it can't be read.
    pub is_blind: bool,
}

/// The machine's memory, in a script's hands.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Facts>>);

impl Memory {
    /// The facts, to be read or changed.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Memory {
    fn read(&mut self) -> Result<Reading, ProbeError> {
        let facts = self.facts().clone();
        if facts.is_blind {
            return Err(ProbeError::Malformed {
                path: "/proc/meminfo".into(),
                detail: "as planned".into(),
            });
        }
        Ok(Reading {
            host: Host {
                total_bytes: facts.total_bytes,
                available_bytes: facts
                    .total_bytes
                    .saturating_sub(facts.others_bytes)
                    .saturating_sub(facts.ours_bytes),
                ..Host::default()
            },
            limits: Vec::new(),
            process: Process {
                anon_bytes: facts.ours_bytes,
                shmem_bytes: 0,
            },
            stall: Some(Stall {
                some_us: facts.stall_us,
                full_us: 0,
            }),
            doubts: Vec::new(),
        })
    }
}

/// The simulated time, for the ledger.
pub struct Time(pub World);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix_at(&self) -> i64 {
        self.0.unix_at()
    }
}

/// The disk as this process sees it: every call is an event, and those of the plan fail.
#[must_use]
pub fn store(world: &World, plan: &Plan) -> Arc<dyn Store> {
    let faults: BTreeMap<u64, DiskFault> = plan
        .faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Disk { call, how } => Some((*call, *how)),
            _ => None,
        })
        .collect();
    let world = world.clone();
    let disk = world.disk().open();
    Arc::new(FaultyStore::new(disk, move |call: Call| {
        let number = world.next_store_call();
        let (name, bytes) = describe(call);
        world.event(name, number, bytes);
        let how = *faults.get(&number)?;
        if let (Call::Write(id, _) | Call::Sync(id), DiskFault::Io | DiskFault::Passing) =
            (call, how)
        {
            world.disk().fail(id);
        }
        Some(fault(&world, how, bytes, matches!(call, Call::Read(..))))
    }))
}

fn fault(world: &World, how: DiskFault, bytes: u64, is_read: bool) -> ddx_storage::faults::Fault {
    use ddx_storage::faults::Fault;
    let half = world.below(bytes.max(1)) as usize;
    // A short read is an ordinary answer, and a read needs no space.
    let how = match how {
        DiskFault::Full if is_read => DiskFault::Io,
        how => how,
    };
    let for_space = matches!(how, DiskFault::Full | DiskFault::Short);
    if !(is_read && how == DiskFault::Short) {
        world.failed(for_space);
    }
    world.count(|tally| match how {
        DiskFault::Io => tally.disk_io_errors += 1,
        DiskFault::Passing => tally.disk_passing_errors += 1,
        DiskFault::Full => tally.disk_full_errors += 1,
        DiskFault::Short => tally.disk_short += 1,
    });
    match how {
        DiskFault::Io => Fault::Io,
        DiskFault::Passing => Fault::Passing,
        DiskFault::Full => Fault::Full,
        DiskFault::Short => Fault::Short(half.max(usize::from(is_read))),
    }
}

fn describe(call: Call) -> (&'static str, u64) {
    match call {
        Call::Create(_) => ("create", 0),
        Call::Reserve(_) => ("reserve", 0),
        Call::OpenWriter(_) => ("open to write", 0),
        Call::OpenReader(_) => ("open to read", 0),
        Call::Delete(_) => ("delete", 0),
        Call::Write(_, bytes) => ("write", bytes as u64),
        Call::Sync(_) => ("sync", 0),
        Call::Read(_, bytes) => ("read", bytes as u64),
    }
}
