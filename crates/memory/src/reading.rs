//! One reading of the machine: the host, every control group above us, and our own process.
//!
//! A reading is plain numbers. What may be leased on the strength of it is decided in one place,
//! the ledger; code that shows memory shows the ledger's snapshot and never a reading of its
//! own, because two accounts of one thing were the fault of the system before this one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ProbeError;

/// Where readings come from: the machine ([`crate::Machine`]), or a script in a test.
pub trait Source: Send {
    /// Reads everything afresh. An error makes the ledger keep its last reading for
    /// `Config::stale_after` and then shrink to the floor.
    fn read(&mut self) -> Result<Reading, ProbeError>;

    /// The file on which a pressure trigger may be armed, if this source has one.
    fn pressure_file(&self) -> Option<PathBuf> {
        None
    }
}

/// Everything read at one moment. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The whole machine.
    pub host: Host,
    /// Control groups, the innermost (our own) first. Empty where there are none.
    pub limits: Vec<MemoryLimit>,
    /// Our own process.
    pub process: Process,
    /// Stall counters, where the kernel has them.
    pub stall: Option<Stall>,
    /// What this machine does not tell, and how it was estimated.
    pub doubts: Vec<Doubt>,
}

/// Something that a machine usually tells and this one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Our control group is in no mount that we can see: its limit is not known.
    GroupNotFound,
    /// There is no `/proc/meminfo`: sysinfo(2) stands for it, which counts no page cache as
    /// available.
    HostBySysinfo,
    /// There is no `MemAvailable`: `MemFree` and the page cache stand for it.
    AvailableByFree,
    /// There is no `RssAnon`: what is resident and not shared, by `/proc/self/statm`, stands for
    /// it.
    ProcessByStatm,
    /// There is no `/proc/self` at all: the most that was ever resident, by getrusage(2), stands
    /// for it.
    ProcessByPeak,
}

impl Doubt {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GroupNotFound,
        Self::HostBySysinfo,
        Self::AvailableByFree,
        Self::ProcessByStatm,
        Self::ProcessByPeak,
    ];

    /// Its name, as in the status document.
    pub fn name(self) -> &'static str {
        match self {
            Self::GroupNotFound => "group_not_found",
            Self::HostBySysinfo => "host_by_sysinfo",
            Self::AvailableByFree => "available_by_free",
            Self::ProcessByStatm => "process_by_statm",
            Self::ProcessByPeak => "process_by_peak",
        }
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GroupNotFound => {
                "the memory limit of this process's control group was not found, so little memory is used for uploads: mount its control group on \
                 /sys/fs/cgroup, or set memory_limit"
            }
            Self::HostBySysinfo => {
                "there is no /proc/meminfo: the available memory is estimated by sysinfo(2), which counts cached files as used"
            }
            Self::AvailableByFree => {
                "/proc/meminfo has no MemAvailable: the available memory is estimated by MemFree and the page cache"
            }
            Self::ProcessByStatm => {
                "/proc/self/status has no RssAnon: the memory of this process is estimated by /proc/self/statm"
            }
            Self::ProcessByPeak => {
                "there is no /proc/self: the memory of this process is estimated by the most that it ever used"
            }
        })
    }
}

/// The whole machine, from `/proc/meminfo`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Host {
    /// `MemTotal`.
    pub total_bytes: u64,
    /// `MemAvailable`: the kernel's estimate of what can be had without swapping.
    pub available_bytes: u64,
    /// `Dirty`: must be written before it can be had.
    pub dirty_bytes: u64,
    /// `Writeback`: is being written.
    pub writeback_bytes: u64,
}

impl Host {
    /// What can be had at once: `MemAvailable − Dirty − Writeback`. Swap counts as nothing.
    pub fn head_bytes(&self) -> u64 {
        self.available_bytes
            .saturating_sub(self.dirty_bytes)
            .saturating_sub(self.writeback_bytes)
    }
}

/// What a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// A control group of version 1.
    CgroupV1,
    /// A control group of version 2.
    CgroupV2,
    /// The whole machine.
    Host,
    /// `Config::memory_limit_bytes` against our own process.
    Configured,
    /// The limit of our process's address space (`ulimit -v`) against what is mapped in it, touched
    /// or not.
    AddressSpace,
    /// `Config::assumed_limit_bytes` against our own process, where our control group was not
    /// found.
    Assumed,
}

/// One limit and what is used of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MemoryLimit {
    /// What it is.
    pub kind: LimitKind,
    /// The directory, or a word for the host and the configured limit.
    pub path: Arc<str>,
    /// The least of its limits; `None` if it has none.
    pub limit_bytes: Option<u64>,
    /// What can't be had back at once.
    pub hard_bytes: u64,
    /// All that is charged to it, clean page cache included.
    pub usage_bytes: u64,
    /// Pages that wait for, or are in, write-back.
    pub dirty_bytes: u64,
    /// Memory of sockets, where it is counted apart.
    pub socket_bytes: u64,
    /// How often the group ran into its limit or was throttled at it (`memory.events` high + max +
    /// oom).
    pub limit_events: u64,
    /// How often the out-of-memory killer came (`oom_kill`).
    pub oom_kills: u64,
}

impl MemoryLimit {
    /// Limit less hard usage; `None` without a limit.
    pub fn head_bytes(&self) -> Option<u64> {
        self.limit_bytes
            .map(|limit| limit.saturating_sub(self.hard_bytes))
    }
}

/// Our own process, from `/proc/self/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Process {
    /// `RssAnon`.
    pub anon_bytes: u64,
    /// `RssShmem`.
    pub shmem_bytes: u64,
}

/// The `total=` counters of a pressure file, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    /// Some task waited for memory.
    pub some_us: u64,
    /// Every task did.
    pub full_us: u64,
}
