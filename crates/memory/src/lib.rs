//! The memory ledger: what the machine has, who holds it, who waits.
//!
//! Plain synchronous types under one lock: no runtime, no HTTP, no files of uploads. [`Ledger`] is the whole of it: it reads
//! the machine ([`Machine`]), leases memory to uploads ([`Ledger::try_lease`], [`Ledger::admit`]), hands out mapped memory that
//! owns its lease ([`Buffer`]), and tells what it knows ([`Ledger::snapshot`]).
//!
//! ```
//! use ddx_memory::{Buffer, Config, Holder, Ledger};
//!
//! let ledger = Ledger::on_this_machine(Config::default())?;
//! let upload = Holder { user: 1, upload: 7 };
//! let lease = ledger.try_lease(upload, 64 << 10).expect("an idle machine has 64 KiB");
//! let mut buffer = Buffer::new(lease)?;
//! buffer[..5].copy_from_slice(b"hello");
//! assert_eq!(ledger.snapshot().leased_bytes, 64 << 10);
//! drop(buffer);
//! assert_eq!(ledger.snapshot().leased_bytes, 0);
//! # Ok::<(), ddx_memory::Error>(())
//! ```

mod buffer;
mod classes;
mod clock;
mod config;
mod error;
mod lease;
mod ledger;
mod plan;
mod pressure;
mod probe;
mod queue;
mod reading;
mod sampler;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;
mod trigger;

pub use buffer::Buffer;
pub use classes::Class;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ClassBuffers, Config};
pub use error::{Error, ProbeError, Refusal};
pub use lease::{Holder, Lease};
pub use ledger::{Charge, Ledger};
pub use plan::{Plan, PlannedRate, Size};
pub use probe::Machine;
pub use queue::{Admission, Place};
pub use reading::{Host, Level, LevelKind, Process, Reading, Source, Stall};
pub use sampler::Sampler;
pub use snapshot::{Band, Row, Rung, Snapshot, StallView, Tightest};
