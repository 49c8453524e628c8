//! Grants: whether an upload or a download may have so much, and what it gives back.

use std::time::Duration;

use super::{Deferred, LedgerState};
use crate::holder::Purpose;
use crate::{Holder, PressureStep};

impl LedgerState {
    /// Whether `bytes` may be granted to an upload that holds `held`, by the figures.
    pub(super) fn fits(&self, held: u64, bytes: u64) -> bool {
        let step = self.pressure.step();
        if step >= PressureStep::GuaranteedOnly || bytes > self.free() || self.is_full(held) {
            return false;
        }
        held == 0 || step < PressureStep::OneBuffer || held + bytes <= self.share()
    }

    /// The part of the floor that need not be one upload's: a buffer of the two, and no more than
    /// the ceiling lets all have.
    pub(crate) fn shared_floor(&self) -> u64 {
        (self.measure.bounds.floor / 2).min(self.measure.bounds.ceiling)
    }

    /// Whether it fits into what all may share of the floor, each its part. Where others took the
    /// memory the guaranteed upload alone would go on, and all would take turns by the smallest
    /// piece, one at a time: that is a stop for all. Shared, the same memory keeps them all moving.
    pub(super) fn shared_floor_covers(&self, held: u64, bytes: u64) -> bool {
        self.leased + bytes <= self.shared_floor()
            && !self.is_full(held)
            && (held == 0 || held + bytes <= self.share())
    }

    /// What all downloads may hold. A download keeps its memory until its client takes it, so that
    /// a handful of clients that take nothing would hold all there is for as long as they are borne
    /// with.
    fn downloads_max(&self) -> u64 {
        self.leasable().max(self.shared_floor()) / 2
    }

    /// Whether it leaves uploads their half.
    pub(super) fn leaves_room_for_uploads(&self, bytes: u64, purpose: Purpose) -> bool {
        purpose == Purpose::Upload
            || self.leased_to_downloads == 0
            || self.leased_to_downloads + bytes <= self.downloads_max()
    }

    /// Whether it leaves half of what downloads may hold to those of others. Without that, one
    /// client that opens many and takes none of them would make all others wait.
    pub(super) fn leaves_room_for_others(&self, user: u64, bytes: u64, purpose: Purpose) -> bool {
        if purpose == Purpose::Upload {
            return true;
        }
        let own = self.queue.downloads_bytes(user);
        own == 0 || own + bytes <= self.downloads_max() / 2
    }

    pub(super) fn is_full(&self, held: u64) -> bool {
        held == 0
            && self
                .config
                .uploads_max
                .is_some_and(|max| self.queue.active() >= max)
    }

    /// Whether the floor covers it: one upload may always proceed with two buffers.
    pub(super) fn floor_covers(&self, slot: Option<u32>, held: u64, bytes: u64) -> bool {
        let guarantee_is_free =
            self.guaranteed.is_none() || (slot.is_some() && self.guaranteed == slot);
        guarantee_is_free && !self.is_full(held) && held + bytes <= self.measure.bounds.floor
    }

    /// Takes bytes for an upload that does not wait; the slot it is booked under.
    pub(crate) fn take(
        &mut self,
        holder: Holder,
        bytes: u64,
        now: Duration,
        purpose: Purpose,
    ) -> Option<u32> {
        let slot = self.queue.find(holder);
        if self.closing && slot.is_none() {
            return None;
        }
        let by_guarantee = self.decide(holder.user, slot, bytes, purpose)?;
        let slot = self.queue.slot(holder);
        self.record_grant(slot, bytes, by_guarantee, purpose);
        self.queue.hold(slot, bytes, now, true);
        Some(slot)
    }

    /// The same for a lease that there is already.
    pub(crate) fn grow(&mut self, slot: u32, by: u64, now: Duration, purpose: Purpose) -> bool {
        let user = self.queue.user_of(slot);
        let Some(by_guarantee) = self.decide(user, Some(slot), by, purpose) else {
            return false;
        };
        self.record_grant(slot, by, by_guarantee, purpose);
        self.queue.hold(slot, by, now, false);
        true
    }

    /// `Some(true)` if the floor is what covers it.
    fn decide(&self, user: u64, slot: Option<u32>, bytes: u64, purpose: Purpose) -> Option<bool> {
        let held = slot.map_or(0, |slot| self.queue.held(slot));
        if !self.leaves_room_for_uploads(bytes, purpose)
            || !self.leaves_room_for_others(user, bytes, purpose)
        {
            return None;
        }
        let nobody_waits = self.queue.waiting() == 0;
        if nobody_waits && self.fits(held, bytes) {
            return Some(false);
        }
        // Who waits comes first, unless this upload is the guaranteed one already.
        let may = nobody_waits || (slot.is_some() && self.guaranteed == slot);
        if may && purpose == Purpose::Upload && self.floor_covers(slot, held, bytes) {
            return Some(true);
        }
        (nobody_waits && self.shared_floor_covers(held, bytes)).then_some(false)
    }

    pub(super) fn record_grant(
        &mut self,
        slot: u32,
        bytes: u64,
        by_guarantee: bool,
        purpose: Purpose,
    ) {
        if by_guarantee {
            self.guaranteed = Some(slot);
        }
        self.leased += bytes;
        if purpose == Purpose::Download {
            self.leased_to_downloads += bytes;
            self.queue.download_takes(slot, bytes);
        }
        self.version += 1;
    }

    /// Makes room in the kept buffers if what was granted needs it.
    pub(crate) fn make_room(&mut self, deferred: &mut Deferred) {
        if self.pool.kept_bytes() > 0 {
            let room = self.leasable().saturating_sub(self.leased);
            self.pool.shrink_to(room, &mut deferred.mappings);
        }
    }

    pub(crate) fn give_back(
        &mut self,
        slot: u32,
        bytes: u64,
        now: Duration,
        lease_ends: bool,
        purpose: Purpose,
    ) {
        debug_assert!(self.leased >= bytes, "more is given back than is leased");
        self.leased -= bytes;
        if purpose == Purpose::Download {
            self.leased_to_downloads -= bytes;
            self.queue.download_gives_back(slot, bytes);
        }
        self.returned += bytes;
        self.version += 1;
        if self.guaranteed == Some(slot) && self.queue.held(slot) == bytes {
            self.guaranteed = None;
        }
        self.queue.give_back(slot, bytes, now, lease_ends);
    }
}
