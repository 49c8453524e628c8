//! The accounts under which the ledger counts what is held.

/// An account of memory. Those of a snapshot add up to `total_bytes + overcommitted_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Account {
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

impl Account {
    /// All of them, in the order of a snapshot.
    pub const ALL: [Account; 14] = [
        Account::Buffers,
        Account::Connections,
        Account::Answers,
        Account::Readers,
        Account::SocketMemory,
        Account::DirtyWindows,
        Account::Waiters,
        Account::Downloads,
        Account::Baseline,
        Account::Drift,
        Account::Others,
        Account::Reserve,
        Account::Withheld,
        Account::Free,
    ];

    /// Those that [`crate::Ledger::charge`] takes.
    pub const CHARGEABLE: [Account; 7] = [
        Account::Connections,
        Account::Answers,
        Account::Readers,
        Account::SocketMemory,
        Account::DirtyWindows,
        Account::Waiters,
        Account::Downloads,
    ];

    /// The name in snapshots and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Account::Buffers => "buffers",
            Account::Connections => "connections",
            Account::Answers => "answers",
            Account::Readers => "readers",
            Account::SocketMemory => "socket_memory",
            Account::DirtyWindows => "dirty_windows",
            Account::Waiters => "waiters",
            Account::Downloads => "downloads",
            Account::Baseline => "baseline",
            Account::Drift => "drift",
            Account::Others => "others",
            Account::Reserve => "reserve",
            Account::Withheld => "withheld",
            Account::Free => "free",
        }
    }
}
