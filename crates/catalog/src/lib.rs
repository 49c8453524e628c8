//! Where records live: uploads, files and shares.
//!
//! The engine writes bytes first and the record second, so whatever this crate has answered is the
//! truth of the server: an offset, a finished file, a deletion. Hence the one rule that every
//! backend keeps: **a call is answered only after its change is durable**, and a change is seen
//! whole or not at all.
//!
//! Why a trait and not a database behind SQL strings: small machines want SQLite in the data
//! folder, fleets want PostgreSQL, and neither wants a layer that pretends that the two are one.
//! [`conformance`] holds the sentences that every backend must obey; a backend is done when it
//! passes them.
//!
//! Why futures and no runtime: the futures are woken by a channel, so any executor can await them,
//! and the crate brings its own threads for what blocks.
//!
//! The catalog never holds a secret that opens something: keys of uploads, shares and deletions are
//! known here by their BLAKE3 hash only, and metadata comes without them. With a stolen database
//! nothing can be written or deleted.
//!
//! Not here: bytes (`ddx-storage` keeps them), and what a change means: the engine decides that.
//!
//! ```
//! use ddx_catalog::sqlite::Config;
//! use ddx_catalog::{Catalog, ShareRecord, SqliteCatalog};
//! use ddx_id::{ShareId, ShareKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let catalog = SqliteCatalog::open(&folder, Config::default())?;
//! let key = ShareKey::random();
//! let share = ShareRecord {
//!     share_id: ShareId::random(),
//!     share_key_hash: key.hash(),
//!     created_at: 1_700_000_000_000,
//! };
//! catalog.create_share(share.clone()).await?;
//! assert_eq!(catalog.share_by_key(key.hash()).await?, Some(share));
//! catalog.close().await?;
//! # Ok(())
//! # })
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod conformance;
mod error;
mod record;
#[cfg(feature = "testing")]
pub mod reference;
mod rules;
pub mod sqlite;

pub use error::{Error, ErrorKind};
pub use record::{
    Checkpoint, Completion, FileRecord, FileSummary, Kind, NewFile, OwnerTotals, Segment,
    ShareRecord, State, Totals, Work,
};

pub use sqlite::SqliteCatalog;

use ddx_id::{DeleteKey, FileId, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};
use futures_util::future::BoxFuture;
use std::path::PathBuf;

/// What each method of [`Catalog`] returns. Dropping it before it was polled does nothing; dropping
/// it later leaves open whether the change happened.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The most rows that one listing call returns, whatever `limit` it was given.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// A page of [`Catalog::share_files`] ends after the file with which its texts
/// ([`FileSummary::text_bytes`]) come to so much.
pub const PAGE_TEXT_BYTES: usize = 8 << 10;

/// Records of shares, files and their segments. All methods may be called at the same time from any
/// thread.
///
/// A method that changes something is answered after the change is durable, and callers wait (they
/// are not refused) while the backend's bounded queue is full. Any method may fail with
/// [`ErrorKind::Full`], [`ErrorKind::Busy`], [`ErrorKind::Io`], [`ErrorKind::Corrupt`] or
/// [`ErrorKind::Closed`]; the kinds told below come on top.
///
/// The states of a file: `Receiving → Complete | Failed`, `Joining → Complete | Failed`. Only a
/// receiving file is checkpointed, its offset never goes back, and a complete file changes no more,
/// except that missing digests are filled in, downloads are counted and it is deleted.
pub trait Catalog: Send + Sync + 'static {
    /// Makes an empty share, into which files are created later. [`ErrorKind::Taken`] if its id or
    /// key exists.
    fn create_share(&self, share: ShareRecord) -> Answer<'_, ()>;

    /// The share of this id.
    fn share(&self, share_id: ShareId) -> Answer<'_, Option<ShareRecord>>;

    /// The share whose key has this hash: files can be added with the key.
    fn share_by_key(&self, share_key_hash: KeyHash<ShareKey>) -> Answer<'_, Option<ShareRecord>>;

    /// The files of a share in the order of their paths (byte order), those after the path `after`.
    /// At most `limit` and [`PAGE_ROWS_MAX`], and no more after [`PAGE_TEXT_BYTES`]: a share may
    /// hold a hundred thousand files, and no answer may. Every kind and state is in it, parts of a
    /// concatenation too. Only where it is empty is there nothing after `after`, or no such share.
    fn share_files(
        &self,
        share_id: ShareId,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<FileSummary>>;

    /// Deletes up to `limit` shares that were made before `created_before` and hold no file;
    /// returns how many.
    fn forget_empty_shares(&self, created_before: i64, limit: u32) -> Answer<'_, u64>;

    /// Makes a file, and its share if that is absent. A small file comes complete, with its bytes
    /// in [`NewFile::inline`]: one call, one commit. [`ErrorKind::Taken`] if the path is taken in
    /// that share, or an id or key exists; [`ErrorKind::Invalid`] if the record contradicts itself
    /// (see [`FileRecord`]).
    fn create(&self, new: NewFile) -> Answer<'_, ()>;

    /// The file of this id.
    fn file(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>>;

    /// The file whose upload key has this hash. An all-zero hash finds nothing.
    fn file_by_upload_key(
        &self,
        upload_key_hash: KeyHash<UploadKey>,
    ) -> Answer<'_, Option<FileRecord>>;

    /// The file whose delete key has this hash. An all-zero hash finds nothing.
    fn file_by_delete_key(
        &self,
        delete_key_hash: KeyHash<DeleteKey>,
    ) -> Answer<'_, Option<FileRecord>>;

    /// The file at this path of a share.
    fn file_by_path(&self, share_id: ShareId, path: String) -> Answer<'_, Option<FileRecord>>;

    /// The bytes of a small file that lives in the catalog ([`FileRecord::inline`]); `None` if
    /// there is no such file or its bytes are in segments. Apart from the record, so that a listing
    /// never carries them.
    fn inline(&self, file_id: FileId) -> Answer<'_, Option<Vec<u8>>>;

    /// Notes how far a receiving file has come. A part keeps its family alive: joining finals that
    /// it is in, and all their parts, expire no earlier than it, give or take an eighth of its
    /// time. [`ErrorKind::Gone`] if it is not there or not receiving; [`ErrorKind::Invalid`] if the
    /// offset would go back or beyond the length, or a known length would change.
    fn checkpoint(&self, checkpoint: Checkpoint) -> Answer<'_, ()>;

    /// Publishes a receiving or joining file; a part keeps its family alive as in
    /// [`Catalog::checkpoint`]. The segments given replace those of the record; one that no file
    /// refers to any more is pending deletion in the same transaction. [`ErrorKind::Gone`] if the
    /// file is not there or is complete or failed already; [`ErrorKind::Invalid`] if the length
    /// contradicts the record, the offset, the segments or the inline bytes.
    fn complete(&self, completion: Completion) -> Answer<'_, ()>;

    /// Marks a receiving or joining file as failed, for good; it keeps its record until it is
    /// deleted or expires. [`ErrorKind::Gone`] as in [`Catalog::complete`].
    fn fail(&self, file_id: FileId, reason: String, failed_at: i64) -> Answer<'_, ()>;

    /// The joining files that have `part_file_id` among their parts, in the order in which they
    /// were made, those after the file `after` (from the first one on if it is gone). At most
    /// `limit` and [`PAGE_ROWS_MAX`].
    fn finals_waiting_for(
        &self,
        part_file_id: FileId,
        after: Option<FileId>,
        limit: u32,
    ) -> Answer<'_, Vec<FileRecord>>;

    /// Fills in digests of a complete file that were pending. [`ErrorKind::Gone`] if it is not
    /// there, not complete, or marked as damaged; [`ErrorKind::Invalid`] if another value is known
    /// already.
    fn set_digest(
        &self,
        file_id: FileId,
        blake3: [u8; 32],
        sha256: Option<[u8; 32]>,
    ) -> Answer<'_, ()>;

    /// Sets how often and how long a complete file may be downloaded: both are as given, `None` is
    /// without end. [`ErrorKind::Gone`] if it is not there or not complete.
    fn set_limits(
        &self,
        file_id: FileId,
        max_downloads: Option<u64>,
        expires_at: Option<i64>,
    ) -> Answer<'_, ()>;

    /// Marks a complete file as damaged, with what is wrong with it; the first such mark stays.
    /// [`ErrorKind::Gone`] if it is not there or not complete.
    fn set_damage(&self, file_id: FileId, damage: String) -> Answer<'_, ()>;

    /// Complete whole or final files without BLAKE3 and without damage, those longest complete
    /// first. At most `limit` and [`PAGE_ROWS_MAX`]. Partial uploads are not among them: they are
    /// not downloaded.
    fn pending_digests(&self, limit: u32) -> Answer<'_, Vec<FileRecord>>;

    /// Deletes a file and returns what it was; `None` if it is not there. In the same transaction
    /// its segments that no other file refers to become pending deletions, and its share goes if
    /// it was the last file in it.
    fn delete(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>>;

    /// Segments whose bytes are to be deleted, oldest first. At most `limit` and [`PAGE_ROWS_MAX`].
    fn pending_deletions(&self, limit: u32) -> Answer<'_, Vec<SegmentId>>;

    /// Takes segments off the list of pending deletions, after their bytes are gone. Unknown ids
    /// are ignored.
    fn forget_segments(&self, segments: Vec<SegmentId>) -> Answer<'_, ()>;

    /// Files of any state whose `expires_at` is not after `now`, longest expired first, without the
    /// first `skip`. At most `limit` and [`PAGE_ROWS_MAX`].
    fn expired(&self, now: i64, skip: u32, limit: u32) -> Answer<'_, Vec<FileId>>;

    /// Deletes those of `files` whose `expires_at` is not after `now` when it happens, each as
    /// [`Catalog::delete`] does, all in one transaction; returns what they were. What has moved on
    /// since the look stays.
    fn delete_expired(&self, now: i64, files: Vec<FileId>) -> Answer<'_, Vec<FileRecord>>;

    /// Receiving files without a byte that have named segments since before `before`, the oldest
    /// first: space is reserved for them. At most `limit` and [`PAGE_ROWS_MAX`].
    fn reserved_unbegun(&self, before: i64, limit: u32) -> Answer<'_, Vec<FileId>>;

    /// Receiving and joining files in the order of their ids, those after the id `after`: for
    /// recovery on start. At most `limit` and [`PAGE_ROWS_MAX`].
    fn unfinished(&self, limit: u32, after: Option<FileId>) -> Answer<'_, Vec<FileRecord>>;

    /// The files that refer to this segment, in the order in which they were made. At most `limit`
    /// and [`PAGE_ROWS_MAX`].
    fn files_of_segment(&self, segment_id: SegmentId, limit: u32) -> Answer<'_, Vec<FileRecord>>;

    /// Whether a file refers to this segment.
    fn knows_segment(&self, segment_id: SegmentId) -> Answer<'_, bool>;

    /// Ids of all segments that files refer to, each once, in their order, those after `after`: for
    /// reconciliation. At most `limit` and [`PAGE_ROWS_MAX`].
    fn segments(&self, limit: u32, after: Option<SegmentId>) -> Answer<'_, Vec<SegmentId>>;

    /// How many files and bytes there are. Kept with each change, so that asking costs nothing.
    fn totals(&self) -> Answer<'_, Totals>;

    /// What an owner ([`FileRecord::owner`]) has unfinished. Kept with each change, too.
    fn owner_totals(&self, owner: String) -> Answer<'_, OwnerTotals>;

    /// Counts a download of a complete file that has not expired at `now`. `false`, and no count,
    /// if it has, or `max_downloads` is reached; two callers never both get the last one.
    /// [`ErrorKind::NotFound`] if the file is not there or not complete.
    fn count_download(&self, file_id: FileId, now: i64) -> Answer<'_, bool>;

    /// Writes a consistent copy of the whole catalog into the new file `to` while it stays in use.
    /// [`ErrorKind::Taken`] if the file exists.
    fn backup(&self, to: PathBuf) -> Answer<'_, ()>;

    /// Reads everything and fails with [`ErrorKind::Corrupt`] and the first contradiction found, if
    /// there is one.
    fn check(&self) -> Answer<'_, ()>;

    /// Makes sure that no change that failed comes back. One whose commit failed may lie on the
    /// disk all the same, and a crash may bring it to life until another commit has taken its
    /// place; this is that commit, where it is needed. To be called before bytes go that such a
    /// change may speak of.
    fn settle(&self) -> Answer<'_, ()>;

    /// Takes no more calls, finishes those that wait, and gives threads and files back. Every later
    /// call fails with [`ErrorKind::Closed`].
    fn close(&self) -> Answer<'_, ()>;

    /// What has been written since it was opened.
    fn work(&self) -> Work;
}
