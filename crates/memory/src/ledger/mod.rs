//! The ledger: one lock, one figure.
//!
//! Grants, charges, the queue and the snapshot all go through the same state, so that there is no
//! second count that could say something else. The lock is held for some hundred nanoseconds at a
//! time; reading the machine, unmapping and waking happen outside it. Reading has a lock of its
//! own: of several who want a fresh figure, one reads.

mod inner;
mod measure;
mod state;
mod view;

use std::time::Duration;

pub(crate) use inner::{Inner, lock};

use crate::buffer::whole_pages;
use crate::holder::Purpose;
use crate::reading::Source;
use crate::sync::Arc;
use crate::{
    Account, Admission, Clock, Config, Error, Holder, Lease, Machine, Refusal, Snapshot,
    SystemClock,
};

/// What the machine has, who holds it, who waits. A cheap handle: clones share the same state.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
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
        source: Box<dyn Source>,
        clock: Box<dyn Clock>,
    ) -> Result<Self, Error> {
        let inner = Inner::open(config, source, clock)?;
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
    pub fn finalize_baseline(&self) {
        self.sample();
        self.inner.change(|state, _, _| {
            let charged = state.charged();
            state.measure.finalize_baseline(charged);
        });
    }

    /// The figure.
    pub fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        std::sync::Arc::new(self.inner.snapshot())
    }

    /// LedgerState a fixed amount under an account until the charge is dropped.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`] if it does not fit, [`Refusal::NotChargeable`] for accounts that are
    /// computed.
    pub fn charge(&self, account: Account, bytes: u64) -> Result<Charge, Refusal> {
        // What is kept of freed buffers makes room for it at once.
        self.inner
            .change(|state, _, _| state.charge(account, bytes))?;
        Ok(Charge {
            inner: self.inner.clone(),
            account,
            bytes,
        })
    }

    /// LedgerState one connection ([`Config::connection_bytes`]).
    ///
    /// # Errors
    /// As [`Ledger::charge`].
    pub fn charge_connection(&self) -> Result<Charge, Refusal> {
        self.charge(Account::Connections, self.inner.config.connection_bytes)
    }

    /// Leases `bytes` (rounded up to pages of 4096) without waiting; `None` if they can't be had
    /// now, or if one waits that would be overtaken.
    pub fn try_lease(&self, holder: Holder, bytes: u64) -> Option<Lease> {
        self.lease_now(holder, bytes, Purpose::Upload)
    }

    /// The same for a download: it stands under [`Account::Downloads`], and downloads together get
    /// no more than half of what may be leased, since their clients may be in no hurry to take it.
    pub fn try_lease_for_download(&self, holder: Holder, bytes: u64) -> Option<Lease> {
        self.lease_now(holder, bytes, Purpose::Download)
    }

    fn lease_now(&self, holder: Holder, bytes: u64, purpose: Purpose) -> Option<Lease> {
        let bytes = whole_pages(bytes);
        let slot = self.inner.take(holder, bytes, purpose)?;
        Some(Lease::new(self.inner.clone(), slot, holder, bytes, purpose))
    }

    /// Leases `bytes` (rounded up to pages), now or when their turn comes. To be asked for one
    /// buffer at a time, by an upload that has bytes to put into it; what an upload holds already
    /// it should not keep from others while it waits.
    ///
    /// Who has to wait gets at most the largest buffer (4 MiB, less on machines below 128 MiB),
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
        lock(&self.inner.state).share()
    }

    /// The buffer size to ask for now: a power of two, half of a share, between
    /// `Config::buffer_bytes_min` and the largest buffer.
    pub fn buffer_bytes(&self) -> u64 {
        lock(&self.inner.state).buffer_bytes()
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

/// A fixed charge under an account; dropping it takes it out of the account.
#[derive(Debug)]
#[must_use = "dropping a charge discharges it"]
pub struct Charge {
    inner: Arc<Inner>,
    account: Account,
    bytes: u64,
}

impl Charge {
    /// Its account.
    pub fn account(&self) -> Account {
        self.account
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// LedgerState so much more.
    ///
    /// # Errors
    /// As [`Ledger::charge`]; what was booked before stays.
    pub fn grow(&mut self, by: u64) -> Result<(), Refusal> {
        let account = self.account;
        self.inner.change(|state, _, _| state.charge(account, by))?;
        self.bytes += by;
        Ok(())
    }

    /// LedgerState so much less, at most all.
    pub fn shrink(&mut self, by: u64) {
        let (account, by) = (self.account, by.min(self.bytes));
        self.inner
            .change(|state, _, _| state.discharge(account, by));
        self.bytes -= by;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.inner
            .change(|state, _, _| state.discharge(self.account, self.bytes));
    }
}
