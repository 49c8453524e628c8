//! What has happened since the start, in numbers that only rise.
//!
//! The engine counts and knows nothing of metrics; the code that shows them asks here. Plain
//! relaxed atomics: a number may be read a moment too early, and none is ever lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::protocol::Protocol;

/// What is counted for each protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Uploads that were made.
    Created,
    /// Uploads that became files.
    Completed,
    /// Uploads that failed for good.
    Failed,
    /// Uploads that their clients ended.
    Cancelled,
    /// Uploads that their clients did not go on with.
    Expired,
    /// Requests with bytes that ended well.
    RequestDone,
    /// … that were wrong.
    RequestRefused,
    /// … whose client went away.
    RequestCut,
    /// … whose client stopped sending.
    RequestStalled,
    /// … that gave way to a newer one.
    RequestTakenOver,
    /// … that the server failed.
    RequestFailed,
    /// Bytes that arrived.
    Bytes,
}

impl Counted {
    /// Each of them.
    pub const ALL: [Self; COUNTED] = [
        Self::Created,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::RequestDone,
        Self::RequestRefused,
        Self::RequestCut,
        Self::RequestStalled,
        Self::RequestTakenOver,
        Self::RequestFailed,
        Self::Bytes,
    ];
}

/// What is counted once for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Pieces that were discarded because their checksum was another.
    ChecksumMismatches,
    /// Files that were joined from parts.
    Joins,
    /// Files whose time was over.
    FilesExpired,
    /// Bytes of files that were read for downloads.
    DownloadBytes,
    /// Downloads that ended before their last byte.
    DownloadsCut,
    /// Uploads that could not even wait for memory.
    RefusedFull,
    /// Uploads that came while the server was closing.
    RefusedClosing,
    /// How often a request waited for memory.
    Waits,
    /// For how long in all, in microseconds.
    WaitedMicros,
    /// Segments and unfinished uploads that the start has looked at.
    Recovered,
}

const COUNTED: usize = Counted::Bytes as usize + 1;
const TOTALS: usize = Total::Recovered as usize + 1;

/// Numbers since the start.
#[derive(Debug)]
pub struct Stats {
    /// The last is of all protocols that this server does not speak.
    by_protocol: Vec<(&'static str, [AtomicU64; COUNTED])>,
    totals: [AtomicU64; TOTALS],
}

impl Stats {
    pub(crate) fn new(protocols: &[Protocol]) -> Self {
        let all = protocols.iter().chain([&Protocol::OTHER]);
        Self {
            by_protocol: all
                .map(|protocol| (protocol.name, Default::default()))
                .collect(),
            totals: Default::default(),
        }
    }

    fn of(&self, protocol: &str) -> &[AtomicU64; COUNTED] {
        let (others, known) = self
            .by_protocol
            .split_last()
            .expect("it is made with one at least");
        let mut known = known.iter();
        let (_, counters) = known.find(|(name, _)| *name == protocol).unwrap_or(others);
        counters
    }

    /// The names of all protocols that are counted.
    pub fn protocols(&self) -> impl Iterator<Item = &'static str> {
        self.by_protocol.iter().map(|(name, _)| *name)
    }

    pub(crate) fn count(&self, protocol: &str, what: Counted, by: u64) {
        self.of(protocol)[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, what: Total, by: u64) {
        self.totals[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.add(Total::Waits, 1);
        self.add(
            Total::WaitedMicros,
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        );
    }

    /// How a request that brought bytes has ended.
    pub(crate) fn request<T>(&self, protocol: &str, result: &Result<T, Error>) {
        let end = match result {
            Ok(_) => Counted::RequestDone,
            Err(Error::ClientGone) => Counted::RequestCut,
            Err(Error::Stalled { .. }) => Counted::RequestStalled,
            Err(Error::Superseded) => Counted::RequestTakenOver,
            Err(Error::Storage(_) | Error::Catalog(_) | Error::Internal(_)) => {
                Counted::RequestFailed
            }
            Err(_) => Counted::RequestRefused,
        };
        self.count(protocol, end, 1);
        match result {
            Err(Error::ChecksumMismatch { .. }) => self.add(Total::ChecksumMismatches, 1),
            Err(Error::QueueFull { .. }) => self.add(Total::RefusedFull, 1),
            Err(Error::Closing) => self.add(Total::RefusedClosing, 1),
            _ => {}
        }
    }

    /// A number of one protocol, by its name.
    #[must_use]
    pub fn counted(&self, protocol: &str, what: Counted) -> u64 {
        self.of(protocol)[what as usize].load(Ordering::Relaxed)
    }

    /// A number of the server.
    #[must_use]
    pub fn total(&self, what: Total) -> u64 {
        self.totals[what as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_counted_by_itself() {
        let protocol = |name| Protocol {
            name,
            is_resumable: true,
        };
        let stats = Stats::new(&[protocol("one"), protocol("two")]);
        for (name, by) in [("one", 1), ("two", 2), ("gone", 4), ("other", 8)] {
            stats.count(name, Counted::Bytes, by);
        }
        let counted = |name| stats.counted(name, Counted::Bytes);
        assert_eq!((counted("one"), counted("two")), (1, 2));
        assert_eq!(counted("other"), 12, "all that is not spoken");
        assert!(stats.protocols().eq(["one", "two", "other"]));
    }
}
