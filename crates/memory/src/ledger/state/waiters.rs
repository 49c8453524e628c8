//! Who waits: which request is served next, and what is asked back for those who wait.

use std::time::Duration;

use super::{Deferred, LedgerState};
use crate::PressureStep;
use crate::buffer::whole_pages;
use crate::holder::Purpose;
use crate::queue::Request;

/// Who is served now, with how much, and whether the floor is what covers it.
struct Next {
    number: u64,
    slot: u32,
    bytes: u64,
    by_guarantee: bool,
    purpose: Purpose,
}

impl LedgerState {
    /// Serves those who wait, in order, for as long as the next one's request is met.
    pub(crate) fn grant_waiters(&mut self, now: Duration, deferred: &mut Deferred) {
        while let Some(next) = self.next_to_serve(now) {
            self.record_grant(next.slot, next.bytes, next.by_guarantee, next.purpose);
            let waker = self.queue.grant(next.number, next.bytes, now);
            deferred.wakers.extend(waker);
        }
        self.make_room(deferred);
    }

    /// The request that is served now: the first in order, if it can be.
    ///
    /// If it can't, all behind it wait as well, unless what it waits for is what its own upload
    /// holds. That one would wait for itself, and everybody with it, so the first that holds
    /// nothing goes before it; and where the number of uploads is what is short, the first of those
    /// that are counted already. A download that waits for what its own client's downloads hold is
    /// passed over. And where a download waits, for its half or for the floor that is not for it,
    /// the first upload goes before it.
    fn next_to_serve(&mut self, now: Duration) -> Option<Next> {
        if self.queue.waiting() == 0 {
            return None;
        }
        let head = self.queue.head(now)?;
        if let Some(next) = self.servable(head) {
            return Some(next);
        }
        let mut request = self.queue.request(head)?;
        if !self.is_below_own_share(request) {
            let next = self.queue.first(|other| self.is_below_own_share(other))?;
            if let Some(next) = self.servable(next) {
                return Some(next);
            }
            request = self.queue.request(next)?;
        }
        if request.purpose == Purpose::Download {
            let first = self.queue.first(|other| other.purpose == Purpose::Upload)?;
            if let Some(next) = self.servable(first) {
                return Some(next);
            }
            request = self.queue.request(first)?;
        }
        let held = self.queue.held(request.upload);
        let waits_for_memory_of_others = held < self.leased
            && self.bytes_for(request.bytes) > self.free()
            && self.pressure.step() < PressureStep::GuaranteedOnly;
        let instead = if self.is_full(held) {
            self.queue.first_that_holds(true)
        } else if held > 0 && !waits_for_memory_of_others {
            self.queue.first_that_holds(false)
        } else {
            None
        };
        self.servable(instead?)
    }

    /// None waits for more than the largest piece, whatever it asked for: it would never come
    /// under pressure.
    fn bytes_for(&self, asked: u64) -> u64 {
        asked.min(whole_pages(self.measure.bounds.buffer_max))
    }

    fn is_below_own_share(&self, request: &Request) -> bool {
        let bytes = self.bytes_for(request.bytes);
        self.leaves_room_for_others(request.holder.user, bytes, request.purpose)
    }

    fn servable(&self, number: u64) -> Option<Next> {
        let request = self.queue.request(number)?;
        let (slot, bytes) = (request.upload, self.bytes_for(request.bytes));
        let held = self.queue.held(slot);
        let fits = self.fits(held, bytes);
        let purpose = request.purpose;
        let by_guarantee =
            !fits && purpose == Purpose::Upload && self.floor_covers(Some(slot), held, bytes);
        let covered = fits || by_guarantee || self.shared_floor_covers(held, bytes);
        let leaves_room = self.leaves_room_for_uploads(bytes, purpose)
            && self.leaves_room_for_others(request.holder.user, bytes, purpose);
        (covered && leaves_room).then_some(Next {
            number,
            slot,
            bytes,
            by_guarantee,
            purpose,
        })
    }

    /// What an upload is asked to give back. While others wait, uploads take turns by the piece:
    /// one that runs to its end would make all others wait for as long as its client pleases.
    pub(crate) fn surplus(&mut self, slot: u32, now: Duration) -> u64 {
        let held = self.queue.held(slot);
        let step = self.pressure.step();
        let may_hold = if step >= PressureStep::GuaranteedOnly {
            if self.guaranteed == Some(slot) {
                self.measure.bounds.floor
            } else {
                0
            }
        } else if step >= PressureStep::TakeSurplus {
            self.buffer_bytes()
        } else if self.queue.waiting() > 0 {
            if self.guaranteed != Some(slot) && self.queue.is_turn_of_another(slot, now) {
                0
            } else {
                self.share()
            }
        } else {
            u64::MAX
        };
        held.saturating_sub(may_hold)
    }
}
