//! What is behind every handle of the ledger: its state under the lock, and the machine that they
//! are measured by.

use std::task::Waker;
use std::time::Duration;

use super::measure::Measure;
use super::state::{Deferred, LedgerState};
use crate::buffer::pool::{Census, Token};
use crate::buffer::{Mapping, whole_pages};
use crate::holder::Purpose;
use crate::queue::{Request, RequestState};
use crate::reading::Source;
use crate::sync::{Mutex, MutexGuard};
use crate::{Clock, Config, Error, Holder, Place, PressureStep, Refusal};

/// What all handles share.
pub(crate) struct Inner {
    pub(super) config: Config,
    clock: Box<dyn Clock>,
    pub(crate) state: Mutex<LedgerState>,
    reader: Mutex<Reader>,
}

/// The source, and room for measuring that is used again.
struct Reader {
    source: Box<dyn Source>,
    census: Census,
    measured: Vec<u64>,
}

/// Locks, whatever happened to another that held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held is a bug that the panic has told; the state is numbers and
    // stays usable.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Inner {
    /// On a source of readings and a clock.
    ///
    /// # Errors
    /// As [`crate::Ledger::open`].
    pub(super) fn open(
        config: Config,
        mut source: Box<dyn Source>,
        clock: Box<dyn Clock>,
    ) -> Result<Self, Error> {
        config.check()?;
        let reading = source.read()?;
        let now = clock.now();
        let measure = Measure::first(reading, &config, now, clock.unix_at());
        let state = LedgerState::new(config.clone(), measure, now);
        let reader = Reader {
            source,
            census: Census::default(),
            measured: Vec::new(),
        };
        Ok(Self {
            config,
            clock,
            state: Mutex::new(state),
            reader: Mutex::new(reader),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Runs `f` on the state, then serves those who wait, then does outside the lock what must be
    /// done there.
    pub(super) fn change<R>(
        &self,
        f: impl FnOnce(&mut LedgerState, Duration, &mut Deferred) -> R,
    ) -> R {
        let now = self.clock.now();
        let mut deferred = Deferred::default();
        let result = {
            let mut state = lock(&self.state);
            let result = f(&mut state, now, &mut deferred);
            state.grant_waiters(now, &mut deferred);
            result
        };
        deferred.run();
        result
    }

    pub(super) fn take(&self, holder: Holder, bytes: u64, purpose: Purpose) -> Option<u32> {
        self.refresh_for(bytes);
        self.change(|state, now, _| state.take(holder, bytes, now, purpose))
    }

    pub(crate) fn grow(&self, slot: u32, by: u64, purpose: Purpose) -> Option<u64> {
        let by = whole_pages(by);
        self.refresh_for(by);
        self.change(|state, now, _| state.grow(slot, by, now, purpose))
            .then_some(by)
    }

    pub(crate) fn give_back(&self, slot: u32, bytes: u64, lease_ends: bool, purpose: Purpose) {
        self.change(|state, now, _| state.give_back(slot, bytes, now, lease_ends, purpose));
    }

    pub(crate) fn split(&self, slot: u32) {
        self.change(|state, now, _| state.queue.hold(slot, 0, now, true));
    }

    pub(crate) fn surplus(&self, slot: u32) -> u64 {
        lock(&self.state).surplus(slot, self.clock.now())
    }

    pub(super) fn enqueue(
        &self,
        holder: Holder,
        bytes: u64,
        purpose: Purpose,
    ) -> Result<u64, Refusal> {
        self.change(|state, now, _| {
            if state.closing {
                return Err(Refusal::Closing);
            }
            let (waiting, limit) = (state.queue.waiting(), self.config.waiters_max as u64);
            if waiting >= limit {
                return Err(Refusal::TooManyWaiters {
                    waiting,
                    limit,
                    retry_after: state.retry_after(),
                });
            }
            let slot = state.queue.slot(holder);
            state.version += 1;
            Ok(state.queue.enqueue(slot, bytes, now, purpose))
        })
    }

    /// A request that is answered, taken out of the queue; else `waker` is kept.
    pub(crate) fn fetch(&self, number: u64, waker: &Waker) -> Option<Request> {
        let mut replaced = None;
        let answer = {
            let mut state = lock(&self.state);
            let request = state.queue.request_mut(number)?;
            if request.state.waits() {
                if !request
                    .waker
                    .as_ref()
                    .is_some_and(|kept| kept.will_wake(waker))
                {
                    replaced = request.waker.replace(waker.clone());
                }
                None
            } else {
                state.queue.finish(number)
            }
        };
        // A waker is code from outside: it is dropped outside the lock.
        drop(replaced);
        answer
    }

    /// A waiter goes away: leaves the queue, or gives back what it was granted.
    pub(crate) fn abandon(&self, number: u64) {
        let request = self.change(|state, now, _| {
            let request = state.queue.finish(number);
            if let Some(request) = &request
                && let RequestState::Granted(bytes) = request.state
            {
                state.give_back(request.upload, bytes, now, true, request.purpose);
            }
            state.version += 1;
            request
        });
        drop(request);
    }

    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        let state = lock(&self.state);
        let (ahead, bytes_ahead, own) = state.queue.standing(number)?;
        // The ranking is from the last sample; who has been served since is not ahead any more.
        let ahead = ahead.min(state.queue.waiting().saturating_sub(1));
        let bytes_ahead = bytes_ahead.min(state.queue.waiting_bytes().saturating_sub(own));
        let estimate = state.drain_time(bytes_ahead.saturating_add(own));
        Some(Place {
            ahead,
            bytes_ahead,
            waiting: state.queue.waiting(),
            estimate,
        })
    }

    pub(crate) fn close(&self) {
        self.change(|state, _, deferred| {
            state.closing = true;
            for number in state.queue.waiting_numbers() {
                deferred
                    .wakers
                    .extend(state.queue.refuse(number, Refusal::Closing));
            }
            state.version += 1;
        });
    }

    // ---- buffers ----

    pub(crate) fn take_kept(&self, len: usize) -> Option<(Mapping, Token)> {
        lock(&self.state).pool.take(len)
    }

    pub(crate) fn register(&self, mapping: &Mapping) -> Token {
        lock(&self.state).pool.register(mapping)
    }

    pub(crate) fn unregister(&self, token: Token) {
        lock(&self.state).pool.unregister(token);
    }

    /// Keeps a freed buffer for the next who asks, if that is in no one's way; else it is the
    /// caller's to unmap.
    pub(crate) fn keep_or_unregister(&self, mapping: Mapping, token: Token) -> Option<Mapping> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let bytes = mapping.len() as u64;
        let most = self
            .config
            .cache_bytes_max
            .min(state.measure.bounds.ceiling / 8);
        let keep = state.pressure.step() < PressureStep::CacheBack
            && !state.closing
            && state.queue.waiting() == 0
            && state.pool.kept_bytes() + bytes <= most
            // Its lease is about to end, so that what is leased now has room for it.
            && state.leased + state.pool.kept_bytes() <= state.leasable();
        if keep {
            state.pool.keep(mapping, token, now);
            return None;
        }
        state.pool.unregister(token);
        Some(mapping)
    }

    // ---- samples ----

    /// Reads the machine first if so much should not be granted on an older figure.
    fn refresh_for(&self, bytes: u64) {
        let wanted = lock(&self.state).wants_fresh(bytes, self.clock.now());
        if wanted {
            self.sample(self.config.fresh_after);
        }
    }

    /// Reads the machine, unless that was done within `young`.
    pub(crate) fn sample(&self, young: Duration) {
        let mut reader = lock(&self.reader);
        let reader = &mut *reader;
        {
            let mut state = lock(&self.state);
            let age = self.clock.now().saturating_sub(state.measure.tried);
            if age < young {
                return;
            }
            state.pool.census(&mut reader.census);
        }
        // First our own pages, then the machine: a page touched in between is missing in both,
        // which is safe.
        reader.census.measure(&mut reader.measured);
        let reading = reader.source.read();
        let at = self.clock.unix_at();
        self.change(|state, now, deferred| {
            let since_last = now.saturating_sub(state.measure.tried);
            match reading {
                Ok(reading) => {
                    let resident = state.pool.resident(&reader.census, &reader.measured);
                    state.pressure.record_reading(&reading, &self.config, now);
                    let charged = state.charged();
                    state
                        .measure
                        .apply(reading, resident, charged, &self.config, now, at);
                }
                Err(error) => {
                    if state.measure.error.is_none() {
                        tracing::warn!(%error, "the machine's memory can't be read; the last figures count, and if this lasts uploads get little memory; check /proc and /sys/fs/cgroup");
                    }
                    state.measure.fail(&error.to_string(), &self.config, now);
                }
            }
            state.after_sample(since_last, now, deferred);
        });
    }

    /// The kernel's pressure trigger went off.
    pub(crate) fn pressure_trigger(&self) {
        lock(&self.state).pressure.trigger();
        self.sample(Duration::ZERO);
    }

    /// Where a pressure trigger may be armed.
    pub(crate) fn pressure_file(&self) -> Option<std::path::PathBuf> {
        lock(&self.reader).source.pressure_file()
    }

    /// Whether anything is leased, kept or waits: then the machine is read often.
    pub(crate) fn is_busy(&self) -> bool {
        let state = lock(&self.state);
        state.leased > 0 || state.pool.kept_bytes() > 0 || state.queue.waiting() > 0
    }
}
