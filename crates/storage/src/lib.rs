//! Where bytes live.
//!
//! A [`Store`] keeps *segments*: runs of bytes that only grow, each under a random id. It knows
//! nothing of uploads, files, names or requests; the engine orders "bytes, then record", and a file
//! is whatever list of segments its record names. So a concatenation copies nothing, publication is
//! a transaction of the catalog, and no user's string is ever a path.
//!
//! Everything here is synchronous and meant for blocking threads: that is what disks are, and it
//! lets a simulation run it step by step. What each method promises is written at [`Store`] and
//! [`Writer`] and checked, for every implementation, by one suite (`conformance`).
//!
//! Not here: what a segment belongs to, and when it may go. Records say that.
//!
//! ```
//! use ddx_id::SegmentId;
//! use ddx_memory::{Config, Ledger};
//! use ddx_storage::{LocalDisk, LocalDiskConfig, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let ledger = Ledger::on_this_machine(Config::default())?;
//! let store = LocalDisk::open(folder.path(), LocalDiskConfig::default(), ledger)?;
//! let id = SegmentId::random();
//! store.create(id, Some(5))?;
//! let mut writer = store.open_writer(id, 0)?;
//! writer.write(b"hello")?;
//! writer.sync()?;
//!
//! let mut read = [0; 5];
//! assert_eq!(store.open_reader(id)?.read_at(0, &mut read)?, 5);
//! assert_eq!(&read, b"hello");
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")
)]

#[cfg(feature = "testing")]
pub mod conformance;
mod error;
#[cfg(feature = "testing")]
pub mod faults;
mod local;
mod store;

pub use error::{Error, ErrorKind};
pub use local::{DirectIo, LocalDisk, LocalDiskConfig};
pub use store::{Reader, Space, Store, WriteMode, Writer};
