//! The books: who holds what, what is free, and who gets the next piece.
//!
//! Plain data under one lock; no call in here blocks, reads a file, or runs code from outside.
//! What must happen outside the lock (waking a waiter, unmapping a buffer) is put into
//! [`Deferred`].

use std::task::Waker;
use std::time::Duration;

use super::measure::{Charged, Measure};
use crate::buffer::{Mapping, Pool, whole_pages};
use crate::classes::{PIECE_BYTES, previous_power_of_two};
use crate::holder::Purpose;
use crate::pressure::{Fill, Pressure};
use crate::queue::{Queue, Request};
use crate::{Account, Config, Holder, PressureStep, Refusal};

/// So much listings and event streams may have together however low the ceiling is, if it is there.
const ANSWERS_BYTES_MIN: u64 = 1 << 20;

/// So much readers that are remembered may have together however low the ceiling is, if it is free.
const READERS_BYTES_MIN: u64 = 64 << 10;

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

/// Who is served now, with how much, and whether the floor is what covers it.
struct Next {
    number: u64,
    slot: u32,
    bytes: u64,
    by_guarantee: bool,
    purpose: Purpose,
}

#[derive(Debug)]
pub(crate) struct Books {
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

impl Books {
    pub(crate) fn new(config: Config, measure: Measure, now: Duration) -> Self {
        let mut queue = Queue::new(config.waiters_max);
        queue.set_ceiling(measure.bounds.ceiling);
        // The first reading is heard as well, or stall right after the start would have nothing to
        // be compared with.
        let mut pressure = Pressure::new(now);
        pressure.hear(&measure.reading, &config, now);
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

    // ---- what is free ----

    pub(crate) fn charge_of(&self, account: Account) -> u64 {
        let fixed = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
            .map_or(0, |index| self.charges[index]);
        let waiters = if account == Account::Waiters {
            self.queue.waiting() * self.config.waiter_bytes
        } else {
            0
        };
        fixed + waiters
    }

    pub(crate) fn charged(&self) -> Charged {
        Charged {
            anon: self.charge_of(Account::Connections)
                + self.charge_of(Account::Answers)
                + self.charge_of(Account::Readers)
                + self.charge_of(Account::Waiters)
                + self.charge_of(Account::Downloads),
            socket: self.charge_of(Account::SocketMemory),
            dirty: self.charge_of(Account::DirtyWindows),
        }
    }

    /// What the fixed charges take from the budget. Anonymous memory that a sample saw touched
    /// stays counted until the next one, though its charge be gone: the allocator has it, not the
    /// machine.
    fn charges_held(&self) -> u64 {
        let charged = self.charged();
        charged.anon.max(self.measure.touched.anon) + charged.socket + charged.dirty
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

    // ---- grants ----

    /// Whether `bytes` may be granted to an upload that holds `held`, by the figures.
    fn fits(&self, held: u64, bytes: u64) -> bool {
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
    fn shared_floor_covers(&self, held: u64, bytes: u64) -> bool {
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
    fn leaves_room_for_uploads(&self, bytes: u64, purpose: Purpose) -> bool {
        purpose == Purpose::Upload
            || self.leased_to_downloads == 0
            || self.leased_to_downloads + bytes <= self.downloads_max()
    }

    /// Whether it leaves half of what downloads may hold to those of others. Without that, one
    /// client that opens many and takes none of them would make all others wait.
    fn leaves_room_for_others(&self, user: u64, bytes: u64, purpose: Purpose) -> bool {
        if purpose == Purpose::Upload {
            return true;
        }
        let own = self.queue.downloads_bytes(user);
        own == 0 || own + bytes <= self.downloads_max() / 2
    }

    fn is_full(&self, held: u64) -> bool {
        held == 0
            && self
                .config
                .uploads_max
                .is_some_and(|max| self.queue.active() >= max)
    }

    /// Whether the floor covers it: one upload may always proceed with two buffers.
    fn floor_covers(&self, slot: Option<u32>, held: u64, bytes: u64) -> bool {
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
        self.book(slot, bytes, by_guarantee, purpose);
        self.queue.hold(slot, bytes, now, true);
        Some(slot)
    }

    /// The same for a lease that there is already.
    pub(crate) fn grow(&mut self, slot: u32, by: u64, now: Duration, purpose: Purpose) -> bool {
        let user = self.queue.user_of(slot);
        let Some(by_guarantee) = self.decide(user, Some(slot), by, purpose) else {
            return false;
        };
        self.book(slot, by, by_guarantee, purpose);
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

    fn book(&mut self, slot: u32, bytes: u64, by_guarantee: bool, purpose: Purpose) {
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

    /// Serves those who wait, in order, for as long as the next one's request is met.
    pub(crate) fn pump(&mut self, now: Duration, deferred: &mut Deferred) {
        while let Some(next) = self.next_to_serve(now) {
            self.book(next.slot, next.bytes, next.by_guarantee, next.purpose);
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

    // ---- fixed charges ----

    /// What an account may still be charged. Connections and what goes with them may use the
    /// reserve down to the floor: they are accepted already, and refusing them would fail a client
    /// that asks for little. Windows and downloads may not.
    ///
    /// Listings and event streams may, too, since pages have to work while uploads hold all the
    /// rest; but all of them together get a quarter of the ceiling, as anyone can ask for them, and
    /// some where there is hardly one.
    pub(crate) fn room_for(&self, account: Account) -> u64 {
        let down_to_floor = (self.measure.budget + self.measure.reserve.min(self.measure.base()))
            .saturating_sub(self.charges_held() + self.leased + self.measure.bounds.floor);
        match account {
            Account::DirtyWindows => {
                let part = if self.pressure.step() >= PressureStep::ShrinkDirty {
                    64
                } else {
                    4
                };
                let most = (self.measure.bounds.ceiling / part).max(self.config.buffer_bytes_min);
                self.free()
                    .min(most.saturating_sub(self.charge_of(account)))
            }
            Account::Downloads => self.free(),
            Account::Answers => {
                let most = (self.measure.bounds.ceiling / 4).max(ANSWERS_BYTES_MIN);
                down_to_floor.min(most.saturating_sub(self.charge_of(account)))
            }
            // They last for hours.
            Account::Readers => {
                let most = (self.measure.bounds.ceiling / 16).max(READERS_BYTES_MIN);
                self.free()
                    .min(most.saturating_sub(self.charge_of(account)))
            }
            _ => down_to_floor,
        }
    }

    pub(crate) fn charge(&mut self, account: Account, bytes: u64) -> Result<(), Refusal> {
        let Some(index) = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
        else {
            return Err(Refusal::NotChargeable(account));
        };
        let room = self.room_for(account);
        if bytes > room {
            let retry_after = self.drain_time(bytes - room);
            return Err(Refusal::NoMemory {
                account,
                needed_bytes: bytes,
                free_bytes: room,
                retry_after,
            });
        }
        self.charges[index] += bytes;
        self.version += 1;
        Ok(())
    }

    pub(crate) fn discharge(&mut self, account: Account, bytes: u64) {
        if let Some(index) = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
        {
            debug_assert!(
                self.charges[index] >= bytes,
                "more is discharged than was charged"
            );
            self.charges[index] -= bytes;
            self.version += 1;
        }
    }

    // ---- samples ----

    /// Whether the machine should be read before so much is granted: when this grant, or all since
    /// the last reading together, take more than a quarter of what was free then. Many small grants
    /// are as good as a large one, and a neighbour may have come in between.
    pub(crate) fn wants_fresh(&self, bytes: u64, now: Duration) -> bool {
        let age = now.saturating_sub(self.measure.tried);
        let grown = (self.leased + bytes).saturating_sub(self.leased_seen);
        let is_much = bytes > self.free() / 4 || grown > self.free_seen / 4;
        // What could not be read last time is not tried anew for every grant.
        let limit = if is_much && self.measure.error.is_none() {
            self.config.fresh_after
        } else {
            self.config.sample_every * 3
        };
        age > limit
    }

    /// The reserve now. After a minute without stall the default one takes no more than half of
    /// what there is (and at least a quarter of itself): or a machine whose other programs rest
    /// within our reserve would be shut for good though nothing is wrong.
    pub(crate) fn reserve_now(&self, now: Duration) -> u64 {
        let full = self.measure.bounds.reserve;
        if self.config.reserve_bytes.is_some() || !self.pressure.is_calm(&self.config, now) {
            return full;
        }
        full.min((self.measure.base() / 2).max(full / 4))
    }

    /// What follows once a sample was applied, or has failed.
    pub(crate) fn after_sample(
        &mut self,
        since_last: Duration,
        now: Duration,
        deferred: &mut Deferred,
    ) {
        debug_assert_eq!(
            self.leased,
            self.queue.held_in_all(),
            "what is leased is not what the uploads hold"
        );
        let reserve = self.reserve_now(now);
        self.measure.set_reserve(reserve);
        self.measure.rise(since_last, &self.config);
        self.queue.set_ceiling(self.measure.bounds.ceiling);
        self.note_drain(since_last);
        self.judge(now);
        if self.pressure.step() >= PressureStep::CacheBack {
            self.pool.shrink_to(0, &mut deferred.mappings);
        } else if let Some(before) = now.checked_sub(self.config.cache_idle_after) {
            self.pool.expire(before, &mut deferred.mappings);
        }
        // There is plenty again: the guarantee is not needed, and must be there for one that needs
        // it next.
        if self.free() >= self.measure.bounds.floor {
            self.guaranteed = None;
        }
        self.queue.rank_all();
        self.version += 1;
        self.pump(now, deferred);
        self.leased_seen = self.leased;
        self.free_seen = self.free();
    }

    fn judge(&mut self, now: Duration) {
        let left = self
            .measure
            .base()
            .saturating_sub(self.leased + self.charges_held());
        let fill = Fill {
            leased: self.leased,
            leasable: self.leasable(),
            reserve: self.measure.reserve,
            reserve_left: left.min(self.measure.reserve),
            idle: self.leased == 0 && self.pool.kept_bytes() == 0,
        };
        self.pressure.judge(fill, &self.config, now);
    }

    /// Bytes given back per second, smoothed over some five samples.
    fn note_drain(&mut self, since_last: Duration) {
        let micros = since_last.as_micros();
        if micros == 0 {
            return;
        }
        let returned = self.returned - self.returned_seen;
        self.returned_seen = self.returned;
        let rate = u64::try_from(u128::from(returned) * 1_000_000 / micros).unwrap_or(u64::MAX);
        self.drain_per_second = self.drain_per_second - self.drain_per_second / 5 + rate / 5;
    }

    /// How long until so much has come back. With no rate known yet: a minute for a full ceiling.
    pub(crate) fn drain_time(&self, bytes: u64) -> Duration {
        let rate = self
            .drain_per_second
            .max(self.measure.bounds.ceiling / 60)
            .max(1);
        Duration::from_millis(
            u64::try_from(u128::from(bytes) * 1000 / u128::from(rate)).unwrap_or(u64::MAX),
        )
    }

    /// How long a client that is turned away should stay away: until what waits has drained,
    /// between one second and two minutes, scattered by a quarter so that they don't all come back
    /// at once.
    pub(crate) fn retry_after(&self) -> Duration {
        let drained = self.drain_time(self.queue.waiting_bytes());
        let base = drained.clamp(Duration::from_secs(1), Duration::from_secs(120));
        // Scattered by the number of changes, mixed: no randomness is needed for that.
        let mixed = self.version.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        base + base / 4 * u32::try_from(mixed).unwrap_or(0) / 1024
    }
}
