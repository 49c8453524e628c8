//! Where a request stands in the queue.

use std::time::Duration;

/// Where a waiter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// How many requests would be served first, if all held equally long.
    pub ahead: u64,
    /// Their bytes.
    pub bytes_ahead: u64,
    /// How many wait in all, this one included.
    pub waiting: u64,
    /// Bytes ahead and one's own over the rate at which memory has been coming back.
    pub estimate: Duration,
}
