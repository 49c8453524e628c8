//! The time that deadlines are counted in: the time of day, without its jumps.
//!
//! Machines learn the time late, from a network that may be wrong. A clock that jumps three days
//! ahead would make every upload and every dated file of these days due at once, and what is
//! deleted does not come back with the right time. So the time of day is compared with the
//! machine's other clock, which counts on from its start, also while it sleeps, and which can't be
//! set. What the two differ by suddenly is no time that has passed: it is kept apart
//! ([`ClockState::ahead_ms`]), deadlines stay as far away as they were, and dates are told by the
//! time of day all the same.
//!
//! Smaller differences are followed, as those of a clock that is set right slowly.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Both clocks were read within this, or they are read again: a process may be stopped between the
/// two.
const AT_ONCE_MS: i64 = 1_000;

/// Both clocks of a machine at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// The time of day, since the Unix epoch.
    pub unix_ms: i64,
    /// Since the machine's start.
    pub boot_ms: i64,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        loop {
            let boot_ms = boot_ms();
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let unix_ms = millis(since.unwrap_or_default());
            if boot_ms_is_near(boot_ms) {
                return Self { unix_ms, boot_ms };
            }
        }
    }

    /// What the time of day has gained over the other clock since then.
    fn gained_since(self, then: Self) -> i64 {
        (self.unix_ms - then.unix_ms) - (self.boot_ms - then.boot_ms)
    }
}

fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

fn boot_ms_is_near(then: i64) -> bool {
    boot_ms() - then <= AT_ONCE_MS
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What one run of the server leaves to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastRun {
    /// The last moment that it saw.
    pub seen: Moment,
    /// How far the time of day was ahead of the time that deadlines are counted in.
    pub ahead_ms: i64,
    /// The machine was not started anew since.
    pub same_boot: bool,
}

/// What is known of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockState {
    /// How far the time of day is ahead of the time that deadlines are counted in.
    pub ahead_ms: i64,
    /// Jumps seen since the start, the one before it included.
    pub jumps: u64,
    /// By how much the last of them went.
    pub last_jump_ms: i64,
    /// What is due by this time may be deleted.
    pub is_settled: bool,
}

#[derive(Debug)]
struct State {
    last: Moment,
    clock: ClockState,
    /// What a clock that is not settled goes on from.
    from: From,
    /// By the machine's other clock; until then nothing that is due is deleted.
    settles_at_ms: i64,
}

/// The start of a run about which the machine's other clock tells nothing.
#[derive(Debug, Clone, Copy)]
struct From {
    /// By the machine's other clock.
    boot_ms: i64,
    /// The time of day that the last run saw.
    seen_unix_ms: i64,
    /// How far it was ahead then.
    ahead_ms: i64,
}

impl From {
    /// How far this time of day is ahead. It has gone on since the last run, as far as can be
    /// known, or it is wrong by at least as much as it lies before that.
    fn ahead_at(self, now: Moment) -> i64 {
        let at_start = now.unix_ms - (now.boot_ms - self.boot_ms);
        self.ahead_ms + at_start.saturating_sub(self.seen_unix_ms).min(0)
    }
}

/// The time of day without its jumps.
#[derive(Debug)]
pub struct SteadyClock {
    jump_ms: i64,
    settles_ms: i64,
    state: Mutex<State>,
}

impl SteadyClock {
    /// A clock that takes a difference of `jump` or more for a jump.
    #[must_use]
    pub fn new(jump: Duration, now: Moment) -> Self {
        let last = LastRun {
            seen: now,
            ahead_ms: 0,
            same_boot: true,
        };
        Self::after(Some(last), jump, Duration::ZERO, now)
    }

    /// Goes on from the last run. On a machine that was not started anew since, its other clock
    /// tells how long that was, and whether the time of day has jumped meanwhile. Otherwise only a
    /// time that has gone back is known to be wrong; one that has gone on may be true, or not yet
    /// be set. It counts, and until no jump has come for the time `settles` nothing is deleted by
    /// it.
    #[must_use]
    pub fn after(last: Option<LastRun>, jump: Duration, settles: Duration, now: Moment) -> Self {
        let same_boot = last.filter(|last| last.same_boot && now.boot_ms >= last.seen.boot_ms);
        let settles_ms = millis(settles);
        let clock = Self {
            jump_ms: millis(jump).max(1),
            settles_ms,
            state: Mutex::new(State {
                last: same_boot.map_or(now, |last| last.seen),
                clock: ClockState {
                    ahead_ms: last.map_or(0, |last| last.ahead_ms),
                    is_settled: same_boot.is_some(),
                    ..ClockState::default()
                },
                from: From {
                    boot_ms: now.boot_ms,
                    seen_unix_ms: last.map_or(i64::MIN, |last| last.seen.unix_ms),
                    ahead_ms: last.map_or(0, |last| last.ahead_ms),
                },
                settles_at_ms: now.boot_ms.saturating_add(settles_ms),
            }),
        };
        if let Some(last) = last.filter(|_| same_boot.is_none()) {
            let back_ms = (now.unix_ms - last.seen.unix_ms).min(0);
            clock.take(&mut clock.state(), back_ms, now);
        }
        clock.at(now);
        clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, state: &mut State, gained_ms: i64, now: Moment) {
        if gained_ms.abs() < self.jump_ms {
            return;
        }
        if state.clock.is_settled {
            state.clock.ahead_ms += gained_ms;
        } else {
            // The time is being set: what was taken for it before was wrong.
            state.clock.ahead_ms = state.from.ahead_at(now);
            state.settles_at_ms = now.boot_ms.saturating_add(self.settles_ms);
        }
        state.clock.jumps += 1;
        state.clock.last_jump_ms = gained_ms;
        tracing::error!(
            jump_seconds = gained_ms / 1_000,
            all_jumps_seconds = state.clock.ahead_ms / 1_000,
            "the clock of this machine has jumped; the deadlines of uploads and files are moved along, so that nothing expires for it; check \
             the machine's time"
        );
    }

    /// The time that deadlines are counted in, in milliseconds.
    pub fn at(&self, now: Moment) -> i64 {
        let mut state = self.state();
        // Of two threads the later may come first.
        if now.boot_ms >= state.last.boot_ms {
            let gained_ms = now.gained_since(state.last);
            self.take(&mut state, gained_ms, now);
            state.last = now;
            if now.boot_ms >= state.settles_at_ms {
                state.clock.is_settled = true;
            }
        }
        state.last.unix_ms - state.clock.ahead_ms
    }

    /// What is known of the clock now.
    pub fn known(&self, now: Moment) -> ClockState {
        self.at(now);
        self.state().clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    const JUMP: Duration = Duration::from_secs(120);
    const SETTLES: Duration = Duration::from_secs(600);
    const START: Moment = Moment {
        unix_ms: 1_000 * DAY,
        boot_ms: 5 * MINUTE,
    };

    /// This much later, by a clock that was set ahead meanwhile.
    fn later(by_ms: i64, set_ahead_ms: i64) -> Moment {
        Moment {
            unix_ms: START.unix_ms + by_ms + set_ahead_ms,
            boot_ms: START.boot_ms + by_ms,
        }
    }

    fn left(same_boot: bool) -> Option<LastRun> {
        Some(LastRun {
            seen: START,
            ahead_ms: DAY,
            same_boot,
        })
    }

    #[test]
    fn jumps_are_no_time_that_passes_and_come_back() {
        let clock = SteadyClock::new(JUMP, START);
        for (at, set, jumps) in [(MINUTE, 0, 0), (2 * MINUTE, 3 * DAY, 1), (DAY, -DAY, 2)] {
            assert_eq!(clock.at(later(at, set)), START.unix_ms + at);
            let known = clock.known(later(at, set));
            assert_eq!((known.ahead_ms, known.jumps), (set, jumps));
        }
        assert_eq!(clock.at(later(DAY, 0)), START.unix_ms + DAY);
        assert_eq!(clock.known(later(DAY, 0)).ahead_ms, 0);
    }

    #[test]
    fn a_clock_that_is_set_right_slowly_is_followed() {
        let clock = SteadyClock::new(JUMP, START);
        for minute in 1..100 {
            let now = later(minute * MINUTE, minute * 1_000);
            assert_eq!(clock.at(now), now.unix_ms);
        }
        assert_eq!(clock.known(later(100 * MINUTE, 100_000)).jumps, 0);
    }

    #[test]
    fn a_jump_between_two_runs_on_a_running_machine_is_seen() {
        let clock = SteadyClock::after(left(true), JUMP, SETTLES, later(MINUTE, 3 * DAY));
        let known = clock.known(later(MINUTE, 3 * DAY));
        assert_eq!((known.ahead_ms, known.jumps), (4 * DAY, 1));
        assert!(known.is_settled);
        assert_eq!(
            clock.at(later(2 * MINUTE, 3 * DAY)),
            START.unix_ms - DAY + 2 * MINUTE
        );
    }

    #[test]
    fn after_a_start_of_the_machine_time_counts_and_settles_first() {
        let booted = Moment {
            unix_ms: START.unix_ms + 9 * DAY,
            boot_ms: 1,
        };
        let clock = SteadyClock::after(left(false), JUMP, SETTLES, booted);
        assert_eq!(clock.at(booted), START.unix_ms + 8 * DAY);
        assert!(!clock.known(booted).is_settled);
        // The time comes from the network: it was only a day.
        let told = Moment {
            unix_ms: START.unix_ms + DAY,
            boot_ms: MINUTE,
        };
        assert_eq!(clock.known(told).jumps, 1);
        assert_eq!(clock.at(told), START.unix_ms);
        let further = |minutes: i64| Moment {
            unix_ms: told.unix_ms + minutes * MINUTE,
            boot_ms: told.boot_ms + minutes * MINUTE,
        };
        assert!(!clock.known(further(9)).is_settled, "it settles anew");
        assert!(clock.known(further(10)).is_settled);
    }

    #[test]
    fn a_time_before_that_of_the_last_run_goes_on_from_it() {
        let booted = Moment {
            unix_ms: START.unix_ms - 900 * DAY,
            boot_ms: 1,
        };
        let clock = SteadyClock::after(left(false), JUMP, SETTLES, booted);
        assert_eq!(clock.at(booted), START.unix_ms - DAY);
        assert_eq!(clock.known(booted).jumps, 1);
        // The machine learns the time: it was off for a day, which counts.
        let told = Moment {
            unix_ms: START.unix_ms + DAY,
            boot_ms: 1,
        };
        assert_eq!(clock.at(told), START.unix_ms);
        assert_eq!(clock.known(told).ahead_ms, DAY);
    }

    #[test]
    fn a_folder_that_tells_nothing_of_its_last_run_settles_first() {
        let clock = SteadyClock::after(None, JUMP, SETTLES, START);
        assert!(!clock.known(START).is_settled);
        assert_eq!(clock.at(START), START.unix_ms);
    }
}
