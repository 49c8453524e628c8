//! What is known of connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of a connection, in each request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The other end, which may be a proxy.
    pub peer: SocketAddr,
    /// Whether it came by TLS.
    pub is_tls: bool,
}

/// How many connections there are and were.
#[derive(Debug, Default)]
pub struct Connections {
    accepted: AtomicU64,
    closed: AtomicU64,
}

impl Connections {
    /// Open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted().saturating_sub(closed)
    }

    /// Accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}
