//! Pressure levels and steps: how tight memory is, by two witnesses.
//!
//! The *fill* says how much of what we may use is used; *stall* says that tasks wait for memory.
//! The fill alone slows growth. Only both together shrink what is held, since memory may be full
//! for good on a healthy machine, and stall may come from a neighbour's disk. The way out is always
//! reachable: the fill falls when leases are given back, nothing is asked beyond that (with
//! nothing leased and no buffer kept the level is never `Critical`), and a minute without stall
//! releases whatever the fill says.
//!
//! The fill in thousandths: the leased part of what may be leased; from 1,000 on, plus the part of
//! the reserve that is gone. Every threshold is left at nine tenths of where it is entered.

use std::collections::VecDeque;
use std::time::Duration;

use crate::reading::{Reading, Stall};
use crate::{Config, PressureLevel, PressureStep, StallView};

/// Where a step is entered, in thousandths; it is left at 9/10 of it.
const CACHE_BACK: u64 = 800;
const SHRINK_DIRTY: u64 = 850;
const ONE_BUFFER: u64 = 900;
/// Half of the reserve is gone: with stall, holdings shrink.
const CRITICAL: u64 = 1500;

/// How many samples of stall counters are kept at most.
const HISTORY_MAX: usize = 64;

/// What the fill is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) leased: u64,
    /// What may be leased in all: leased and free.
    pub(crate) leasable: u64,
    pub(crate) reserve: u64,
    /// What of the reserve is still there.
    pub(crate) reserve_left: u64,
    /// Nothing leased, no buffer kept: there is nothing we could give back.
    pub(crate) idle: bool,
}

impl Fill {
    fn permille(self) -> u64 {
        let eaten = self.reserve.saturating_sub(self.reserve_left);
        if eaten > 0 && self.reserve > 0 {
            return 1000 + part(eaten, self.reserve);
        }
        if self.leased == 0 {
            0
        } else {
            part(self.leased, self.leasable.max(1)).min(1000)
        }
    }
}

fn part(of: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(of) * 1000 / u128::from(whole)).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(crate) struct Pressure {
    history: VecDeque<(Duration, Stall)>,
    limit_events: Option<u64>,
    opened: Duration,
    last_stall: Option<Duration>,
    stalled: bool,
    triggered: bool,
    level: PressureLevel,
    step_by_fill: PressureStep,
    step: PressureStep,
}

impl Pressure {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            history: VecDeque::new(),
            limit_events: None,
            opened: now,
            last_stall: None,
            stalled: false,
            triggered: false,
            level: PressureLevel::Normal,
            step_by_fill: PressureStep::Open,
            step: PressureStep::Open,
        }
    }

    pub(crate) fn level(&self) -> PressureLevel {
        self.level
    }

    pub(crate) fn step(&self) -> PressureStep {
        self.step
    }

    /// The kernel's trigger went off; the next sample takes it for stall.
    pub(crate) fn trigger(&mut self) {
        self.triggered = true;
    }

    /// No stall for `Config::calm_after`.
    pub(crate) fn is_calm(&self, config: &Config, now: Duration) -> bool {
        now.saturating_sub(self.last_stall.unwrap_or(self.opened)) >= config.calm_after
    }

    pub(crate) fn view(&self, now: Duration) -> StallView {
        let ago = self
            .last_stall
            .map(|last| now.saturating_sub(last).as_millis());
        StallView {
            stalled: self.stalled,
            last_ms_ago: ago.map(|ago| u64::try_from(ago).unwrap_or(u64::MAX)),
            witnessed: !self.history.is_empty(),
        }
    }

    /// Takes the second witness's word from a reading.
    pub(crate) fn record_reading(&mut self, reading: &Reading, config: &Config, now: Duration) {
        let mut stalled = std::mem::take(&mut self.triggered);
        if let Some(totals) = reading.stall {
            stalled |= self.count(totals, config, now);
        }
        // Beyond a limit of version 2, or killed for it. These counters rise with plain page cache
        // as well, which is why nothing shrinks on their word alone.
        let events = reading
            .limits
            .iter()
            .map(|limit| limit.limit_events.saturating_add(limit.oom_kills))
            .sum();
        stalled |= self.limit_events.is_some_and(|before| events > before);
        self.limit_events = Some(events);
        self.stalled = stalled;
        if stalled {
            self.last_stall = Some(now);
        }
    }

    /// Whether the counters rose by the threshold within the window. A longer time between samples
    /// counts in proportion.
    fn count(&mut self, totals: Stall, config: &Config, now: Duration) -> bool {
        let window = config.stall_window;
        while self.history.len() > 1
            && self
                .history
                .get(1)
                .is_some_and(|(at, _)| now.saturating_sub(*at) >= window)
            || self.history.len() >= HISTORY_MAX
        {
            self.history.pop_front();
        }
        let first = self.history.front().copied();
        self.history.push_back((now, totals));
        let Some((at, before)) = first else {
            return false;
        };
        let span = now.saturating_sub(at).max(window);
        let allowed =
            config.stall_threshold.as_micros() * span.as_micros() / window.as_micros().max(1);
        let some = totals.some_us.saturating_sub(before.some_us);
        // A reset counter (another file after a move) is no stall.
        totals.some_us >= before.some_us && u128::from(some) >= allowed.max(1)
    }

    /// Decides level and step from the fill and what was heard.
    pub(crate) fn evaluate(&mut self, fill: Fill, config: &Config, now: Duration) {
        let permille = fill.permille();
        let above = |threshold: u64, inside: bool| {
            permille
                >= if inside {
                    threshold * 9 / 10
                } else {
                    threshold
                }
        };
        let inside = self.step_by_fill;
        self.step_by_fill = if above(ONE_BUFFER, inside >= PressureStep::OneBuffer) {
            PressureStep::OneBuffer
        } else if above(SHRINK_DIRTY, inside >= PressureStep::ShrinkDirty) {
            PressureStep::ShrinkDirty
        } else if above(CACHE_BACK, inside >= PressureStep::CacheBack) {
            PressureStep::CacheBack
        } else {
            PressureStep::Open
        };
        let was_critical = self.level == PressureLevel::Critical;
        let both = above(CRITICAL, was_critical) && (self.stalled || was_critical);
        let critical = both && !fill.idle && !self.is_calm(config, now);
        let recently = self
            .last_stall
            .is_some_and(|last| now.saturating_sub(last) < config.stall_window);
        self.level = match (critical, self.step_by_fill) {
            (true, _) => PressureLevel::Critical,
            (false, PressureStep::OneBuffer) => PressureLevel::Constrained,
            (false, _) => PressureLevel::Normal,
        };
        self.step = match self.level {
            PressureLevel::Critical => PressureStep::GuaranteedOnly,
            PressureLevel::Constrained if recently && permille >= 1000 => PressureStep::TakeSurplus,
            _ => self.step_by_fill,
        };
    }
}
