//! The ledger: one lock, one figure.
//!
//! Grants, charges, the queue and the snapshot all go through the same books, so that there is no
//! second account that could say something else. The lock is held for some hundred nanoseconds at a
//! time; reading the machine, unmapping and waking happen outside it. Reading has a lock of its
//! own: of several who want a fresh figure, one reads.

mod books;
mod measure;
mod view;

use std::task::Waker;
use std::time::Duration;

use books::{Books, Deferred};
use measure::Measure;

use crate::buffer::pool::{Census, Token};
use crate::buffer::{Mapping, PAGE_BYTES};
use crate::lease::Purpose;
use crate::queue::State;
use crate::reading::Source;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::{
    Admission, Clock, Config, Error, Holder, Lease, Machine, Place, Refusal, Row, Rung, Snapshot,
    SystemClock,
};

/// Rounds up to whole pages, one at least.
pub(crate) fn whole_pages(bytes: u64) -> u64 {
    bytes
        .max(1)
        .checked_next_multiple_of(PAGE_BYTES)
        .unwrap_or(u64::MAX / PAGE_BYTES * PAGE_BYTES)
}

/// What the machine has, who holds it, who waits. A cheap handle: clones share the same books.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: Config,
    clock: Box<dyn Clock>,
    pub(crate) books: Mutex<Books>,
    reader: Mutex<Reader>,
}

/// The source, and room for measuring that is used again.
struct Reader {
    source: Box<dyn Source>,
    census: Census,
    measured: Vec<u64>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held is a bug that the panic has told; the books are numbers and
    // stay usable.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Ledger {
    /// Opens a ledger on a source of readings, with the system's clock.
    ///
    /// # Errors
    /// [`Error::Setting`], or [`Error::Probe`] if the first reading fails: without a figure nothing
    /// may be promised.
    pub fn open(config: Config, source: Box<dyn Source>) -> Result<Self, Error> {
        Self::open_with_clock(config, source, Box::new(SystemClock::new()))
    }

    /// The same with a clock of one's own, for simulations.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_with_clock(
        config: Config,
        mut source: Box<dyn Source>,
        clock: Box<dyn Clock>,
    ) -> Result<Self, Error> {
        config.check()?;
        let reading = source.read()?;
        let now = clock.now();
        let measure = Measure::first(reading, &config, now, clock.unix_at());
        let books = Books::new(config.clone(), measure, now);
        let reader = Reader {
            source,
            census: Census::default(),
            measured: Vec::new(),
        };
        let inner = Inner {
            config,
            clock,
            books: Mutex::new(books),
            reader: Mutex::new(reader),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Opens a ledger on this machine.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn on_this_machine(config: Config) -> Result<Self, Error> {
        Self::open(config, Box::new(Machine::new()))
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Reads the machine now. A failure is kept in the snapshot (`read_error`) and decides as
    /// `Config::stale_after` says.
    pub fn sample(&self) {
        self.inner.sample(Duration::ZERO);
    }

    /// The process has started: what it holds now and nothing explains (caches, threads, tables) is
    /// its baseline, and what comes from here on is drift.
    pub fn settle_baseline(&self) {
        self.sample();
        self.inner.change(|books, _, _| {
            let charged = books.charged();
            books.measure.settle_baseline(charged);
        });
    }

    /// The figure.
    pub fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        std::sync::Arc::new(self.inner.snapshot())
    }

    /// Books a fixed amount under a row until the charge is dropped.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`] if it does not fit, [`Refusal::NotChargeable`] for rows that are
    /// computed.
    pub fn charge(&self, row: Row, bytes: u64) -> Result<Charge, Refusal> {
        // What is kept of freed buffers makes room for it at once.
        self.inner.change(|books, _, _| books.charge(row, bytes))?;
        Ok(Charge {
            inner: self.inner.clone(),
            row,
            bytes,
        })
    }

    /// Books one connection ([`Config::connection_bytes`]).
    ///
    /// # Errors
    /// As [`Ledger::charge`].
    pub fn charge_connection(&self) -> Result<Charge, Refusal> {
        self.charge(Row::Connections, self.inner.config.connection_bytes)
    }

    /// Leases `bytes` (rounded up to pages of 4096) without waiting; `None` if they can't be had
    /// now, or if one waits that would be overtaken.
    pub fn try_lease(&self, holder: Holder, bytes: u64) -> Option<Lease> {
        self.lease_now(holder, bytes, Purpose::Upload)
    }

    /// The same for a download: it stands under [`Row::Downloads`], and downloads together get no
    /// more than half of what may be leased, since their clients may be in no hurry to take it.
    pub fn try_lease_for_download(&self, holder: Holder, bytes: u64) -> Option<Lease> {
        self.lease_now(holder, bytes, Purpose::Download)
    }

    fn lease_now(&self, holder: Holder, bytes: u64, purpose: Purpose) -> Option<Lease> {
        let bytes = whole_pages(bytes);
        let slot = self.inner.take(holder, bytes, purpose)?;
        Some(Lease::new(self.inner.clone(), slot, holder, bytes, purpose))
    }

    /// Leases `bytes` (rounded up to pages), now or when their turn comes. To be asked for one
    /// granule at a time, by an upload that has bytes to put into it; what an upload holds already
    /// it should not keep from others while it waits.
    ///
    /// Who has to wait gets at most the largest granule (4 MiB, less on machines below 128 MiB),
    /// even if more was asked for: [`Lease::bytes`] tells.
    ///
    /// # Errors
    /// [`Refusal::Closing`], or [`Refusal::TooManyWaiters`] beyond `Config::waiters_max`.
    pub fn admit(&self, holder: Holder, bytes: u64) -> Result<Admission, Refusal> {
        self.lease_or_wait(holder, bytes, Purpose::Upload)
    }

    /// The same for a download, see [`Ledger::try_lease_for_download`]. One that waits for its half
    /// holds up no upload.
    ///
    /// # Errors
    /// As [`Ledger::admit`].
    pub fn admit_for_download(&self, holder: Holder, bytes: u64) -> Result<Admission, Refusal> {
        self.lease_or_wait(holder, bytes, Purpose::Download)
    }

    fn lease_or_wait(
        &self,
        holder: Holder,
        bytes: u64,
        purpose: Purpose,
    ) -> Result<Admission, Refusal> {
        if let Some(lease) = self.lease_now(holder, bytes, purpose) {
            return Ok(Admission::ready(self.inner.clone(), lease));
        }
        let number = self.inner.enqueue(holder, whole_pages(bytes), purpose)?;
        Ok(Admission::queued(self.inner.clone(), number))
    }

    /// What one active upload may hold now: its fair share, which gets smaller as more come, long
    /// before any upload waits.
    pub fn share_bytes(&self) -> u64 {
        lock(&self.inner.books).share()
    }

    /// The piece to ask for now: a power of two, half of a share, between
    /// `Config::granule_bytes_min` and the largest granule.
    pub fn granule_bytes(&self) -> u64 {
        lock(&self.inner.books).granule()
    }

    /// Admits nothing new: waiters are refused, new uploads as well; what holds memory goes on and
    /// may grow.
    pub fn close(&self) {
        self.inner.close();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Runs `f` on the books, then serves those who wait, then does outside the lock what must be
    /// done there.
    fn change<R>(&self, f: impl FnOnce(&mut Books, Duration, &mut Deferred) -> R) -> R {
        let now = self.clock.now();
        let mut deferred = Deferred::default();
        let result = {
            let mut books = lock(&self.books);
            let result = f(&mut books, now, &mut deferred);
            books.pump(now, &mut deferred);
            result
        };
        deferred.run();
        result
    }

    fn take(&self, holder: Holder, bytes: u64, purpose: Purpose) -> Option<u32> {
        self.refresh_for(bytes);
        self.change(|books, now, _| books.take(holder, bytes, now, purpose))
    }

    pub(crate) fn grow(&self, slot: u32, by: u64, purpose: Purpose) -> Option<u64> {
        let by = whole_pages(by);
        self.refresh_for(by);
        self.change(|books, now, _| books.grow(slot, by, now, purpose))
            .then_some(by)
    }

    pub(crate) fn give_back(&self, slot: u32, bytes: u64, lease_ends: bool, purpose: Purpose) {
        self.change(|books, now, _| books.give_back(slot, bytes, now, lease_ends, purpose));
    }

    pub(crate) fn split(&self, slot: u32) {
        self.change(|books, now, _| books.queue.hold(slot, 0, now, true));
    }

    pub(crate) fn surplus(&self, slot: u32) -> u64 {
        lock(&self.books).surplus(slot, self.clock.now())
    }

    fn enqueue(&self, holder: Holder, bytes: u64, purpose: Purpose) -> Result<u64, Refusal> {
        self.change(|books, now, _| {
            if books.closing {
                return Err(Refusal::Closing);
            }
            let (waiting, limit) = (books.queue.waiting(), self.config.waiters_max as u64);
            if waiting >= limit {
                return Err(Refusal::TooManyWaiters {
                    waiting,
                    limit,
                    retry_after: books.retry_after(),
                });
            }
            let slot = books.queue.slot(holder);
            books.version += 1;
            Ok(books.queue.enqueue(slot, bytes, now, purpose))
        })
    }

    /// The answer to a request, if it is there; else `waker` is kept.
    pub(crate) fn fetch(
        self: &Arc<Self>,
        number: u64,
        waker: &Waker,
    ) -> Option<Result<Lease, Refusal>> {
        let mut replaced = None;
        let answer = {
            let mut books = lock(&self.books);
            let request = books.queue.request_mut(number)?;
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
                books.queue.finish(number)
            }
        };
        // A waker is code from outside: it is dropped outside the lock.
        drop(replaced);
        let request = answer?;
        Some(match request.state {
            State::Granted(bytes) => Ok(Lease::new(
                self.clone(),
                request.upload,
                request.holder,
                bytes,
                request.purpose,
            )),
            State::Refused(why) => Err(why),
            State::Waiting => return None,
        })
    }

    /// A waiter goes away: leaves the queue, or gives back what it was granted.
    pub(crate) fn abandon(&self, number: u64) {
        let request = self.change(|books, now, _| {
            let request = books.queue.finish(number);
            if let Some(request) = &request
                && let State::Granted(bytes) = request.state
            {
                books.give_back(request.upload, bytes, now, true, request.purpose);
            }
            books.version += 1;
            request
        });
        drop(request);
    }

    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        let books = lock(&self.books);
        let (ahead, bytes_ahead, own) = books.queue.standing(number)?;
        // The ranking is from the last sample; who has been served since is not ahead any more.
        let ahead = ahead.min(books.queue.waiting().saturating_sub(1));
        let bytes_ahead = bytes_ahead.min(books.queue.waiting_bytes().saturating_sub(own));
        let estimate = books.drain_time(bytes_ahead.saturating_add(own));
        Some(Place {
            ahead,
            bytes_ahead,
            waiting: books.queue.waiting(),
            estimate,
        })
    }

    pub(crate) fn close(&self) {
        self.change(|books, _, deferred| {
            books.closing = true;
            for number in books.queue.waiting_numbers() {
                deferred
                    .wakers
                    .extend(books.queue.refuse(number, Refusal::Closing));
            }
            books.version += 1;
        });
    }

    // ---- buffers ----

    pub(crate) fn take_kept(&self, len: usize) -> Option<(Mapping, Token)> {
        lock(&self.books).pool.take(len)
    }

    pub(crate) fn register(&self, mapping: &Mapping) -> Token {
        lock(&self.books).pool.register(mapping)
    }

    pub(crate) fn unregister(&self, token: Token) {
        lock(&self.books).pool.unregister(token);
    }

    /// Keeps a freed buffer for the next who asks, if that is in no one's way; else it is the
    /// caller's to unmap.
    pub(crate) fn keep_or_unregister(&self, mapping: Mapping, token: Token) -> Option<Mapping> {
        let now = self.clock.now();
        let mut books = lock(&self.books);
        let bytes = mapping.len() as u64;
        let most = self
            .config
            .cache_bytes_max
            .min(books.measure.limits.ceiling / 8);
        let keep = books.pressure.rung() < Rung::CacheBack
            && !books.closing
            && books.queue.waiting() == 0
            && books.pool.kept_bytes() + bytes <= most
            // Its lease is about to end, so that what is leased now has room for it.
            && books.leased + books.pool.kept_bytes() <= books.leasable();
        if keep {
            books.pool.keep(mapping, token, now);
            return None;
        }
        books.pool.unregister(token);
        Some(mapping)
    }

    // ---- samples ----

    /// Reads the machine first if so much should not be granted on an older figure.
    fn refresh_for(&self, bytes: u64) {
        let wanted = lock(&self.books).wants_fresh(bytes, self.clock.now());
        if wanted {
            self.sample(self.config.fresh_after);
        }
    }

    /// Reads the machine, unless that was done within `young`.
    pub(crate) fn sample(&self, young: Duration) {
        let mut reader = lock(&self.reader);
        let reader = &mut *reader;
        {
            let mut books = lock(&self.books);
            let age = self.clock.now().saturating_sub(books.measure.tried);
            if age < young {
                return;
            }
            books.pool.census(&mut reader.census);
        }
        // First our own pages, then the machine: a page touched in between is missing in both,
        // which is safe.
        reader.census.measure(&mut reader.measured);
        let reading = reader.source.read();
        let at = self.clock.unix_at();
        self.change(|books, now, deferred| {
            let since_last = now.saturating_sub(books.measure.tried);
            match reading {
                Ok(reading) => {
                    let resident = books.pool.resident(&reader.census, &reader.measured);
                    books.pressure.hear(&reading, &self.config, now);
                    let charged = books.charged();
                    books
                        .measure
                        .apply(reading, resident, charged, &self.config, now, at);
                }
                Err(error) => {
                    if books.measure.error.is_none() {
                        tracing::warn!(%error, "the machine's memory can't be read; the last figures count, and if this lasts uploads get little memory; check /proc and /sys/fs/cgroup");
                    }
                    books.measure.fail(&error.to_string(), &self.config, now);
                }
            }
            books.after_sample(since_last, now, deferred);
        });
    }

    /// The kernel's pressure trigger went off.
    pub(crate) fn pressure_trigger(&self) {
        lock(&self.books).pressure.trigger();
        self.sample(Duration::ZERO);
    }

    /// Where a pressure trigger may be armed.
    pub(crate) fn pressure_file(&self) -> Option<std::path::PathBuf> {
        lock(&self.reader).source.pressure_file()
    }

    /// Whether anything is leased, kept or waits: then the machine is read often.
    pub(crate) fn is_busy(&self) -> bool {
        let books = lock(&self.books);
        books.leased > 0 || books.pool.kept_bytes() > 0 || books.queue.waiting() > 0
    }
}

/// A fixed charge under a row; dropping it takes it out of the books.
#[derive(Debug)]
#[must_use = "dropping a charge discharges it"]
pub struct Charge {
    inner: Arc<Inner>,
    row: Row,
    bytes: u64,
}

impl Charge {
    /// Its row.
    pub fn row(&self) -> Row {
        self.row
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Books so much more.
    ///
    /// # Errors
    /// As [`Ledger::charge`]; what was booked before stays.
    pub fn grow(&mut self, by: u64) -> Result<(), Refusal> {
        let row = self.row;
        self.inner.change(|books, _, _| books.charge(row, by))?;
        self.bytes += by;
        Ok(())
    }

    /// Books so much less, at most all.
    pub fn shrink(&mut self, by: u64) {
        let (row, by) = (self.row, by.min(self.bytes));
        self.inner.change(|books, _, _| books.discharge(row, by));
        self.bytes -= by;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.inner
            .change(|books, _, _| books.discharge(self.row, self.bytes));
    }
}
