//! From a reading to a budget.
//!
//! ```text
//! base   = available + pool_resident + touched charges
//! budget = base − reserve             (rises at most 5 % of the limit a second, falls at once)
//! free   = budget − leased − charged  (and ≤ ceiling − leased)
//! ```
//!
//! What we promised and what of it is touched already stand on both sides: touching a leased page
//! raises `pool_resident` and lowers `available` alike, so the figure does not move by our own
//! work. Both are taken by the same sample: a page touched since then is in neither, and a lease
//! granted since then is in `leased`. The same holds for charges: a connection's charge counts in
//! full until the sample that sees its memory in `available`.

use std::time::Duration;

use crate::classes::Bounds;
use crate::reading::{Doubt, LimitKind, MemoryLimit, Reading};
use crate::sync::Arc;
use crate::{Config, Tightest};

/// The last sample and what follows from it.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) epoch: u64,
    pub(crate) taken: Duration,
    /// When the machine was last read, or could not be.
    pub(crate) tried: Duration,
    pub(crate) taken_at: i64,
    pub(crate) error: Option<Arc<str>>,
    pub(crate) reading: Reading,
    pub(crate) limits: std::sync::Arc<[MemoryLimit]>,
    pub(crate) doubts: std::sync::Arc<[Doubt]>,
    pub(crate) tightest: Tightest,
    pub(crate) bounds: Bounds,
    pub(crate) available: u64,
    pub(crate) pool_resident: u64,
    /// Anonymous memory of our process beyond the pool and the baseline.
    pub(crate) other_anon: u64,
    pub(crate) baseline: u64,
    /// Of the fixed charges, what the sample saw touched.
    pub(crate) touched: Touched,
    /// `min(reserve, …)` as it is now, see `LedgerState::reserve_now`.
    pub(crate) reserve: u64,
    /// What may be promised by this sample.
    pub(crate) target: u64,
    /// The same, rising slowly.
    pub(crate) budget: u64,
    /// The reading is too old to be believed.
    pub(crate) blind: bool,
}

/// Parts of the fixed charges that are used memory already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Touched {
    pub(crate) anon: u64,
    pub(crate) socket: u64,
    pub(crate) dirty: u64,
}

impl Touched {
    pub(crate) fn sum(self) -> u64 {
        self.anon + self.socket + self.dirty
    }
}

/// Fixed charges by the kind of memory that they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Charged {
    pub(crate) anon: u64,
    pub(crate) socket: u64,
    pub(crate) dirty: u64,
}

impl Measure {
    /// The first sample: believed as it is.
    pub(crate) fn first(reading: Reading, config: &Config, now: Duration, at: i64) -> Self {
        let (limits, tightest, total, available) = evaluate(&reading, config);
        let bounds = Bounds::of(total, config);
        let mut measure = Self {
            epoch: 0,
            taken: now,
            tried: now,
            taken_at: at,
            error: None,
            baseline: reading.process.anon_bytes,
            reading: Reading::default(),
            limits,
            doubts: [].into(),
            tightest,
            bounds,
            available,
            pool_resident: 0,
            other_anon: 0,
            touched: Touched::default(),
            reserve: bounds.reserve,
            target: 0,
            budget: 0,
            blind: false,
        };
        measure.apply(reading, 0, Charged::default(), config, now, at);
        measure.set_reserve(bounds.reserve);
        measure.budget = measure.target;
        measure
    }

    /// A further sample. The caller goes on to `set_reserve` and `rise`.
    pub(crate) fn apply(
        &mut self,
        reading: Reading,
        pool_resident: u64,
        charged: Charged,
        config: &Config,
        now: Duration,
        at: i64,
    ) {
        let (limits, tightest, total, available) = evaluate(&reading, config);
        self.bounds = Bounds::of(total, config);
        self.limits = limits;
        self.doubts = reading.doubts.as_slice().into();
        self.tightest = tightest;
        self.available = available;
        let used = total - available;
        self.pool_resident = pool_resident.min(used);
        self.other_anon = reading
            .process
            .anon_bytes
            .saturating_sub(pool_resident)
            .saturating_sub(self.baseline);
        // Sockets and dirty pages are known of control groups only; our own is the innermost.
        let own = reading.limits.first();
        let mut room = used - self.pool_resident;
        let mut take = |charged: u64, seen: u64| {
            let touched = charged.min(seen).min(room);
            room -= touched;
            touched
        };
        self.touched = Touched {
            anon: take(charged.anon, self.other_anon),
            socket: take(charged.socket, own.map_or(0, |limit| limit.socket_bytes)),
            dirty: take(charged.dirty, own.map_or(0, |limit| limit.dirty_bytes)),
        };
        self.reading = reading;
        self.error = None;
        self.blind = false;
        self.epoch += 1;
        self.taken = now;
        self.tried = now;
        self.taken_at = at;
    }

    /// Memory of sockets in our control group that no charge stands for. Version 1 counts it apart
    /// from all else, so there it is no part of what is used.
    pub(crate) fn sockets_beyond_charge(&self) -> u64 {
        let own = self.reading.limits.first();
        let counted = own.filter(|limit| limit.kind == LimitKind::CgroupV2);
        let seen = counted.map_or(0, |limit| limit.socket_bytes);
        seen.saturating_sub(self.touched.socket)
    }

    /// Takes what is not explained by these charges into the baseline.
    pub(crate) fn finalize_baseline(&mut self, charged: Charged) {
        let unexplained = self.other_anon.saturating_sub(charged.anon);
        self.baseline += unexplained;
        self.other_anon -= unexplained;
    }

    /// Everything that could be promised if nothing were kept free.
    pub(crate) fn base(&self) -> u64 {
        self.available + self.pool_resident + self.touched.sum()
    }

    /// Fixes the reserve and with it what may be promised.
    pub(crate) fn set_reserve(&mut self, reserve: u64) {
        self.reserve = reserve;
        self.target = if self.blind {
            0
        } else {
            self.base().saturating_sub(reserve)
        };
    }

    /// Moves the budget towards its target: down at once, up slowly.
    pub(crate) fn rise(&mut self, since_last: Duration, config: &Config) {
        let per_second =
            u128::from(self.bounds.total) * u128::from(config.rise_permille_per_second) / 1000;
        let step = per_second * since_last.as_micros() / 1_000_000;
        let most = self
            .budget
            .saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
        self.budget = self.target.min(most);
    }

    /// The machine could not be read: keeps the last figure for a while, then nothing may be
    /// promised.
    pub(crate) fn fail(&mut self, error: &str, config: &Config, now: Duration) {
        self.error = Some(error.into());
        self.tried = now;
        if now.saturating_sub(self.taken) >= config.stale_after {
            self.blind = true;
            self.target = 0;
            self.budget = 0;
        }
    }
}

/// All limits, the one with the least headroom, the least limit, the least headroom.
fn evaluate(
    reading: &Reading,
    config: &Config,
) -> (std::sync::Arc<[MemoryLimit]>, Tightest, u64, u64) {
    let mut limits = reading.limits.clone();
    let host = reading.host;
    let own = reading
        .process
        .anon_bytes
        .saturating_add(reading.process.shmem_bytes);
    if let Some(limit) = config.memory_limit_bytes {
        limits.push(plain(
            LimitKind::Configured,
            "memory_limit_bytes",
            limit,
            own,
        ));
    } else if reading.doubts.contains(&Doubt::GroupNotFound) {
        limits.push(plain(
            LimitKind::Assumed,
            "a control group that was not found",
            config.assumed_limit_bytes,
            own,
        ));
    }
    limits.push(plain(
        LimitKind::Host,
        "host",
        host.total_bytes,
        host.total_bytes.saturating_sub(host.head_bytes()),
    ));
    let mut total = u64::MAX;
    let mut available = u64::MAX;
    let mut tightest = None;
    for found in &limits {
        let (Some(limit), Some(head)) = (found.limit_bytes, found.head_bytes()) else {
            continue;
        };
        total = total.min(limit);
        if head < available {
            available = head;
            tightest = Some(found);
        }
    }
    // The host always has a limit, so that there is always one.
    let tightest = tightest.map_or_else(
        || Tightest {
            kind: LimitKind::Host,
            path: "host".into(),
        },
        |limit| Tightest {
            kind: limit.kind,
            path: limit.path.clone(),
        },
    );
    (limits.into(), tightest, total, available.min(total))
}

fn plain(kind: LimitKind, path: &str, limit: u64, hard: u64) -> MemoryLimit {
    MemoryLimit {
        kind,
        path: path.into(),
        limit_bytes: Some(limit),
        hard_bytes: hard,
        usage_bytes: hard,
        dirty_bytes: 0,
        socket_bytes: 0,
        limit_events: 0,
        oom_kills: 0,
    }
}
