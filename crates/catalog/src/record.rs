//! The records as callers see them. How a backend lays them out is its own affair.
//!
//! Time stamps are milliseconds since the Unix epoch. All ids are 16 random bytes; that they are
//! random is what makes a link unguessable, so they are made by the engine and never by a database.

use ddx_id::{DeleteKey, FileId, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};

/// What a file is in a concatenation of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// An upload of its own.
    #[default]
    Whole,
    /// A part, to be joined with others.
    Partial,
    /// Parts joined: a list of their segments, no byte copied.
    Final,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Bytes are coming in, or may come in later.
    #[default]
    Receiving,
    /// A final that waits for parts which are not complete yet.
    Joining,
    /// All bytes are there and durable; visible to everybody who has the link.
    Complete,
    /// It never becomes complete.
    Failed,
}

/// A piece of a file's bytes in the store. Several files may refer to one segment: a final has
/// those of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Segment {
    /// Its name in the store.
    pub segment_id: SegmentId,
    /// How many of its bytes belong to the file; 0 while they are coming in.
    pub length_bytes: u64,
    /// CRC-64/NVME of these bytes; 0 while they are coming in.
    pub crc64: u64,
}

/// A file and its upload.
///
/// A record is consistent if: a receiving file has `offset_bytes <= length_bytes` (if known); a
/// complete one has `length_bytes == offset_bytes`, a `completed_at`, and either inline bytes or
/// segments of that length in sum; only a final is joining, and only a final has parts.
/// [`Catalog::create`](crate::Catalog::create) refuses others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileRecord {
    /// Its id.
    pub file_id: FileId,
    /// The share that it is in.
    pub share_id: ShareId,
    /// Hash of the secret that is the upload's URL. All zero: no client may write, as after a plain
    /// PUT.
    pub upload_key_hash: KeyHash<UploadKey>,
    /// Hash of the secret that deletes it. All zero: it can't be deleted by link.
    pub delete_key_hash: KeyHash<DeleteKey>,
    /// Who sends it, as the engine names users and addresses.
    pub owner: String,
    /// Its path in the share, unique there. Never a path on this machine's disk.
    pub path: String,
    /// The media type that the client gave.
    pub content_type: Option<String>,
    /// What the client sent along, to be given back to it. No secret is in it.
    pub metadata: String,
    /// What it sent along that opens something, so that only the upload's key, which is not here,
    /// brings it back.
    pub sealed_metadata: Option<String>,
    /// Its role in a concatenation.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// The protocol that it came by, `tus` or `plain`.
    pub protocol: String,
    /// Its length, if it is known already.
    pub length_bytes: Option<u64>,
    /// Durable bytes from its start.
    pub offset_bytes: u64,
    /// State of the BLAKE3 hasher at or before `offset_bytes`; empty once it is complete or failed.
    pub digest_state: Vec<u8>,
    /// CRC-64/NVME of its first `offset_bytes`.
    pub crc64: u64,
    /// BLAKE3 of all bytes; `None` while it is pending.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of all bytes, if it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// When it was made.
    pub created_at: i64,
    /// When it last came further.
    pub updated_at: i64,
    /// When it became complete.
    pub completed_at: Option<i64>,
    /// When it may be deleted; `None`: never.
    pub expires_at: Option<i64>,
    /// How often it may be downloaded; `None`: without limit.
    pub max_downloads: Option<u64>,
    /// How often it was downloaded.
    pub downloads: u64,
    /// Its bytes in the store, in order.
    pub segments: Vec<Segment>,
    /// Whether its bytes are in the catalog: [`Catalog::inline`](crate::Catalog::inline). Said by
    /// the catalog; in [`NewFile`] it is what `NewFile::inline` says, whatever stands here.
    pub inline: bool,
    /// Of a final: the files that it is joined from, in order.
    pub parts: Vec<FileId>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What is known to be wrong with its bytes, once it is complete.
    pub damage: Option<String>,
}

/// A file as a listing shows it: the record without keys, metadata, digest state, segments and
/// parts, which grow with what a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSummary {
    /// Its id.
    pub file_id: FileId,
    /// The share that it is in.
    pub share_id: ShareId,
    /// Its path in the share.
    pub path: String,
    /// The media type that the client gave.
    pub content_type: Option<String>,
    /// Its role in a concatenation.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// Its length, if it is known already.
    pub length_bytes: Option<u64>,
    /// Durable bytes from its start.
    pub offset_bytes: u64,
    /// CRC-64/NVME of these.
    pub crc64: u64,
    /// BLAKE3 of all bytes; `None` while it is pending.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of all bytes, if it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// When it was made.
    pub created_at: i64,
    /// When it became complete.
    pub completed_at: Option<i64>,
    /// When it may be deleted; `None`: never.
    pub expires_at: Option<i64>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What is known to be wrong with its bytes.
    pub damage: Option<String>,
}

/// A share: what a link opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareRecord {
    /// Its id.
    pub share_id: ShareId,
    /// Hash of the secret that lets one add files. All zero: no client may.
    pub share_key_hash: KeyHash<ShareKey>,
    /// When it was made.
    pub created_at: i64,
}

/// A file to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewFile {
    /// The file, in any state but `Failed`.
    pub record: FileRecord,
    /// The key of its share, if the share is to be made with it; without effect if the share is
    /// there.
    pub share_key_hash: KeyHash<ShareKey>,
    /// All bytes of a complete small file.
    pub inline: Option<Vec<u8>>,
}

impl From<FileRecord> for FileSummary {
    fn from(record: FileRecord) -> Self {
        Self {
            file_id: record.file_id,
            share_id: record.share_id,
            path: record.path,
            content_type: record.content_type,
            kind: record.kind,
            state: record.state,
            length_bytes: record.length_bytes,
            offset_bytes: record.offset_bytes,
            crc64: record.crc64,
            blake3: record.blake3,
            sha256: record.sha256,
            created_at: record.created_at,
            completed_at: record.completed_at,
            expires_at: record.expires_at,
            failure: record.failure,
            damage: record.damage,
        }
    }
}

impl FileSummary {
    /// Bytes of its texts, which have no fixed size.
    pub fn text_bytes(&self) -> usize {
        let optional = [&self.content_type, &self.failure, &self.damage];
        let optional = optional.into_iter().flatten().map(String::len);
        self.path.len() + optional.sum::<usize>()
    }
}

impl FileRecord {
    /// Whether it names segments and has no byte: then these are there for the space that they
    /// reserve.
    pub fn reserves_unbegun(&self) -> bool {
        self.state == State::Receiving && self.offset_bytes == 0 && !self.segments.is_empty()
    }
}

/// How far a receiving file has come; its bytes up to `offset_bytes` are durable already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Which file.
    pub file_id: FileId,
    /// Its durable offset; never lower than the one before.
    pub offset_bytes: u64,
    /// State of its BLAKE3 hasher.
    pub digest_state: Vec<u8>,
    /// CRC-64/NVME of its first `offset_bytes`.
    pub crc64: u64,
    /// Its length, if it became known. `None` leaves it as it is.
    pub length_bytes: Option<u64>,
    /// Its segments, if they changed (the first bytes made the first segment, say). `None` leaves
    /// them as they are; one that is dropped and that no other file refers to is pending deletion.
    pub segments: Option<Vec<Segment>>,
    /// When this was.
    pub updated_at: i64,
    /// When it may be deleted from now on. `None` leaves that as it is.
    pub expires_at: Option<i64>,
}

/// What a file is once all its bytes are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Which file.
    pub file_id: FileId,
    /// Its length.
    pub length_bytes: u64,
    /// BLAKE3 of all bytes; `None` if it follows later.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of all bytes.
    pub sha256: Option<[u8; 32]>,
    /// CRC-64/NVME of all bytes.
    pub crc64: u64,
    /// All its segments in order; empty with `inline`, or for an empty file.
    pub segments: Vec<Segment>,
    /// All its bytes, if they are to live in the catalog.
    pub inline: Option<Vec<u8>>,
    /// When this was.
    pub completed_at: i64,
    /// When it may be deleted from now on.
    pub expires_at: Option<i64>,
}

/// What a catalog has written since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Transactions.
    pub commits: u64,
    /// Changes in them: divided by the transactions, how well they are grouped.
    pub operations: u64,
    /// Bytes of its log that may still have to be copied to where they belong: it may grow by as
    /// many without another change.
    pub log_bytes: u64,
}

/// What one owner has unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerTotals {
    /// Receiving and joining files, parts counted.
    pub unfinished: u64,
    /// The lengths of these, where they are known.
    pub promised_bytes: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Complete files that one can download: parts of a concatenation are not counted.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Receiving and joining files, parts counted.
    pub unfinished: u64,
    /// Complete files that are marked as damaged, parts counted.
    pub damaged: u64,
}
