//! The life of an upload and of a share.
//!
//! The engine is what remains of the server when HTTP, SQL and the settings are taken away: a state
//! machine of an upload, admission by the ledger, one writer per upload with
//! hand-over to the newest request, digests, expiry, recovery. It knows where bytes and records
//! live only by the traits of `ddx-storage` and `ddx-catalog`, and it alone orders the two writes:
//! bytes first, then the record.

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
pub use sealed::unsealed;
pub use source::{Cut, Source, Taken};
pub use stats::{Counted, Stats, Total};
pub use steady::{ClockState, LastRun, Moment, SteadyClock};
pub use surroundings::{Machine, Surroundings};
pub use upload::create::{Created, CreatedShare, NewUpload};
pub use upload::live::Progress;
