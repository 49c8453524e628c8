//! Names of things that must not be guessed, and the secrets that open them.
//!
//! Every one is 128 random bits from the operating system, shown as 26 characters of lower-case
//! base32: it survives being read aloud, double-clicked, put into a URL, a case-insensitive file
//! system or an object store that allows little. A time-ordered id was rejected: it tells strangers
//! when something was made and leaves fewer bits to guess.
//!
//! Each kind is a type of its own, so that one can't stand where another belongs.
//!
//! - **Ids** ([`FileId`], [`ShareId`], [`SegmentId`], [`LeaseId`]) are names: shown, sorted and
//!   compared.
//! - **Secrets** ([`UploadKey`], [`DeleteKey`], [`ShareKey`]) are rights. They have no text but the
//!   one that `reveal` gives, and can't be compared; the catalog holds only their [`KeyHash`], so
//!   that a copy of the catalog, a backup for example, gives no right to write or delete.
//!
//! Not here: who may do what. An id or a secret says nothing but itself.
//!
//! ```
//! use ddx_id::{FileId, UploadKey};
//!
//! let id = FileId::random();
//! assert_eq!(id.to_string().parse::<FileId>()?, id);
//!
//! let key = UploadKey::random();
//! let told: UploadKey = key.reveal().parse()?;
//! assert_eq!(told.hash(), key.hash(), "secrets are compared by their hashes only");
//! # Ok::<(), ddx_id::NotAnId>(())
//! ```

mod base32;
mod key_hash;
mod public;
mod random;
mod secret;

pub use base32::{NotAnId, TEXT_CHARS};
pub use key_hash::KeyHash;
pub use public::{FileId, LeaseId, SegmentId, ShareId};
pub use random::{fill, random_text};
pub use secret::{DeleteKey, ShareKey, UploadKey};
