//! What only the inside can tell: that no user is remembered once gone, and that a stale place
//! in the order is found out.
//!
//! They stand here and not in the modules that they are about because `tests/model.rs` compiles
//! those modules with the locks of a model checker, outside of which they can't be used.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ledger::lock;
use crate::{
    Account, Admission, Config, Holder, Host, Lease, Ledger, ManualClock, ProbeError, Process,
    Reading, Source,
};

const MIB: u64 = 1 << 20;

struct Constant;

impl Source for Constant {
    fn read(&mut self) -> Result<Reading, ProbeError> {
        Ok(Reading {
            host: Host {
                total_bytes: 256 * MIB,
                available_bytes: 256 * MIB,
                ..Host::default()
            },
            process: Process::default(),
            ..Reading::default()
        })
    }
}

fn ledger() -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let ledger = Ledger::open_with_clock(
        Config::default(),
        Box::new(Constant),
        Box::new(clock.clone()),
    )
    .unwrap();
    (ledger, clock)
}

fn entries(ledger: &Ledger) -> usize {
    lock(&ledger.inner().state).queue.entries()
}

fn holder(user: u64, upload: u64) -> Holder {
    Holder { user, upload }
}

fn granted(admission: &mut Admission) -> Option<Lease> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(admission).poll(&mut context) {
        Poll::Ready(answer) => Some(answer.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn nobody_is_remembered_once_all_are_gone() {
    let (ledger, clock) = ledger();
    let all = ledger.snapshot().free_to_lease_bytes;
    let first = ledger.try_lease(holder(0, 0), all).unwrap();
    let mut waiting: Vec<_> = (0..2000u64)
        .map(|number| ledger.admit(holder(number % 50, number), MIB).unwrap())
        .collect();
    assert!(entries(&ledger) > 4000, "uploads and requests");
    clock.advance(Duration::from_secs(1));
    drop(first);
    let leases: Vec<_> = waiting.iter_mut().filter_map(granted).collect();
    assert!(!leases.is_empty());
    waiting.truncate(1000);
    drop(leases);
    drop(waiting);
    let state = lock(&ledger.inner().state);
    assert_eq!(state.queue.entries(), 0);
    assert_eq!((state.leased, state.queue.held_in_all()), (0, 0));
    assert_eq!(state.guaranteed, None);
    assert_eq!(state.charge_of(Account::Waiters), 0);
}

#[test]
fn who_asks_and_is_refused_leaves_no_trace() {
    let (ledger, _) = ledger();
    let all = ledger.snapshot().free_to_lease_bytes;
    let held = ledger.try_lease(holder(0, 0), all).unwrap();
    let before = entries(&ledger);
    assert!(ledger.try_lease(holder(1, 1), 64 * MIB).is_none());
    ledger.close();
    assert!(ledger.admit(holder(1, 1), MIB).is_err());
    assert_eq!(entries(&ledger), before);
    drop(held);
    assert_eq!(entries(&ledger), 0);
}

#[test]
fn what_a_user_holds_counts_against_him_in_the_moment_in_which_he_gives_it_back() {
    let (ledger, clock) = ledger();
    let all = ledger.snapshot().free_to_lease_bytes;
    let mut greedy = ledger.try_lease(holder(1, 1), all).unwrap();
    // The one that may go on at any pressure is another one.
    let floor = ledger.snapshot().floor_bytes;
    let guaranteed = ledger.try_lease(holder(3, 1), floor).unwrap();
    // Of two that have had the same so far the older request is the greedy user's.
    let mut again = ledger.admit(holder(1, 2), MIB).unwrap();
    let mut modest = ledger.admit(holder(2, 1), MIB).unwrap();
    clock.advance(Duration::from_secs(10));
    greedy.shrink_to(greedy.bytes() - floor - MIB);
    assert!(
        granted(&mut again).is_none(),
        "he held nearly all for ten seconds"
    );
    assert!(granted(&mut modest).is_some());
    drop((greedy, guaranteed));
}
