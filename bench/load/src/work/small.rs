//! Many small requests over keep-alive connections: files, or tus creations only.
//!
//! Closed loop by default: each connection starts its next request as its last ends, which measures
//! the greatest rate. With a rate requests are due on a schedule and their latency counts from
//! then, which measures what people would have waited at that rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::fault::Fault;
use crate::run::{Crowd, Run};
use crate::tally::Stored;

/// Many small files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Small {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
    pub(crate) rate: Option<u64>,
}

/// tus creations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Create {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
    pub(crate) rate: Option<u64>,
}

/// Small files.
pub(super) async fn small(run: &Arc<Run>, work: Small) {
    let each = Each::File(work.bytes);
    Row::new(work.files, work.connections, work.rate)
        .run(run, each)
        .await;
}

/// Creations of uploads that nothing is sent to.
pub(super) async fn create(run: &Arc<Run>, work: Create) {
    let each = Each::Creation(work.bytes);
    Row::new(work.count, work.connections, work.rate)
        .run(run, each)
        .await;
}

/// What is done again and again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Each {
    /// A whole file of so many bytes.
    File(u64),
    /// A creation of an upload of so many bytes.
    Creation(u64),
}

impl Each {
    /// Does it once. A creation leaves nothing that could be fetched.
    pub(super) async fn once(self, client: &mut Client, k: u64) -> Result<Option<Stored>, Fault> {
        match self {
            Self::File(bytes) => client.upload(k, bytes, u64::MAX).await.map(Some),
            Self::Creation(bytes) => {
                let answer = client.create(bytes, "").await?;
                answer.location(&client.run).map(|_| None)
            }
        }
    }
}

/// Requests in a row, which several connections take from.
#[derive(Debug, Clone, Copy)]
struct Row {
    count: u64,
    connections: u64,
    rate: Option<u64>,
}

impl Row {
    fn new(count: u64, connections: u64, rate: Option<u64>) -> Self {
        Self {
            count,
            connections: connections.min(count),
            rate,
        }
    }

    /// When request `k` is due after the start.
    fn due(self, k: u64) -> Option<Duration> {
        let ns = u128::from(k) * 1_000_000_000 / u128::from(self.rate?);
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }

    async fn run(self, run: &Arc<Run>, each: Each) {
        let next = Arc::new(AtomicU64::new(0));
        let mut crowd = Crowd::new(run);
        let started = run.tally().start();
        for n in 0..self.connections {
            let (run, next) = (Arc::clone(run), Arc::clone(&next));
            crowd.add(async move {
                let mut client = Client::new(&run, n);
                loop {
                    let k = next.fetch_add(1, Ordering::Relaxed);
                    if k >= self.count {
                        return;
                    }
                    let due = match self.due(k) {
                        Some(after) => started + after,
                        None => Instant::now(),
                    };
                    sleep_until(due).await;
                    let ended = each.once(&mut client, k).await;
                    run.book(ended.map(|stored| (stored, due.elapsed())));
                }
            });
        }
        crowd.finish(self.count).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_drift() {
        let row = Row::new(100, 16, Some(3));
        assert_eq!(row.due(3), Some(Duration::from_secs(1)));
        assert_eq!(row.due(10_000 * 3), Some(Duration::from_secs(10_000)));
        assert_eq!(Row::new(100, 16, None).due(3), None);
    }
}
