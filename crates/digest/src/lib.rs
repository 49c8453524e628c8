//! Digests of files that arrive in pieces, over days, through restarts.
//!
//! Three questions, three answers, none of which needs the whole file in one place or in one
//! process:
//!
//! - *Is what was downloaded what was uploaded?* [`FileHasher`]: BLAKE3 in the order of the file.
//!   Its state is a few hundred bytes at most and is kept with every checkpoint, so that a resumed
//!   upload reads back less than [`LEAF_BYTES`].
//! - *And if the file was sent in parts, each of which did not know its place?* [`Crc64`]:
//!   checksums of neighbours are joined by their lengths alone. It finds accidents, not forgers;
//!   the BLAKE3 of such a file follows later.
//! - *Did this piece arrive as the client sent it?* [`Checksum`], with the algorithm that the
//!   client chose.
//!
//! Everything here is a pure function of bytes: no files, no threads, no clock.
//!
//! Not here: which digest a file gets, and when. That is the engine's choice.
//!
//! ```
//! use ddx_digest::{Crc64, FileHasher};
//!
//! let file = vec![7; 100_000];
//! let mut hasher = FileHasher::new();
//! hasher.update(&file[..60_000]);
//! let kept = hasher.state();
//!
//! // After a restart: the bytes of the last unfinished leaf are read once more.
//! let mut resumed = FileHasher::resume(&kept)?;
//! resumed.update(&file[resumed.offset() as usize..]);
//! hasher.update(&file[60_000..]);
//! assert_eq!(resumed.finalize(), hasher.finalize());
//!
//! let crc64 = |bytes: &[u8]| {
//!     let mut sum = Crc64::new();
//!     sum.update(bytes);
//!     sum.value()
//! };
//! let joined = Crc64::combine(crc64(&file[..1_000]), crc64(&file[1_000..]), 99_000);
//! assert_eq!(joined, crc64(&file));
//! # Ok::<(), ddx_digest::StateError>(())
//! ```
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")
)]

mod checksum;
mod crc64;
mod file_hasher;

pub use checksum::{Algorithm, Checksum, UnknownAlgorithm, verify_eq};
pub use crc64::Crc64;
pub use file_hasher::{FileHasher, LEAF_BYTES, STATE_BYTES_MAX, StateError};
