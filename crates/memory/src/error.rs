//! What can go wrong, as values: reading the machine, opening the ledger, and being told no.
//!
//! A refusal is not an error of the server: it names the limit, its value and when to come back, so
//! that the edge can say it to the client without knowing anything about memory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Account;

/// Why the machine's memory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A file could not be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not say what its documentation says it would.
    #[error("{path} is not as Linux writes it: {detail}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
}

/// Why a ledger could not be opened, or a buffer not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine's memory could not be read: without a figure nothing may be promised.
    #[error("the memory of this machine can't be read: {0}")]
    Probe(#[from] ProbeError),
    /// A setting can't be met.
    #[error("{} is {value}, which {reason}", setting.trim_end_matches("_bytes"))]
    Setting {
        /// The field of [`crate::Config`].
        setting: &'static str,
        /// What was given.
        value: u64,
        /// Why it can't be.
        reason: &'static str,
    },
    /// The kernel refused a mapping. The lease is given back.
    #[error("the system gives no {bytes} bytes of memory: {source}")]
    Map {
        /// What was asked for.
        bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or a descriptor that the sampler needs could not be had.
    #[error("the machine's memory can't be watched: {0}")]
    Sampler(io::Error),
}

/// Why a request for memory was turned down. Each names the limit that decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue is full: waiting costs memory too.
    #[error("{waiting} uploads wait already, the limit is {limit}; try again in {retry_after:?}")]
    TooManyWaiters {
        /// How many wait.
        waiting: u64,
        /// `Config::waiters_max`.
        limit: u64,
        /// When to come back: bytes ahead over the rate at which memory comes back, jittered.
        retry_after: Duration,
    },
    /// The ledger is closing: what was admitted goes on, nothing new is.
    #[error("the server is stopping and takes nothing new")]
    Closing,
    /// A fixed charge does not fit into what is left.
    #[error(
        "{needed_bytes} bytes of memory are needed for {account:?}, and {free_bytes} are free; try again in {retry_after:?}"
    )]
    NoMemory {
        /// The account that would have been charged.
        account: Account,
        /// What was asked for.
        needed_bytes: u64,
        /// What is left for this account.
        free_bytes: u64,
        /// When to come back.
        retry_after: Duration,
    },
    /// The account is computed by the ledger itself and can't be charged.
    #[error("the memory of {0:?} is computed and can't be taken")]
    NotChargeable(Account),
    /// A blocking wait came to its end first.
    #[error("no memory came free within the time given")]
    TimedOut,
}
