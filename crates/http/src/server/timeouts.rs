//! How long a connection waits for its client.

use std::time::Duration;

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// While the client takes nothing of an answer.
    pub(crate) write: Duration,
    /// For how long a file may rest beyond that, while the client lives.
    pub(crate) pause: Duration,
    /// While the client takes nothing of a file and others wait for the memory that it holds.
    pub(crate) crowded: Duration,
}

impl Timeouts {
    /// While the client takes nothing of a file, and no other needs what it holds.
    pub(crate) fn in_all(&self) -> Duration {
        self.write.saturating_add(self.pause)
    }
}
