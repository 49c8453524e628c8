//! What a test with faults counts, and the one line in which it tells it: rounds, faults, bytes
//! acknowledged and lost, uploads resumed, and the seed that repeats it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};

/// Sums over all rounds of one test.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    rounds: AtomicU64,
    faults: AtomicU64,
    acknowledged_bytes: AtomicU64,
    lost_bytes: AtomicU64,
    resumed: AtomicU64,
}

impl Totals {
    /// A round begins.
    pub(crate) fn round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// So many faults were injected.
    pub(crate) fn faults(&self, count: u64) {
        self.faults.fetch_add(count, Ordering::Relaxed);
    }

    /// An upload went on after a fault.
    pub(crate) fn resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// The server had answered with `answered_bytes`, of which it now has `found_bytes`.
    pub(crate) fn compare(&self, answered_bytes: u64, found_bytes: u64) -> Result<()> {
        self.acknowledged_bytes
            .fetch_add(answered_bytes, Ordering::Relaxed);
        let lost = answered_bytes.saturating_sub(found_bytes);
        self.lost_bytes.fetch_add(lost, Ordering::Relaxed);
        ensure!(
            lost == 0,
            "{lost} of {answered_bytes} acknowledged bytes are lost"
        );
        Ok(())
    }

    /// Prints the line. A test that injected nothing has shown nothing.
    pub(crate) fn tell(&self, what: &str, seed: u64) -> Result<()> {
        println!("totals: {what}: {self}, DDX_SEED={seed}");
        ensure!(
            self.faults.load(Ordering::Relaxed) > 0,
            "no fault was injected"
        );
        Ok(())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} rounds, {} faults injected, {} bytes acknowledged, {} bytes lost, {} uploads resumed",
            of(&self.rounds),
            of(&self.faults),
            of(&self.acknowledged_bytes),
            of(&self.lost_bytes),
            of(&self.resumed),
        )
    }
}
