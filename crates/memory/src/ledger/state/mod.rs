//! The state of the ledger: who holds what, what is free, and who gets the next piece.
//!
//! Plain data under one lock; no call in here blocks, reads a file, or runs code from outside.
//! What must happen outside the lock (waking a waiter, unmapping a buffer) is put into
//! [`Deferred`]. What is granted is in `grants`, who waits and is served in `waiters`, fixed
//! charges in `charges`, and what follows from a reading of the machine in `accrual`.

mod accrual;
mod charges;
mod grants;
mod waiters;

use std::task::Waker;
use std::time::Duration;

use super::measure::Measure;
use crate::buffer::{Mapping, Pool};
use crate::classes::{PIECE_BYTES, previous_power_of_two};
use crate::pressure::Pressure;
use crate::queue::Queue;
use crate::{Account, Config};

/// What is done once the lock is released.
#[derive(Default)]
pub(crate) struct Deferred {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) mappings: Vec<Mapping>,
}

impl Deferred {
    pub(crate) fn run(self) {
        drop(self.mappings);
        for waker in self.wakers {
            waker.wake();
        }
    }
}

/// All that the ledger knows.
#[derive(Debug)]
pub(crate) struct LedgerState {
    pub(crate) config: Config,
    pub(crate) measure: Measure,
    pub(crate) pressure: Pressure,
    pub(crate) queue: Queue,
    pub(crate) pool: Pool,
    pub(crate) leased: u64,
    /// Of it, what downloads hold: an account of its own.
    pub(crate) leased_to_downloads: u64,
    charges: [u64; Account::CHARGEABLE.len()],
    /// The upload that has the progress guarantee, while it holds anything: it may go on at any
    /// pressure.
    pub(crate) guaranteed: Option<u32>,
    pub(crate) closing: bool,
    pub(crate) version: u64,
    /// Σ of bytes ever given back, and what of it the last sample had seen.
    returned: u64,
    returned_seen: u64,
    /// What was leased, and what free, at the last sample.
    leased_seen: u64,
    free_seen: u64,
    pub(crate) drain_per_second: u64,
}

impl LedgerState {
    pub(crate) fn new(config: Config, measure: Measure, now: Duration) -> Self {
        let mut queue = Queue::new(config.waiters_max);
        queue.set_ceiling(measure.bounds.ceiling);
        // The first reading is heard as well, or stall right after the start would have nothing to
        // be compared with.
        let mut pressure = Pressure::new(now);
        pressure.record_reading(&measure.reading, &config, now);
        Self {
            config,
            pressure,
            measure,
            queue,
            pool: Pool::default(),
            leased: 0,
            leased_to_downloads: 0,
            charges: [0; Account::CHARGEABLE.len()],
            guaranteed: None,
            closing: false,
            version: 0,
            returned: 0,
            returned_seen: 0,
            leased_seen: 0,
            free_seen: 0,
            drain_per_second: 0,
        }
    }

    /// What leases may reach in all.
    pub(crate) fn leasable(&self) -> u64 {
        self.measure
            .budget
            .saturating_sub(self.charges_held())
            .min(self.measure.bounds.ceiling)
    }

    pub(crate) fn free(&self) -> u64 {
        self.leasable().saturating_sub(self.leased)
    }

    /// What one upload may hold: an even part of seven eighths, so that the next to come finds
    /// something before any has given something back.
    pub(crate) fn share(&self) -> u64 {
        let uploads = (self.queue.active() + self.queue.waiting()).max(1);
        let even = self.leasable().max(self.shared_floor()) / 8 * 7 / uploads;
        let even = even.clamp(self.config.buffer_bytes_min, self.config.upload_bytes_max);
        even / PIECE_BYTES * PIECE_BYTES
    }

    /// The piece to ask for now: two of them fit into a share.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        previous_power_of_two(self.share() / 2)
            .clamp(self.config.buffer_bytes_min, self.measure.bounds.buffer_max)
    }
}
