//! What all of a simulated life share: chance, time, the trace of events, the end of the process,
//! and what was found wrong.
//!
//! Everything that can be seen from outside the engine's own memory (a call of the store, a commit,
//! bytes of a body, an answer that a client gets) is an event. Between two events nothing happens
//! that a crash could cut in half, so a crash at every event is a crash at every await point. The
//! trace is their hash: two runs of one seed have the same, or something is not in the seed's
//! hands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_storage::conformance::Random;
use ddx_storage::faults::SimulatedDisk;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::{Fault, Plan};
use crate::tally::Tally;

/// A life that takes more events than this goes round in circles.
const EVENTS_MAX: u64 = 400_000;

/// Time of day when a life begins, in milliseconds since the Unix epoch.
const BEGINNING: i64 = 1_800_000_000_000;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downfall {
    /// Killed, or without power.
    Crash,
    /// Asked to.
    Stop,
}

/// Shared by everything in a life; clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    disk: SimulatedDisk,
    state: Mutex<State>,
    news: Notify,
}

struct State {
    random: Random,
    ids: Random,
    trace: u64,
    events: u64,
    /// Ends of the process that are still to come, the next one last, and when the present process
    /// began.
    ends: Vec<Fault>,
    process_began_at: u64,
    process: u64,
    is_down: bool,
    is_stopping: bool,
    /// Simulated time before this process, when it began by tokio's clock, and what was last read
    /// of it.
    before: Duration,
    began: Option<Instant>,
    last: Duration,
    clock_jump_ms: i64,
    turned_back_ms: i64,
    /// The latest time of day that anything can have seen.
    latest_at: i64,
    store_calls: u64,
    commits: u64,
    works: u64,
    /// Faults that made a call fail, so far.
    failures: u64,
    /// … because the disk was full.
    full_failures: u64,
    disk_ms: u64,
    commit_ms: u64,
    wrong: Option<String>,
    tally: Tally,
    log: Option<Vec<String>>,
}

impl World {
    /// The world of this plan, before its first process.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let is_end = |fault: &&Fault| matches!(fault, Fault::Crash { .. } | Fault::Stop { .. });
        let mut ends: Vec<_> = plan.faults.iter().filter(is_end).copied().collect();
        ends.reverse();
        Self(Arc::new(Inner {
            disk: SimulatedDisk::new(plan.setting.disk_bytes, plan.setting.disk_bytes / 16),
            news: Notify::new(),
            state: Mutex::new(State {
                random: Random::new(plan.seed),
                ids: Random::new(!plan.seed),
                trace: 0xcbf2_9ce4_8422_2325,
                events: 0,
                ends,
                process_began_at: 0,
                process: 0,
                is_down: false,
                is_stopping: false,
                before: Duration::ZERO,
                began: None,
                last: Duration::ZERO,
                clock_jump_ms: 0,
                turned_back_ms: 0,
                latest_at: BEGINNING,
                store_calls: 0,
                commits: 0,
                works: 0,
                failures: 0,
                full_failures: 0,
                disk_ms: plan.setting.disk_ms,
                commit_ms: plan.setting.commit_ms,
                wrong: None,
                tally: Tally::default(),
                log: None,
            }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, which outlives every process.
    #[must_use]
    pub fn disk(&self) -> &SimulatedDisk {
        &self.0.disk
    }

    /// Keeps every event as a line of text.
    pub fn keep_log(&self) {
        self.state().log = Some(Vec::new());
    }

    /// The lines kept.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone().unwrap_or_default()
    }

    /// Something happened that can be seen from outside. It may be the last that this process lives
    /// to see.
    pub fn event(&self, what: &'static str, one: u64, two: u64) {
        let now = self.elapsed();
        let mut state = self.state();
        if state.is_down {
            return;
        }
        state.events += 1;
        let words = [now.as_millis() as u64, one, two];
        let bytes = what
            .bytes()
            .chain(words.into_iter().flat_map(u64::to_le_bytes));
        state.trace = bytes.fold(state.trace, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        if let Some(log) = &mut state.log {
            log.push(format!("{:>8} ms  {what} {one} {two}", now.as_millis()));
        }
        let lived = state.events - state.process_began_at;
        match state.ends.last().copied() {
            Some(Fault::Crash {
                after_events,
                power,
            }) if lived >= after_events => {
                state.ends.pop();
                self.fall(&mut state, power);
            }
            Some(Fault::Stop { after_events }) if lived >= after_events && !state.is_stopping => {
                state.ends.pop();
                state.is_stopping = true;
                state.tally.stops += 1;
                self.0.news.notify_one();
            }
            _ => {}
        }
        let events = state.events;
        drop(state);
        if events > EVENTS_MAX {
            self.wrong(format!("{EVENTS_MAX} events and no end"));
        }
    }

    fn fall(&self, state: &mut State, power: bool) {
        state.is_down = true;
        if power {
            state.tally.power_cuts += 1;
            self.0.disk.power_cut(&mut state.random);
        } else {
            state.tally.kills += 1;
            self.0.disk.kill();
        }
        self.0.news.notify_one();
    }

    /// Ends the present process now, whatever is planned.
    pub fn cut_power(&self) {
        let mut state = self.state();
        self.fall(&mut state, true);
    }

    /// The process has ended of itself, and with it all that it held open.
    pub fn process_ended(&self) {
        let now = self.elapsed();
        let mut state = self.state();
        if !state.is_down {
            self.0.disk.kill();
        }
        state.is_down = true;
        state.before = now;
        state.began = None;
    }

    /// A new process, in the runtime that it will run in.
    pub fn process_begins(&self) {
        let mut state = self.state();
        state.is_down = false;
        state.is_stopping = false;
        state.process += 1;
        state.process_began_at = state.events;
        state.began = Some(Instant::now());
    }

    /// By how much the time of day was turned back, in all.
    #[must_use]
    pub fn turned_back_ms(&self) -> i64 {
        self.state().turned_back_ms
    }

    /// Whether the server was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Whether the process has ended, though its memory may not know it yet.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state().is_down
    }

    /// How many processes there have been.
    #[must_use]
    pub fn process(&self) -> u64 {
        self.state().process
    }

    /// Returns once the process has to end, or something was found wrong.
    pub async fn downfall(&self) -> Downfall {
        loop {
            {
                let state = self.state();
                if state.is_down || state.wrong.is_some() {
                    return Downfall::Crash;
                }
                if state.is_stopping {
                    return Downfall::Stop;
                }
            }
            self.0.news.notified().await;
        }
    }

    /// Returns once the process is down.
    pub async fn down(&self) {
        while !self.is_down() && self.verdict().is_none() {
            self.0.news.notified().await;
        }
    }

    /// Simulated time since the life began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let in_runtime = tokio::runtime::Handle::try_current().is_ok();
        let mut state = self.state();
        if let Some(began) = state.began.filter(|_| in_runtime) {
            state.last = state.before + began.elapsed();
        }
        state.last
    }

    /// The time of day, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_at(&self) -> i64 {
        let now = self.elapsed();
        let mut state = self.state();
        let at = BEGINNING + state.clock_jump_ms + now.as_millis() as i64;
        state.latest_at = state.latest_at.max(at);
        at
    }

    /// The latest time of day that the server can have seen.
    #[must_use]
    pub fn latest_at(&self) -> i64 {
        let at = self.unix_at();
        self.state().latest_at.max(at)
    }

    /// Whether what expires then may have, by any clock that the server has seen.
    #[must_use]
    pub fn is_over(&self, expires_at: Option<i64>) -> bool {
        expires_at.is_some_and(|at| self.latest_at() + self.turned_back_ms() >= at)
    }

    /// The time of day jumps.
    pub fn jump(&self, by_ms: i64) {
        let mut state = self.state();
        state.clock_jump_ms += by_ms;
        state.turned_back_ms += (-by_ms).max(0);
        state.tally.clock_jumps += 1;
    }

    /// Chance.
    pub fn below(&self, end: u64) -> u64 {
        self.state().random.below(end)
    }

    /// Random bytes for ids, from a sequence of their own.
    pub fn fill(&self, into: &mut [u8]) {
        let mut state = self.state();
        for word in into.chunks_mut(8) {
            let next = state.ids.next_u64().to_le_bytes();
            word.copy_from_slice(&next[..word.len()]);
        }
    }

    /// How long the next piece of blocking work waits for a thread and the disk, and its number.
    pub fn next_work(&self) -> (u64, Duration) {
        let mut state = self.state();
        state.works += 1;
        let most = state.disk_ms;
        (state.works, pause(&mut state.random, most))
    }

    /// How long the next commit takes, and its number.
    pub fn next_commit(&self) -> (u64, Duration) {
        let mut state = self.state();
        state.commits += 1;
        let most = state.commit_ms;
        (state.commits, pause(&mut state.random, most))
    }

    /// How long the answer to a read of the catalog is under way.
    pub fn next_read(&self) -> Duration {
        let mut state = self.state();
        let most = state.commit_ms;
        match state.random.below(64) {
            // The disk is asked, and is busy.
            0 => pause(&mut state.random, most * 10),
            1..16 => pause(&mut state.random, most),
            _ => Duration::ZERO,
        }
    }

    /// The number of the next call of the store.
    pub fn next_store_call(&self) -> u64 {
        let mut state = self.state();
        state.store_calls += 1;
        state.store_calls
    }

    /// A call was made to fail.
    pub fn failed(&self, for_space: bool) {
        let mut state = self.state();
        state.failures += 1;
        state.full_failures += u64::from(for_space);
    }

    /// A commit failed that may come back: often the process ends soon, as nothing tells of that
    /// commit but a crash.
    pub fn haunted(&self) {
        let mut state = self.state();
        if state.random.once_in(2) {
            let lived = state.events - state.process_began_at;
            let crash = Fault::Crash {
                after_events: lived + 1 + state.random.below(60),
                power: state.random.once_in(2),
            };
            state.ends.push(crash);
        }
    }

    /// How many calls were made to fail, and how many of them because the disk was full.
    #[must_use]
    pub fn failures(&self) -> (u64, u64) {
        let state = self.state();
        (state.failures, state.full_failures)
    }

    /// Counts.
    pub fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.state().tally);
    }

    /// A promise was broken. The first one is kept, and the life ends.
    pub fn wrong(&self, what: String) {
        let mut state = self.state();
        // What a process does after its end is not seen.
        if state.wrong.is_none() && !state.is_down {
            if let Some(log) = &mut state.log {
                log.push(format!("WRONG: {what}"));
            }
            state.wrong = Some(what);
        }
        drop(state);
        self.0.news.notify_one();
    }

    /// What was found wrong.
    #[must_use]
    pub fn verdict(&self) -> Option<String> {
        self.state().wrong.clone()
    }

    /// The hash of all events, and how many there were.
    #[must_use]
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state();
        (state.trace, state.events)
    }

    /// What was counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.state().tally.clone()
    }
}

/// Mostly short, sometimes nothing, now and then long.
fn pause(random: &mut Random, most_ms: u64) -> Duration {
    Duration::from_millis(match random.below(4) {
        0 => 0,
        1 => most_ms,
        _ => random.below(most_ms + 1),
    })
}
