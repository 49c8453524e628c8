//! Who may read a file whose number of downloads is limited, and when one of them is used up.
//!
//! A download is one reader's: it counts when that reader has had every byte, in however many
//! requests. Until then the reader has a lease, so that a cut download can be continued and several
//! connections can share one. What a preview takes holds no lease against others. Leases are in
//! memory: after a restart a reader that has had a part begins a new one, which costs no download.

mod lease;
mod leases;
mod reader;
mod reading;

pub(crate) use self::leases::Readers;
pub use self::reader::Reader;
pub use self::reading::Reading;
