//! The lines under which the ledger counts what is held.

/// A line of the ledger. The lines of a snapshot add up to `total_bytes + overcommitted_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Row {
    /// Leased to uploads, touched or not.
    Buffers,
    /// A fixed charge for each connection: task, HTTP parser, TLS.
    Connections,
    /// A fixed charge for each listing and event stream under way.
    Answers,
    /// A fixed charge for each reader that is remembered of a file whose downloads are limited.
    Readers,
    /// Receive and send memory of sockets, which the kernel holds.
    SocketMemory,
    /// Page cache granted to buffered writers and not yet written back.
    DirtyWindows,
    /// A fixed charge for each waiter.
    Waiters,
    /// Memory of downloads.
    Downloads,
    /// Our process at its start: code that was relocated, the runtime, tables.
    Baseline,
    /// Memory of our process that no other line explains.
    Drift,
    /// Everything else that can't be had: other processes, the kernel.
    Others,
    /// Kept free for what is not leased; what is left of it, if it had to be broken into.
    Reserve,
    /// Free, and held back because the figure may rise only slowly.
    Withheld,
    /// Free.
    Free,
}

impl Row {
    /// All of them, in the order of a snapshot.
    pub const ALL: [Row; 14] = [
        Row::Buffers,
        Row::Connections,
        Row::Answers,
        Row::Readers,
        Row::SocketMemory,
        Row::DirtyWindows,
        Row::Waiters,
        Row::Downloads,
        Row::Baseline,
        Row::Drift,
        Row::Others,
        Row::Reserve,
        Row::Withheld,
        Row::Free,
    ];

    /// Those that [`crate::Ledger::charge`] takes.
    pub const CHARGEABLE: [Row; 7] = [
        Row::Connections,
        Row::Answers,
        Row::Readers,
        Row::SocketMemory,
        Row::DirtyWindows,
        Row::Waiters,
        Row::Downloads,
    ];

    /// The name in snapshots and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Row::Buffers => "buffers",
            Row::Connections => "connections",
            Row::Answers => "answers",
            Row::Readers => "readers",
            Row::SocketMemory => "socket_memory",
            Row::DirtyWindows => "dirty_windows",
            Row::Waiters => "waiters",
            Row::Downloads => "downloads",
            Row::Baseline => "baseline",
            Row::Drift => "drift",
            Row::Others => "others",
            Row::Reserve => "reserve",
            Row::Withheld => "withheld",
            Row::Free => "free",
        }
    }
}
