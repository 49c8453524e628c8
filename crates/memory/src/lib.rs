//! The memory ledger: what the machine has, who holds it, who waits.
//!
//! A server that takes uploads can hold as much memory as its clients please, unless something
//! counts. This crate counts, and decides by what it counted: plain synchronous types under one
//! lock, no runtime, no HTTP, no files of uploads. [`Ledger`] is the whole of it. It reads the
//! machine ([`Machine`], or any [`Source`]), leases memory to uploads ([`Ledger::try_lease`],
//! [`Ledger::admit`]), hands out mapped memory that owns its lease ([`Buffer`]), books what can't
//! be leased ([`Ledger::charge`]), and tells what it knows ([`Ledger::snapshot`],
//! [`Ledger::plan`]).
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
//!
//! # What it promises
//!
//! - **One figure.** Grants, the queue, alerts and the status page read the same state under the
//!   same lock: a [`Snapshot`] is what decided. Its accounts add up to the total, and to what is
//!   promised beyond it when others took memory meanwhile.
//! - **Leases add up.** The sum of all [`Lease`]s is `leased_bytes` at every moment; when all are
//!   dropped, every account of ours is zero and no user is remembered.
//! - **Nothing beyond what there is.** A grant fits into
//!   `available + pool_resident − reserve − leased − charged` and under the ceiling. The one
//!   exception is the floor: a single upload may always hold two buffers, and all others may share
//!   one more, so that there is always progress, and one that stands still does not stop the rest.
//! - **Downloads leave uploads their half.** A download keeps its memory until its client takes it.
//!   All together hold no more than half, none may go on at any pressure, and one that waits holds
//!   up no upload.
//! - **Our own work does not move the figure.** Touching a leased page raises `pool_resident` and
//!   lowers `available` alike.
//! - **Falls at once, rises slowly, fails closed.** A machine that can't be read keeps its figure
//!   for two seconds and then grants the floor only.
//! - **Never latched.** Holdings shrink only when fill *and* stall agree; with nothing leased the
//!   pressure level is not [`PressureLevel::Critical`], and a minute without stall releases
//!   whatever the fill says.
//! - **Fair, and none waits for ever.** Next is the user that has had the least byte·seconds, then
//!   the upload of that user; a hundred uploads of one user do not hold up the one of another. None
//!   is overtaken for want of memory. A request that waits for what its own upload holds waits for
//!   itself and holds up no other.
//! - **Waiting is bounded, and cancelling is dropping.** A waiter that goes away before or after
//!   its grant leaves nothing behind.
//!
//! # How to use it elsewhere
//!
//! Open one ledger for the process and keep [`Sampler`] ([`Ledger::try_spawn_sampler`]) for as long
//! as it runs; without it the machine is read before large grants only. Lease a buffer
//! ([`Ledger::buffer_bytes`]) when there are bytes to put into it and not before, ask
//! [`Lease::surplus_bytes`] at the end of each chunk and give that back, wait ([`Ledger::admit`])
//! only while holding nothing, and grow with [`Lease::try_grow`], which never waits. [`Admission`]
//! is a future for any executor, and [`Admission::wait`] serves a thread. Charge what is not leased
//! (connections, page cache of buffered writers, downloads) to its [`Account`]; what is neither
//! leased nor charged shows itself as [`Account::Drift`]. Simulations give their own [`Source`] and
//! [`ManualClock`].
//!
//! Linux only: control groups of either version, `/proc`, `mmap`. Without control groups the host
//! alone is the limit. What a machine does not tell is estimated, and named in
//! [`Snapshot::doubts`]; a control group that can't be found counts as a small one
//! ([`Config::assumed_limit_bytes`]) unless a limit is set.
//!
//! # How it is proved
//!
//! Saved trees of every arrangement of control groups (`tests/probe.rs`), sentences on a scripted
//! machine (`tests/rules.rs`, `tests/figures.rs`, `tests/fairness.rs`), random lives
//! (`tests/properties.rs`), a model checker on ledger and queue (`tests/model.rs`), and threads in
//! a real memory box whose counters the ledger must meet (`tests/memory_box.rs`, which needs root
//! and a writable memory controller and fails without).

mod account;
mod buffer;
mod classes;
mod clock;
mod config;
mod error;
mod holder;
mod lease;
mod ledger;
mod plan;
mod plan_text;
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

pub use account::Account;
pub use buffer::Buffer;
pub use classes::Class;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ClassBuffers, Config};
pub use error::{Error, ProbeError, Refusal};
pub use holder::Holder;
pub use lease::Lease;
pub use ledger::{Charge, Ledger};
pub use plan::{Plan, PlannedRate, Size};
pub use probe::Machine;
pub use queue::{Admission, Place};
pub use reading::{Doubt, Host, LimitKind, MemoryLimit, Process, Reading, Source, Stall};
pub use sampler::Sampler;
pub use snapshot::{PressureLevel, PressureStep, Snapshot, StallView, Tightest};
