//! The life of an upload and of a share.
//!
//! The engine is what remains of the server when HTTP, SQL and the settings are taken away: a state
//! machine of an upload, admission by the ledger, one writer per upload with
//! hand-over to the newest request, digests, expiry, recovery. It knows where bytes and records
//! live only by the traits of `ddx-storage` and `ddx-catalog`, and it alone orders the two writes:
//! bytes first, then the record.
//!
//! Not here: requests, links, and texts for people. Whatever has a body of bytes can be a way in.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ddx_catalog::SqliteCatalog;
//! use ddx_engine::{Config, Cut, Engine, NewUpload, Protocol, Put, Source, State, Taken};
//! use ddx_memory::Ledger;
//! use ddx_storage::{LocalDisk, LocalDiskConfig};
//!
//! /// A body that is in memory as a whole.
//! struct Body(&'static [u8]);
//!
//! impl Source for Body {
//!     async fn ready(&mut self) -> Result<(), Cut> {
//!         Ok(())
//!     }
//!
//!     fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
//!         let (now, later) = self.0.split_at(self.0.len().min(into.len()));
//!         into[..now.len()].copy_from_slice(now);
//!         self.0 = later;
//!         Ok(match now.len() {
//!             0 => Taken::End,
//!             bytes => Taken::Bytes(bytes),
//!         })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let ledger = Ledger::on_this_machine(ddx_memory::Config::default())?;
//! let store = LocalDisk::open(folder.path(), LocalDiskConfig::default(), ledger.clone())?;
//! let catalog = SqliteCatalog::open(&folder, ddx_catalog::sqlite::Config::default())?;
//! let engine = Engine::new(Config::default(), Arc::new(catalog), Arc::new(store), ledger);
//! engine.recover().await?;
//!
//! let new = NewUpload {
//!     owner: "ip:127.0.0.1".to_owned(),
//!     share_key: None,
//!     path: "hello.txt".to_owned(),
//!     content_type: None,
//!     metadata: String::new(),
//!     secret_metadata: None,
//!     is_part: false,
//!     protocol: Protocol { name: "example", is_resumable: false },
//!     length_bytes: Some(5),
//!     keep: None,
//!     max_downloads: None,
//!     with_sha256: false,
//! };
//! let created = engine.put(Put { new, expected: None }, Body(b"hello")).await?;
//! let file = engine.file(created.record.file_id).await?;
//! assert_eq!((file.state, file.offset_bytes), (State::Complete, 5));
//! # Ok(())
//! # })
//! # }
//! ```

mod config;
mod deadline;
mod download;
mod engine;
mod error;
mod housekeeping;
mod last_look;
mod lookup;
mod protocol;
mod removal;
mod request;
mod sealed;
mod source;
mod space;
mod stats;
mod steady;
mod surroundings;
mod upload;

pub use config::Config;
pub use ddx_catalog::{FileRecord, FileSummary, Kind, OwnerTotals, PAGE_TEXT_BYTES, State, Totals};
pub use ddx_digest::Algorithm;
pub use download::open::Download;
pub use download::readers::{Reader, Reading};
pub use download::span::{Span, Turn, Turned};
pub use engine::{Change, Engine};
pub use error::Error;
pub use housekeeping::recovery::Recovered;
pub use protocol::Protocol;
pub use request::{Append, Expected, Put};
pub use sealed::unseal;
pub use source::{Cut, Source, Taken};
pub use stats::{Counted, Stats, Total};
pub use steady::{ClockState, LastRun, Moment, SteadyClock};
pub use surroundings::{Machine, Surroundings};
pub use upload::create::{Created, CreatedShare, NewUpload};
pub use upload::live::Progress;
