//! Memory for the requests on plain HTTP/1.1 connections.
//!
//! A connection is charged little when it is accepted: most are idle most of their time. What a
//! request holds is charged when its head is whole, and most of that goes back when hyper's turn
//! ends. Thousands that come at once would hold more than was ever charged otherwise. Where there
//! is no memory the requests wait, in the order in which they came; the connections that are idle
//! longest give their places, and no new ones are accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ddx_memory::{Account, Charge, Ledger};
use tokio::sync::{Mutex, Notify};

use super::idle::IdleConnections;

/// What a request holds past hyper, beside its connection: its own task and the engine's, with the
/// record and the digest's state (17 KB in all were measured with thousands of slow uploads, 3 KB
/// of an idle connection).
pub(super) const REQUEST_BYTES: u64 = 14 << 10;

/// What hyper holds beside that: two buffers, the parsed head, and the task around them (32 KB in
/// all were measured with 3,000 slow uploads of 60 KiB, which stay with it).
pub(super) const HYPER_BYTES: u64 = 14 << 10;

/// What a request is charged more in its first moments, while an upload is made for it. Thousands
/// of tus clients that came at once held 10 KB more each, and the allocator keeps some of what
/// others have just freed.
const BEGIN_BYTES: u64 = 20 << 10;

/// A request that lasts for so long has begun.
pub(super) const BEGUN_AFTER: Duration = Duration::from_secs(1);

/// So many at once are with hyper whatever there is, or nothing would ever come free, and no
/// client could be told why. The reserve bears them.
const ALWAYS: u64 = 16;

/// So many idle connections make room for one request.
const IDLE_FOR_ONE: u64 = 8;

/// The ledger does not tell when something has come free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the requests hold together, and those that wait.
#[derive(Debug)]
pub(super) struct RequestMemory {
    ledger: Ledger,
    idle: Arc<IdleConnections>,
    /// How many more need no charge.
    always: AtomicU64,
    to_hyper: Line,
    past_hyper: Line,
}

/// Requests that wait, the one that came first at its head.
#[derive(Debug, Default)]
struct Line {
    waiting: AtomicU64,
    head: Mutex<()>,
    freed: Notify,
}

/// What a request with hyper holds, until it is dropped.
#[derive(Debug)]
pub(super) struct WithHyper<'m> {
    memory: &'m RequestMemory,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Charge(Charge),
    /// It is one of those that are always served.
    Place,
    /// Given on.
    Nothing,
}

/// One that waits; counted, however its wait ends.
struct Waiting<'l>(&'l Line);

impl RequestMemory {
    pub(super) fn new(ledger: Ledger, idle: Arc<IdleConnections>) -> Self {
        Self {
            ledger,
            idle,
            always: AtomicU64::new(ALWAYS),
            to_hyper: Line::default(),
            past_hyper: Line::default(),
        }
    }

    /// Whether requests that are here already wait for it.
    pub(super) fn is_short(&self) -> bool {
        self.to_hyper.is_used() || self.past_hyper.is_used()
    }

    /// What a request needs with hyper; waits until it can be had.
    pub(super) async fn with_hyper(&self) -> WithHyper<'_> {
        let holds = self.wait(&self.to_hyper, || self.try_with_hyper()).await;
        WithHyper {
            memory: self,
            holds,
        }
    }

    fn try_with_hyper(&self) -> Option<Holds> {
        // Those whose turn with hyper is over come first.
        if !self.past_hyper.is_used()
            && let Ok(charge) = self.ledger.charge(
                Account::Connections,
                REQUEST_BYTES + HYPER_BYTES + BEGIN_BYTES,
            )
        {
            return Some(Holds::Charge(charge));
        }
        let one_less = |left: u64| left.checked_sub(1);
        self.always
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .ok()?;
        Some(Holds::Place)
    }

    async fn wait<T>(&self, line: &Line, mut attempt: impl FnMut() -> Option<T>) -> T {
        if !line.is_used()
            && let Some(had) = attempt()
        {
            return had;
        }
        line.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(line);
        let _head = line.head.lock().await;
        let mut asked = IDLE_FOR_ONE;
        loop {
            if let Some(had) = attempt() {
                return had;
            }
            // Few at a time: where others have the memory, it does not help that all idle ones go.
            (0..asked).all(|_| self.idle.ask_longest());
            asked = 1;
            let _ = tokio::time::timeout(LOOK_EVERY, line.freed.notified()).await;
        }
    }
}

impl WithHyper<'_> {
    /// Its first moments are over.
    pub(super) fn has_begun(&mut self) {
        self.shrink_to(REQUEST_BYTES + HYPER_BYTES);
    }

    fn shrink_to(&mut self, bytes: u64) {
        if let Holds::Charge(charge) = &mut self.holds {
            charge.shrink(charge.bytes().saturating_sub(bytes));
        }
    }

    /// What the request needs past hyper, which is gone by now; waits until it can be had.
    pub(super) async fn past_hyper(mut self) -> Charge {
        let memory = self.memory;
        self.shrink_to(REQUEST_BYTES);
        if let Holds::Charge(charge) = std::mem::replace(&mut self.holds, Holds::Nothing) {
            return charge;
        }
        memory.always.fetch_add(1, Ordering::Relaxed);
        drop(self);
        let attempt = || {
            memory
                .ledger
                .charge(Account::Connections, REQUEST_BYTES)
                .ok()
        };
        memory.wait(&memory.past_hyper, attempt).await
    }
}

impl Drop for WithHyper<'_> {
    fn drop(&mut self) {
        let memory = self.memory;
        match std::mem::replace(&mut self.holds, Holds::Nothing) {
            Holds::Place => {
                memory.always.fetch_add(1, Ordering::Relaxed);
            }
            Holds::Charge(charge) => drop(charge),
            Holds::Nothing => {}
        }
        memory.past_hyper.freed.notify_one();
        memory.to_hyper.freed.notify_one();
    }
}

impl Line {
    fn is_used(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use futures_util::poll;

    fn account(ledger: &Ledger) -> u64 {
        ledger.snapshot().account(Account::Connections)
    }

    fn memory() -> (Ledger, Arc<RequestMemory>) {
        let ledger = Ledger::on_this_machine(ddx_memory::Config::default()).unwrap();
        let memory = RequestMemory::new(ledger.clone(), Arc::default());
        (ledger, Arc::new(memory))
    }

    /// All that there is, by halves.
    fn take_all(ledger: &Ledger) -> Vec<Charge> {
        let (mut all, mut bytes) = (Vec::new(), ledger.snapshot().ceiling_bytes * 2);
        while bytes > 0 {
            match ledger.charge(Account::Connections, bytes) {
                Ok(charge) => all.push(charge),
                Err(_) => bytes /= 2,
            }
        }
        all
    }

    #[tokio::test]
    async fn each_is_charged_for_as_long_as_it_is_held() {
        let (ledger, memory) = memory();
        let before = account(&ledger);
        let (mut one, mut two) = (memory.with_hyper().await, memory.with_hyper().await);
        let both = 2 * (REQUEST_BYTES + HYPER_BYTES);
        assert_eq!(account(&ledger) - before, both + 2 * BEGIN_BYTES);
        one.has_begun();
        two.has_begun();
        two.has_begun();
        assert_eq!(account(&ledger) - before, both);
        let past = one.past_hyper().await;
        assert_eq!(account(&ledger) - before, 2 * REQUEST_BYTES + HYPER_BYTES);
        drop(two);
        assert_eq!(account(&ledger) - before, REQUEST_BYTES);
        drop(past);
        assert_eq!(account(&ledger), before);
        assert!(!memory.is_short());
    }

    #[tokio::test]
    async fn without_memory_a_few_are_served_and_the_others_wait_in_order() {
        let (ledger, memory) = memory();
        let all = take_all(&ledger);
        let mut served = Vec::new();
        for _ in 0..ALWAYS {
            served.push(memory.with_hyper().await);
        }
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3_u64 {
            let (waiting, done) = (memory.clone(), done.clone());
            tokio::spawn(async move {
                let held = waiting.with_hyper().await;
                done.send(number).unwrap();
                drop(held);
            });
            while memory.to_hyper.waiting.load(Ordering::Relaxed) <= number {
                tokio::task::yield_now().await;
            }
        }
        assert!(memory.is_short());
        assert!(order.try_recv().is_err());
        let past = served.pop().unwrap();
        let mut past = Box::pin(past.past_hyper());
        assert!(
            poll!(&mut past).is_pending(),
            "there is nothing to hold on with"
        );
        for number in 0..3 {
            assert_eq!(order.recv().await, Some(number));
        }
        // One that leaves while it waits is not counted any more.
        assert!(memory.past_hyper.is_used());
        drop(past);
        while memory.is_short() {
            tokio::task::yield_now().await;
        }
        served.push(memory.with_hyper().await);
        let mut waits = Box::pin(memory.with_hyper());
        assert!(poll!(&mut waits).is_pending());
        drop(all);
        drop(waits.await);
        drop(served);
        assert_eq!(memory.always.load(Ordering::Relaxed), ALWAYS);
    }
}
