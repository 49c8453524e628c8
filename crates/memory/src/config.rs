//! Every limit and threshold of the ledger, with its default and where the default comes from.

use std::time::Duration;

use crate::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Settings of a [`crate::Ledger`]. All sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Less memory than the machine has. Our own process's anonymous and shared memory counts
    /// against it. Default: none, the machine decides.
    pub memory_limit_bytes: Option<u64>,
    /// The limit that is assumed where our control group can't be found and no `memory_limit_bytes`
    /// is set. Our own process's memory counts against it. Default 64 MiB: the least that
    /// containers with a server are given.
    pub assumed_limit_bytes: u64,
    /// Kept free for everything that is not leased. Default: `clamp(limit / 8, 128 MiB, 2 GiB)`,
    /// and `limit / 4` below 512 MiB. A reserve given here is kept to the byte; the default one is
    /// relaxed after a minute without stall, see `pressure`.
    pub reserve_bytes: Option<u64>,
    /// What all buffers together may reach. Default: half of the limit. The class (`class_buffers`)
    /// caps it further.
    pub ceiling_bytes: Option<u64>,
    /// How many buffers of the 16 MiB class there may be on machines of three sizes. See
    /// [`ClassBuffers`].
    pub class_buffers: ClassBuffers,
    /// How many may wait. Default 65,536. Beyond it: [`crate::Refusal::TooManyWaiters`].
    pub waiters_max: usize,
    /// How many uploads may hold memory at once, whatever is free. Default: none, the ledger
    /// decides.
    pub uploads_max: Option<u64>,
    /// The fixed charge of one connection: task, HTTP parser with an 8 KiB read buffer, its answer.
    /// Default 16 KiB.
    pub connection_bytes: u64,
    /// The fixed charge of one waiter: its entry, its waker and its place in the order. Default 512
    /// B.
    pub waiter_bytes: u64,
    /// The smallest piece of buffer that is worth its system calls. Default 64 KiB.
    pub buffer_bytes_min: u64,
    /// The largest piece that is handed out to an upload that waits. Default 4 MiB: larger ones
    /// measure no faster.
    pub buffer_bytes_max: u64,
    /// What one upload may hold when there is plenty. Default 16 MiB: one buffer fills, one is
    /// hashed, one is written, one is spare.
    pub upload_bytes_max: u64,
    /// Freed buffers kept mapped for the next upload. Default 16 MiB, never more than an eighth of
    /// the ceiling; they are the first thing that goes when memory is short, and go by themselves
    /// after `cache_idle_after`.
    pub cache_bytes_max: u64,
    /// A cached buffer that was not wanted for so long goes back to the kernel. Default 1 s.
    pub cache_idle_after: Duration,
    /// How often the machine is read while anything is leased or waits. Default 200 ms.
    pub sample_every: Duration,
    /// How often it is read when nothing is. Default 2 s. The first grant after a pause reads
    /// first.
    pub idle_sample_every: Duration,
    /// A grant of more than a quarter of what is free reads the machine first, unless the reading
    /// is younger than this. Default 25 ms.
    pub fresh_after: Duration,
    /// For so long a reading that could not be renewed is believed. Default 2 s; then only the
    /// floor is granted.
    pub stale_after: Duration,
    /// How fast the budget may rise, in thousandths of the limit per second. Default 50 (5 %). It
    /// falls at once.
    pub rise_permille_per_second: u32,
    /// How much stall within `stall_window` counts as pressure. Default 150 ms.
    pub stall_threshold: Duration,
    /// The window of the pressure trigger. Default 2 s, the least (and the step) for those who are
    /// not privileged.
    pub stall_window: Duration,
    /// Without stall for so long, what pressure took is given back. Default 60 s.
    pub calm_after: Duration,
    /// Memory of our process that no account explains, from which on `Snapshot::drift_alarm` is
    /// set. Default: an eighth of the limit, at least 16 MiB.
    pub drift_alarm_bytes: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_limit_bytes: None,
            assumed_limit_bytes: 64 * MIB,
            reserve_bytes: None,
            ceiling_bytes: None,
            class_buffers: ClassBuffers::default(),
            waiters_max: 65_536,
            uploads_max: None,
            connection_bytes: 16 * KIB,
            waiter_bytes: 512,
            buffer_bytes_min: 64 * KIB,
            buffer_bytes_max: 4 * MIB,
            upload_bytes_max: 16 * MIB,
            cache_bytes_max: 16 * MIB,
            cache_idle_after: Duration::from_secs(1),
            sample_every: Duration::from_millis(200),
            idle_sample_every: Duration::from_secs(2),
            fresh_after: Duration::from_millis(25),
            stale_after: Duration::from_secs(2),
            rise_permille_per_second: 50,
            stall_threshold: Duration::from_millis(150),
            stall_window: Duration::from_secs(2),
            calm_after: Duration::from_secs(60),
            drift_alarm_bytes: None,
        }
    }
}

impl Config {
    /// Checks what no default could save.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let setting = |setting, value, reason| {
            Err(Error::Setting {
                setting,
                value,
                reason,
            })
        };
        if self.buffer_bytes_min < 4096 {
            return setting(
                "buffer_bytes_min",
                self.buffer_bytes_min,
                "is less than a page of 4096 bytes",
            );
        }
        if self.buffer_bytes_max < self.buffer_bytes_min {
            return setting(
                "buffer_bytes_max",
                self.buffer_bytes_max,
                "is less than buffer_bytes_min",
            );
        }
        if self.upload_bytes_max < self.buffer_bytes_min {
            return setting(
                "upload_bytes_max",
                self.upload_bytes_max,
                "is less than buffer_bytes_min",
            );
        }
        if let Some(limit) = self.memory_limit_bytes.filter(|limit| *limit < 4 * MIB) {
            return setting(
                "memory_limit_bytes",
                limit,
                "is less than 4 MiB, in which no server can run",
            );
        }
        if self.waiters_max == 0 {
            return setting(
                "waiters_max",
                0,
                "would refuse every upload that can't start at once",
            );
        }
        if self.sample_every.is_zero() {
            return setting(
                "sample_every",
                0,
                "would keep a processor busy with nothing else",
            );
        }
        Ok(())
    }
}

/// How many 16 MiB buffers there may be, by the size of the machine
/// (`PARALLEL_UPLOAD_MAX_BUFFERS_4GB`, `_8GB`, `_16GB`). `None` means the default: 15, 25, 50.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassBuffers {
    /// Up to 4 GiB. Default 15.
    pub max_4gb: Option<u32>,
    /// Up to 8 GiB. Default 25.
    pub max_8gb: Option<u32>,
    /// Above 8 GiB. Default 50.
    pub max_16gb: Option<u32>,
}
