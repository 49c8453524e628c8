//! The life of an upload and of a share.
//!
//! The engine is what remains of the server when HTTP, SQL and the settings are taken away: a state
//! machine of an upload ([`life`](crate)), admission by the ledger, one writer per upload with
//! hand-over to the newest request, digests, expiry, recovery. It knows where bytes and records
//! live only by the traits of `ddx-storage` and `ddx-catalog`, and it alone orders the two writes:
//! bytes first, then the record.

mod append;
mod chores;
mod completion;
mod config;
mod create;
mod deadline;
mod download;
mod engine;
mod error;
mod housekeeping;
mod join;
mod lane;
mod last_look;
mod late_digests;
mod life;
mod live;
mod protocol;
mod readers;
mod receive;
mod recovery;
mod request;
mod room;
mod sealed;
mod sessions;
mod small;
mod source;
mod span;
mod stats;
mod steady;
mod surroundings;
mod work;

pub use config::Config;
pub use create::{Created, CreatedShare, NewUpload};
pub use ddx_catalog::{FileRecord, FileSummary, Kind, OwnerTotals, PAGE_TEXT_BYTES, State, Totals};
pub use ddx_digest::Algorithm;
pub use download::Download;
pub use engine::{Change, Engine};
pub use error::Error;
pub use live::Progress;
pub use protocol::Protocol;
pub use readers::{Reader, Reading};
pub use recovery::Recovered;
pub use request::{Append, Expected, Put};
pub use sealed::unsealed;
pub use source::{Cut, Source, Taken};
pub use span::{Span, Turn, Turned};
pub use stats::{Counted, Stats, Total};
pub use steady::{ClockState, LastRun, Moment, SteadyClock};
pub use surroundings::{Machine, Surroundings};
