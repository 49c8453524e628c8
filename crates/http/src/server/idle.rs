//! Connections on which nothing is asked. Where there is no place for a new one, the one idle
//! longest gives its own.
//!
//! Without that, connections that are merely kept would shut out the next person who comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A connection that rests for less is between two requests: what its client is about to send would
/// be lost.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// All idle connections, in the order in which they became so.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(Mutex<Order>);

#[derive(Debug, Default)]
struct Order {
    next: u64,
    longest_first: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One of them, for as long as nothing is asked on it.
#[derive(Debug)]
pub(super) struct Idle<'c> {
    connections: &'c IdleConnections,
    number: u64,
    gives_place: Arc<Notify>,
}

/// In a request's extensions: its body may pause, and is idle meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Pauses(pub(super) Arc<IdleConnections>);

impl Pauses {
    /// Returns when others want the connection's place.
    pub(crate) async fn unwanted(&self) {
        self.0.enter().gives_place().await;
    }
}

impl IdleConnections {
    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is asked on a connection from now on.
    pub(super) fn enter(&self) -> Idle<'_> {
        let mut order = self.order();
        let number = order.next;
        order.next += 1;
        let gives_place = Arc::new(Notify::new());
        let entry = (Instant::now(), gives_place.clone());
        order.longest_first.insert(number, entry);
        Idle {
            connections: self,
            number,
            gives_place,
        }
    }

    /// Tells the one that is idle longest to give its place. Whether there is one.
    pub(super) fn ask_longest(&self) -> bool {
        self.ask_longest_at(Instant::now())
    }

    fn ask_longest_at(&self, now: Instant) -> bool {
        let mut order = self.order();
        let Some(longest) = order.longest_first.first_entry() else {
            return false;
        };
        let (since, gives_place) = longest.get();
        if now.saturating_duration_since(*since) < IDLE_AFTER {
            return false;
        }
        gives_place.notify_one();
        longest.remove();
        true
    }
}

impl Idle<'_> {
    /// Returns when it is to give its place.
    pub(super) async fn gives_place(&self) {
        self.gives_place.notified().await;
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.connections.order().longest_first.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_one_idle_longest_gives_its_place() {
        let connections = IdleConnections::default();
        let ask = || connections.ask_longest_at(Instant::now() + IDLE_AFTER);
        assert!(!ask());
        let (one, two, three) = (
            connections.enter(),
            connections.enter(),
            connections.enter(),
        );
        assert!(!connections.ask_longest(), "they are between two requests");
        drop(one);
        assert!(ask());
        assert!(two.gives_place().now_or_never().is_some());
        assert!(three.gives_place().now_or_never().is_none());
        drop(two);
        assert!(ask());
        assert!(!ask(), "each is asked once");
        drop(three);
        assert!(connections.order().longest_first.is_empty());
    }
}
