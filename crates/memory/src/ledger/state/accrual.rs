//! What accrues from reading to reading: reserve, pressure, and how fast memory comes back.

use std::time::Duration;

use super::{Deferred, LedgerState};
use crate::PressureStep;
use crate::pressure::Fill;

impl LedgerState {
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
        self.evaluate_pressure(now);
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
        self.grant_waiters(now, deferred);
        self.leased_seen = self.leased;
        self.free_seen = self.free();
    }

    fn evaluate_pressure(&mut self, now: Duration) {
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
        self.pressure.evaluate(fill, &self.config, now);
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
