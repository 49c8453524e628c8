//! A machine that a test holds in its hand: what it has, what others take of it, whether it stalls,
//! whether it can be read.
//!
//! Shared by several test binaries, none of which uses all of it.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ddx_memory::{
    Account, Admission, Config, Holder, Host, Lease, Ledger, LimitKind, ManualClock, MemoryLimit,
    ProbeError, Process, Reading, Refusal, Snapshot, Source, Stall,
};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// What the next reading says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) total_bytes: u64,
    /// Taken by others, so that it is not available.
    pub(crate) others_bytes: u64,
    /// Our own anonymous memory.
    pub(crate) anon_bytes: u64,
    pub(crate) stall_us: u64,
    pub(crate) fails: bool,
    /// Memory of sockets in a group of version 2 that has all of this.
    pub(crate) socket_bytes: Option<u64>,
}

#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<Facts>>);

impl Script {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Source for Script {
    fn read(&mut self) -> Result<Reading, ProbeError> {
        let facts = self.0.lock().unwrap().clone();
        if facts.fails {
            return Err(ProbeError::Malformed {
                path: "/proc/meminfo".into(),
                detail: "scripted".into(),
            });
        }
        Ok(Reading {
            host: Host {
                total_bytes: facts.total_bytes,
                available_bytes: facts
                    .total_bytes
                    .saturating_sub(facts.others_bytes)
                    .saturating_sub(facts.anon_bytes),
                ..Host::default()
            },
            limits: facts
                .socket_bytes
                .map(|bytes| group(&facts, bytes))
                .into_iter()
                .collect(),
            process: Process {
                anon_bytes: facts.anon_bytes,
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

fn group(facts: &Facts, socket_bytes: u64) -> MemoryLimit {
    let hard_bytes = facts.others_bytes + facts.anon_bytes + socket_bytes;
    MemoryLimit {
        kind: LimitKind::CgroupV2,
        path: "/group".into(),
        limit_bytes: Some(facts.total_bytes),
        hard_bytes,
        usage_bytes: hard_bytes,
        dirty_bytes: 0,
        socket_bytes,
        limit_events: 0,
        oom_kills: 0,
    }
}

/// A ledger on a scripted machine, and the two handles that move it.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) script: Script,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(total_bytes: u64) -> Self {
        Self::with(total_bytes, Config::default())
    }

    pub(crate) fn with(total_bytes: u64, config: Config) -> Self {
        let script = Script(Arc::new(Mutex::new(Facts {
            total_bytes,
            ..Facts::default()
        })));
        let clock = Arc::new(ManualClock::new());
        let ledger =
            Ledger::open_with_clock(config, Box::new(script.clone()), Box::new(clock.clone()))
                .unwrap();
        Self {
            ledger,
            script,
            clock,
        }
    }

    /// Time passes, then the machine is read.
    pub(crate) fn sample_after(&self, pause: Duration) {
        self.clock.advance(pause);
        self.ledger.sample();
    }

    /// Tasks stall for most of the pause, then the machine is read.
    pub(crate) fn stall_for(&self, pause: Duration) {
        self.script
            .change(|facts| facts.stall_us += u64::try_from(pause.as_micros()).unwrap());
        self.sample_after(pause);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.ledger.snapshot()
    }

    pub(crate) fn free(&self) -> u64 {
        self.snapshot().free_to_lease_bytes
    }

    pub(crate) fn lease(&self, holder: Holder, bytes: u64) -> Lease {
        self.ledger
            .try_lease(holder, bytes)
            .unwrap_or_else(|| panic!("{bytes} bytes are there: {:?}", self.snapshot()))
    }

    /// Leases all that there is to one upload, and to another the floor that one may always have:
    /// then nothing more is to be had.
    pub(crate) fn fill(&self) -> Vec<Lease> {
        let all = self.lease(holder(u64::MAX, 0), self.free());
        let floor = self.lease(holder(u64::MAX, 1), self.snapshot().floor_bytes);
        vec![all, floor]
    }

    /// Joins the queue; the request must not be met at once.
    pub(crate) fn wait_for(&self, holder: Holder, bytes: u64) -> Admission {
        let mut admission = self.ledger.admit(holder, bytes).unwrap();
        assert!(answer(&mut admission).is_none(), "it need not wait");
        admission
    }
}

pub(crate) fn holder(user: u64, upload: u64) -> Holder {
    Holder { user, upload }
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The answer, if it is there.
pub(crate) fn answer(admission: &mut Admission) -> Option<Result<Lease, Refusal>> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(admission).poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The lease, if it was granted.
pub(crate) fn granted(admission: &mut Admission) -> Option<Lease> {
    answer(admission).map(|answer| answer.unwrap())
}

/// The accounts add up to the total and what is promised beyond it.
pub(crate) fn assert_adds_up(snapshot: &Snapshot) {
    let sum: u64 = snapshot.accounts.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(
        sum,
        snapshot.total_bytes + snapshot.overcommitted_bytes,
        "the accounts don't add up: {snapshot:?}"
    );
    assert_eq!(snapshot.account(Account::Buffers), snapshot.leased_bytes);
}
