//! The ledger and its queue under a model checker: orders of events that no stress test would meet
//! in a year.
//!
//! The very same modules are compiled again by path, with shuttle's locks and threads under the
//! name `sync` in place of the standard library's. Shuttle runs all threads one at a time and
//! chooses at each lock who goes on; a run in which none can is a deadlock, which is how a lost
//! wake-up shows itself. The seeds are random; a failure prints the schedule that replays it.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "these are the modules of the crate, of which the model uses a part"
)]
#![allow(clippy::unwrap_used, reason = "a test may")]

/// What `src/sync.rs` is to the crate.
mod sync {
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;
}

#[path = "../src/account.rs"]
mod account;
#[path = "../src/buffer/mod.rs"]
mod buffer;
#[path = "../src/classes.rs"]
mod classes;
#[path = "../src/clock.rs"]
mod clock;
#[path = "../src/config.rs"]
mod config;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/holder.rs"]
mod holder;
#[path = "../src/lease.rs"]
mod lease;
#[path = "../src/ledger/mod.rs"]
mod ledger;
#[path = "../src/plan.rs"]
mod plan;
#[path = "../src/pressure.rs"]
mod pressure;
#[path = "../src/probe/mod.rs"]
mod probe;
#[path = "../src/queue/mod.rs"]
mod queue;
#[path = "../src/reading.rs"]
mod reading;
#[path = "../src/snapshot.rs"]
mod snapshot;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use account::Account;
pub use buffer::Buffer;
pub use classes::Class;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ClassBuffers, Config};
pub use error::{Error, ProbeError, Refusal};
pub use holder::Holder;
pub use lease::Lease;
pub use ledger::{Charge, Ledger};
pub use plan::{Plan, PlannedRate, Size};
pub use probe::Machine;
pub use queue::{Admission, Place};
pub use reading::{Doubt, Host, LimitKind, MemoryLimit, Process, Reading, Source, Stall};
pub use snapshot::{PressureLevel, PressureStep, Snapshot, StallView, Tightest};

use shuttle::future::block_on;
use shuttle::thread;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SCHEDULES: usize = 2_000;

/// 64 MiB, of which others have so much that `free` is left to lease.
struct Constant {
    others_bytes: u64,
}

impl Source for Constant {
    fn read(&mut self) -> Result<Reading, ProbeError> {
        Ok(Reading {
            host: Host {
                total_bytes: 64 * MIB,
                available_bytes: 64 * MIB - self.others_bytes,
                ..Host::default()
            },
            ..Reading::default()
        })
    }
}

/// A ledger with `free` bytes to lease, and the floor taken by an upload that stays.
fn ledger(free: u64) -> (Ledger, Lease) {
    let config = Config {
        ceiling_bytes: Some(free),
        ..Config::default()
    };
    let source = Constant { others_bytes: 0 };
    let ledger =
        Ledger::open_with_clock(config, Box::new(source), Box::new(ManualClock::new())).unwrap();
    let floor = ledger.snapshot().floor_bytes;
    let all = ledger.try_lease(holder(100, 0), free).unwrap();
    let guaranteed = ledger.try_lease(holder(100, 1), floor).unwrap();
    drop(all);
    // What the guaranteed one holds counts: it goes down to what is to be had beside it.
    let mut guaranteed = guaranteed;
    guaranteed.shrink_to(4 * KIB);
    (ledger, guaranteed)
}

fn holder(user: u64, upload: u64) -> Holder {
    Holder { user, upload }
}

fn assert_empty(ledger: &Ledger) {
    let snapshot = ledger.snapshot();
    assert_eq!(
        (
            snapshot.leased_bytes,
            snapshot.waiting,
            snapshot.active_uploads
        ),
        (0, 0, 0)
    );
    assert_eq!(snapshot.account(Account::Waiters), 0);
}

/// Polls once, as a task that is dropped soon after.
async fn once(admission: &mut Admission) -> Option<Result<Lease, Refusal>> {
    std::future::poll_fn(|context: &mut Context<'_>| {
        Poll::Ready(match Pin::new(&mut *admission).poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn every_waiter_is_woken_in_every_order_of_grants() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(128 * KIB);
            let threads: Vec<_> = (0..4)
                .map(|user| {
                    let ledger = ledger.clone();
                    thread::spawn(move || {
                        let admission = ledger.admit(holder(user, 0), 64 * KIB).unwrap();
                        let lease = block_on(admission).unwrap();
                        assert_eq!(lease.bytes(), 64 * KIB);
                        assert!(ledger.snapshot().leased_bytes <= 128 * KIB);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            drop(guaranteed);
            assert_empty(&ledger);
        },
        SCHEDULES,
    );
}

#[test]
fn a_waiter_that_goes_away_takes_nobodys_turn_with_it() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(68 * KIB);
            let held = ledger.try_lease(holder(9, 0), 64 * KIB).unwrap();
            let leaver = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    let mut admission = ledger.admit(holder(1, 0), 64 * KIB).unwrap();
                    // Granted or not, and fetched or not: it goes.
                    drop(block_on(once(&mut admission)));
                    drop(admission);
                })
            };
            let stayer = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    let admission = ledger.admit(holder(2, 0), 64 * KIB).unwrap();
                    drop(block_on(admission).unwrap());
                })
            };
            let giver = thread::spawn(move || drop(held));
            for thread in [leaver, stayer, giver] {
                thread.join().unwrap();
            }
            drop(guaranteed);
            assert_empty(&ledger);
        },
        SCHEDULES,
    );
}

#[test]
fn closing_answers_everybody_who_waits_and_everybody_who_comes() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(68 * KIB);
            let held = ledger.try_lease(holder(9, 0), 64 * KIB).unwrap();
            let waiters: Vec<_> = (0..2)
                .map(|user| {
                    let ledger = ledger.clone();
                    thread::spawn(move || {
                        let Ok(admission) = ledger.admit(holder(user, 0), 64 * KIB) else {
                            return;
                        };
                        if let Err(refusal) = block_on(admission) {
                            assert_eq!(refusal, Refusal::Closing);
                        }
                    })
                })
                .collect();
            let giver = thread::spawn(move || drop(held));
            let closer = {
                let ledger = ledger.clone();
                thread::spawn(move || ledger.close())
            };
            for thread in waiters.into_iter().chain([giver, closer]) {
                thread.join().unwrap();
            }
            assert!(ledger.try_lease(holder(5, 0), 4 * KIB).is_none());
            drop(guaranteed);
            assert_empty(&ledger);
        },
        SCHEDULES,
    );
}

#[test]
fn shrinking_growing_charging_and_sampling_wake_waiters_as_well() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(132 * KIB);
            let mut first = ledger.try_lease(holder(8, 0), 64 * KIB).unwrap();
            let second = ledger.try_lease(holder(9, 0), 64 * KIB).unwrap();
            let waiter = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    let admission = ledger.admit(holder(1, 0), 64 * KIB).unwrap();
                    drop(block_on(admission).unwrap());
                })
            };
            let sampler = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    drop(ledger.charge(Account::Connections, 4 * KIB));
                    ledger.sample();
                    ledger.snapshot()
                })
            };
            let shrinker = thread::spawn(move || {
                first.shrink_to(4 * KIB);
                let grown = first.try_grow(4 * KIB);
                // In two parts, either of which alone is not enough.
                drop(second);
                grown
            });
            waiter.join().unwrap();
            let _ = shrinker.join().unwrap();
            let snapshot = sampler.join().unwrap();
            let sum: u64 = snapshot.accounts.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(sum, snapshot.total_bytes + snapshot.overcommitted_bytes);
            drop(guaranteed);
            assert_empty(&ledger);
        },
        SCHEDULES,
    );
}

#[test]
fn a_lease_that_is_split_and_given_back_in_pieces_wakes_who_waits_for_all_of_it() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(132 * KIB);
            let mut first = ledger.try_lease(holder(8, 0), 128 * KIB).unwrap();
            let part = first.split(64 * KIB).unwrap();
            assert_eq!(first.bytes() + part.bytes(), 128 * KIB);
            let waiter = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    // Neither piece alone is enough.
                    let admission = ledger.admit(holder(1, 0), 120 * KIB).unwrap();
                    let lease = block_on(admission).unwrap();
                    assert!(ledger.snapshot().leased_bytes <= 132 * KIB);
                    drop(lease);
                })
            };
            let giver = thread::spawn(move || {
                assert!(part.surplus_bytes() <= part.bytes());
                drop(part);
            });
            let shrinker = thread::spawn(move || {
                let asked_back = first.surplus_bytes();
                assert!(asked_back <= first.bytes());
                first.shrink_to(4 * KIB);
                first
            });
            waiter.join().unwrap();
            giver.join().unwrap();
            let first = shrinker.join().unwrap();
            assert_eq!(
                ledger.snapshot().leased_bytes,
                first.bytes() + guaranteed.bytes()
            );
            drop((first, guaranteed));
            assert_empty(&ledger);
        },
        SCHEDULES,
    );
}

#[test]
fn buffers_that_come_and_go_beside_a_census_are_counted_once() {
    shuttle::check_random(
        || {
            let (ledger, guaranteed) = ledger(8 * MIB);
            let users: Vec<_> = (0..2)
                .map(|user| {
                    let ledger = ledger.clone();
                    thread::spawn(move || {
                        let lease = ledger.try_lease(holder(user, 0), 64 * KIB).unwrap();
                        let mut buffer = Buffer::new(lease).unwrap();
                        buffer.fill(1);
                        assert!(buffer.try_grow(128 * KIB));
                    })
                })
                .collect();
            let sampler = {
                let ledger = ledger.clone();
                thread::spawn(move || {
                    ledger.sample();
                    ledger.snapshot().pool_resident_bytes
                })
            };
            assert!(sampler.join().unwrap() <= 2 * 128 * KIB);
            for user in users {
                user.join().unwrap();
            }
            drop(guaranteed);
            assert_empty(&ledger);
            let snapshot = ledger.snapshot();
            assert_eq!(snapshot.pool_mapped_bytes, snapshot.pool_kept_bytes);
        },
        SCHEDULES,
    );
}
