//! What this machine can do, before a single upload: the figures that `ddx plan` prints.

use std::fmt;
use std::sync::Arc;

use crate::classes::{Class, previous_power_of_two};
use crate::{Doubt, Ledger, MemoryLimit, Tightest};

/// How many uploads at once at one rate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlannedRate {
    /// Bytes per second of each upload.
    pub bytes_per_second: u64,
    /// The piece it fills: an eighth of a second's worth, a power of two.
    pub buffer_bytes: u64,
    /// What each holds: two pieces and its connection.
    pub each_bytes: u64,
    /// How many at once without a wait.
    pub uploads: u64,
}

/// What this machine can do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Plan {
    /// The least limit found, in bytes.
    pub total_bytes: u64,
    /// The least headroom.
    pub available_bytes: u64,
    /// Where the least headroom is.
    pub tightest: Tightest,
    /// Every limit found, the innermost group first, the host last.
    pub limits: Arc<[MemoryLimit]>,
    /// What this machine does not tell, and how it was estimated.
    pub doubts: Arc<[Doubt]>,
    /// The class by size.
    pub class: Class,
    /// Kept free.
    pub reserve_bytes: u64,
    /// What all buffers together may reach.
    pub ceiling_bytes: u64,
    /// What one upload may hold at any pressure.
    pub floor_bytes: u64,
    /// What could be leased now.
    pub leasable_bytes: u64,
    /// The fixed charge of a connection.
    pub connection_bytes: u64,
    /// How many may wait.
    pub waiters_max: u64,
    /// How many uploads at once, by rate.
    pub rates: Vec<PlannedRate>,
}

/// 10 Mbit/s, 100 Mbit/s, 1 Gbit/s, 10 Gbit/s; and trickles.
const RATES: [u64; 5] = [64 << 10, 1_250_000, 12_500_000, 125_000_000, 1_250_000_000];

impl Ledger {
    /// What this machine can do, by its state now.
    pub fn plan(&self) -> Plan {
        let snapshot = self.snapshot();
        let config = self.config();
        let leasable = snapshot.leased_bytes + snapshot.free_to_lease_bytes;
        // Connections may use the reserve down to the floor.
        let in_all = leasable + snapshot.reserve_bytes.saturating_sub(snapshot.floor_bytes);
        let rates = RATES
            .into_iter()
            .map(|bytes_per_second| {
                let buffer_bytes = previous_power_of_two(bytes_per_second / 8)
                    .clamp(config.buffer_bytes_min, config.buffer_bytes_max);
                // A trickle is written straight from the frame it came in and shares one buffer's
                // time with others.
                let held = if bytes_per_second <= config.buffer_bytes_min {
                    0
                } else {
                    2 * buffer_bytes
                };
                let each_bytes = held + config.connection_bytes;
                let by_buffers = leasable.checked_div(held).unwrap_or(u64::MAX);
                let uploads = by_buffers.min(in_all / each_bytes.max(1)).max(1);
                PlannedRate {
                    bytes_per_second,
                    buffer_bytes,
                    each_bytes,
                    uploads,
                }
            })
            .collect();
        Plan {
            total_bytes: snapshot.total_bytes,
            available_bytes: snapshot.available_bytes,
            tightest: snapshot.tightest.clone(),
            limits: snapshot.limits.clone(),
            doubts: snapshot.doubts.clone(),
            class: Class::of(snapshot.total_bytes, config.class_buffers),
            reserve_bytes: snapshot.reserve_bytes,
            ceiling_bytes: snapshot.ceiling_bytes,
            floor_bytes: snapshot.floor_bytes,
            leasable_bytes: leasable,
            connection_bytes: config.connection_bytes,
            waiters_max: config.waiters_max as u64,
            rates,
        }
    }
}

/// Bytes for people: three digits and a binary unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = usize::from(unit > 0 && value < 100.0);
        f.pad(&format!("{value:.digits$} {}", UNITS[unit]))
    }
}
