//! Memory for the connections that hyper serves.
//!
//! A connection is charged when it is accepted for what it holds most of its time. While hyper takes a request from it
//! it holds more, and when thousands come at once all of them do: so that much is charged apart, from the head that
//! is whole to the end of hyper's turn. Where it can't be had the connection waits, in the order in which they came,
//! and no new ones are accepted meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ddx_memory::{Charge, Ledger, Row};
use tokio::sync::{Mutex, Notify};

/// What a connection with a request was measured to hold in hyper beside what it is charged already (32 KB in all with
/// 3,000 uploads of 60 KiB, 17 KB with as many past hyper): two buffers, the parsed head, and the task around them.
const HYPER_BYTES: u64 = 16 << 10;

/// So many at once are served whatever there is, or nothing would ever come free. The reserve bears them.
const ALWAYS: u64 = 16;

/// The ledger does not tell when something has come free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What all of hyper's connections hold.
#[derive(Debug)]
pub(super) struct HyperMemory {
    ledger: Ledger,
    /// How many more need no charge.
    always: AtomicU64,
    waiting: AtomicU64,
    /// Held by the one that waited longest.
    turn: Mutex<()>,
    freed: Notify,
}

/// What one of them holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Held<'m> {
    memory: &'m HyperMemory,
    /// None for one of those that are always served.
    charge: Option<Charge>,
}

/// One that waits; counted, however its wait ends.
struct Waiting<'m>(&'m HyperMemory);

impl HyperMemory {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            always: AtomicU64::new(ALWAYS),
            waiting: AtomicU64::new(0),
            turn: Mutex::new(()),
            freed: Notify::new(),
        }
    }

    /// Whether connections that are here already wait for it.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// What hyper needs for one connection; waits until it can be had.
    pub(super) async fn take(&self) -> Held<'_> {
        if !self.is_short()
            && let Some(held) = self.try_take()
        {
            return held;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(self);
        let _turn = self.turn.lock().await;
        loop {
            if let Some(held) = self.try_take() {
                return held;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, self.freed.notified()).await;
        }
    }

    fn try_take(&self) -> Option<Held<'_>> {
        let charge = match self.ledger.charge(Row::Connections, HYPER_BYTES) {
            Ok(charge) => Some(charge),
            Err(_) => {
                let one_less = |left: u64| left.checked_sub(1);
                self.always
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                    .ok()?;
                None
            }
        };
        Some(Held {
            memory: self,
            charge,
        })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.charge.take().is_none() {
            self.memory.always.fetch_add(1, Ordering::Relaxed);
        }
        self.memory.freed.notify_one();
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
    use std::sync::Arc;

    fn row(ledger: &Ledger) -> u64 {
        ledger.snapshot().row(Row::Connections)
    }

    #[tokio::test]
    async fn each_is_charged_for_as_long_as_it_is_held() {
        let ledger = Ledger::on_this_machine(ddx_memory::Config::default()).unwrap();
        let memory = HyperMemory::new(ledger.clone());
        let before = row(&ledger);
        let held = [memory.take().await, memory.take().await];
        assert_eq!(row(&ledger) - before, 2 * HYPER_BYTES);
        assert!(!memory.is_short());
        drop(held);
        assert_eq!(row(&ledger), before);
    }

    #[tokio::test]
    async fn without_memory_a_few_are_served_and_the_others_wait_in_order() {
        let ledger = Ledger::on_this_machine(ddx_memory::Config::default()).unwrap();
        let memory = Arc::new(HyperMemory::new(ledger.clone()));
        // All that there is, by halves.
        let (mut all, mut bytes) = (Vec::new(), ledger.snapshot().ceiling_bytes * 2);
        while bytes > 0 {
            match ledger.charge(Row::Connections, bytes) {
                Ok(charge) => all.push(charge),
                Err(_) => bytes /= 2,
            }
        }
        let mut served = Vec::new();
        for _ in 0..ALWAYS {
            served.push(memory.take().await);
        }
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3_u64 {
            let (waiting, done) = (memory.clone(), done.clone());
            tokio::spawn(async move {
                let held = waiting.take().await;
                done.send(number).unwrap();
                drop(held);
            });
            while memory.waiting.load(Ordering::Relaxed) <= number {
                tokio::task::yield_now().await;
            }
        }
        assert!(memory.is_short());
        assert!(order.try_recv().is_err());
        served.pop();
        for number in 0..3 {
            assert_eq!(order.recv().await, Some(number));
        }
        while memory.is_short() {
            tokio::task::yield_now().await;
        }
        // One that leaves while it waits is not counted any more.
        served.push(memory.take().await);
        let mut waits = Box::pin(memory.take());
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert!(memory.is_short());
        drop(waits);
        assert!(!memory.is_short());
        drop(all);
        memory.take().await;
    }
}
