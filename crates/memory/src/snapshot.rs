//! The one memory figure.
//!
//! Admission, buffers, alerts, metrics and the status page read this and nothing else. A snapshot
//! is taken from the very state that decides, under its lock, so that what is shown is what
//! decided.

use std::sync::Arc;

use crate::{Account, Doubt, Host, LimitKind, MemoryLimit, Process};

/// How tight memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureLevel {
    /// There is enough.
    Normal,
    /// Growth is slowed.
    Constrained,
    /// Fill and stall agree: holdings shrink, one upload at a time goes on.
    Critical,
}

/// Steps taken as memory gets tight; each includes those before it. Nothing that was accepted is
/// ever dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureStep {
    /// Nothing is held back.
    Open,
    /// Freed buffers are not kept.
    CacheBack,
    /// Dirty windows shrink to one each.
    ShrinkDirty,
    /// One that holds a buffer gets no more than its share.
    OneBuffer,
    /// What is held beyond a buffer is asked back at chunk ends.
    TakeSurplus,
    /// Only the upload that has the progress guarantee goes on.
    GuaranteedOnly,
}

/// What the second witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct StallView {
    /// Whether tasks stall for memory now.
    pub stalled: bool,
    /// How long ago they last did, in milliseconds; `None` if never since start.
    pub last_ms_ago: Option<u64>,
    /// The kernel tells of stall at all.
    pub witnessed: bool,
}

/// Who decided `available_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tightest {
    /// Its kind.
    pub kind: LimitKind,
    /// Its directory, or a word.
    pub path: Arc<str>,
}

/// Memory at one moment, as the ledger sees it. Sizes in bytes.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Snapshot {
    /// Which sample of the machine this rests on.
    pub epoch: u64,
    /// Rises with every change of the state.
    pub version: u64,
    /// When that sample was taken: milliseconds since the Unix epoch.
    pub taken_at: i64,
    /// How old the sample is, in milliseconds.
    pub age_ms: u64,
    /// Why the machine could not be read last time, if it could not. After `Config::stale_after`
    /// only the floor is granted.
    pub read_error: Option<Arc<str>>,
    /// What this machine does not tell, and how it was estimated.
    pub doubts: Arc<[Doubt]>,
    /// The least limit found.
    pub total_bytes: u64,
    /// The least headroom under any limit.
    pub available_bytes: u64,
    /// `total − available`: where the least headroom is at the least limit, exactly the hard
    /// usage under it.
    pub used_bytes: u64,
    /// The limit with the least headroom.
    pub tightest: Tightest,
    /// Every limit found, the innermost group first, the host last.
    pub limits: Arc<[MemoryLimit]>,
    /// The host.
    pub host: Host,
    /// Our process.
    pub process: Process,
    /// What is kept free now.
    pub reserve_bytes: u64,
    /// What all leases together may reach.
    pub ceiling_bytes: u64,
    /// What one upload may hold at any pressure; half as much all others may share.
    pub floor_bytes: u64,
    /// Σ of all leases.
    pub leased_bytes: u64,
    /// Resident bytes of buffers, kept ones included, when the sample was taken.
    pub pool_resident_bytes: u64,
    /// Mapped for buffers now.
    pub pool_mapped_bytes: u64,
    /// Of those, freed and kept for the next.
    pub pool_kept_bytes: u64,
    /// What may be leased now.
    pub free_to_lease_bytes: u64,
    /// What one active upload may hold now.
    pub share_bytes: u64,
    /// Promised beyond what there is, because others took memory since. Nothing more is promised
    /// until it is zero.
    pub overcommitted_bytes: u64,
    /// What is held, by account.
    pub accounts: Vec<(Account, u64)>,
    /// How tight it is.
    pub pressure_level: PressureLevel,
    /// What is done about it.
    pub pressure_step: PressureStep,
    /// The second witness.
    pub stall: StallView,
    /// Requests that wait.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Uploads that hold memory.
    pub active_uploads: u64,
    /// How many more uploads could be admitted now.
    pub slots_available: u64,
    /// Bytes per second that came back lately.
    pub drain_bytes_per_second: u64,
    /// `RssAnon − pool_resident − baseline − fixed charges`; negative when less is used than
    /// charged.
    pub drift_bytes: i64,
    /// Drift is beyond `Config::drift_alarm_bytes`.
    pub drift_alarm: bool,
    /// No new uploads are admitted.
    pub closing: bool,
}

impl Snapshot {
    /// The bytes of one account.
    pub fn account(&self, account: Account) -> u64 {
        self.accounts
            .iter()
            .find(|(name, _)| *name == account)
            .map_or(0, |(_, bytes)| *bytes)
    }

    /// `used ÷ total`, in hundredths.
    pub fn used_percent(&self) -> f64 {
        if self.total_bytes == 0 {
            return 0.0;
        }
        self.used_bytes as f64 * 100.0 / self.total_bytes as f64
    }
}
