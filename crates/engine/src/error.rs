//! Why the engine says no.
//!
//! One public kind for every refusal that a way in can meet, each with the figures that an honest
//! answer needs: the limit, what was asked, and what would help. A protocol maps them to its own
//! status codes by an exhaustive match, so that a new refusal is a compile error there and never a
//! forgotten 500.

use std::time::Duration;

/// A refusal or a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such upload, file or share, or it has been deleted.
    #[error("not found")]
    NotFound,
    /// It was here and its time is over.
    #[error("expired")]
    Expired,
    /// The bytes offered do not start where the upload stands.
    #[error("the upload is at byte {expected}, but the request starts at byte {provided}")]
    OffsetMismatch {
        /// Where the next byte belongs.
        expected: u64,
        /// Where the client thought it belongs.
        provided: u64,
    },
    /// Two indications of the length disagree, or one lies below what has arrived.
    #[error("the upload's length is {known} bytes, but the request says {given}")]
    LengthMismatch {
        /// What was declared or has arrived.
        known: u64,
        /// What this request says.
        given: u64,
    },
    /// More bytes came than the upload's length has room for.
    #[error("the upload's length is {length_bytes} bytes, but more were sent")]
    PastLength {
        /// The declared length.
        length_bytes: u64,
    },
    /// The file is larger than this server takes.
    #[error("too large (limit {limit_bytes} bytes)")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The bytes that arrived are not those that the client's digest describes. They have been
    /// dropped.
    #[error("the data does not match its {algorithm} checksum")]
    ChecksumMismatch {
        /// The digest's name.
        algorithm: &'static str,
    },
    /// A digest was promised and did not come, or can't be read.
    #[error("the announced checksum trailer did not arrive")]
    ChecksumMissing,
    /// The disk has no room.
    #[error(
        "{needed_bytes} bytes of disk space are needed, {free_bytes} are free, and {floor_bytes} have to stay free"
    )]
    NoSpace {
        /// What was asked.
        needed_bytes: u64,
        /// What the disk has.
        free_bytes: u64,
        /// What is always kept free.
        floor_bytes: u64,
    },
    /// The disk is mounted read-only.
    #[error("the disk is mounted read-only")]
    ReadOnly,
    /// The queue itself is full.
    #[error("too many uploads are waiting ({waiting})")]
    QueueFull {
        /// How many wait.
        waiting: u64,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Closing,
    /// A newer request for the same upload has taken over; the bytes of this one are kept.
    #[error("a newer request is sending this upload")]
    Superseded,
    /// The client went away; what arrived is kept.
    #[error("the client disconnected")]
    ClientGone,
    /// The client stayed connected and sent nothing; what arrived is kept.
    #[error("no data arrived for {} s", after.as_secs())]
    Stalled {
        /// The limit.
        after: Duration,
    },
    /// The upload is joined from parts, or complete: nothing can be added.
    #[error("this upload takes no more data")]
    NotAppendable,
    /// A part to be joined is not there, or is no part.
    #[error("part {place} doesn't exist or is not a partial upload")]
    PartUnknown {
        /// Its place in the list, from 1.
        place: usize,
    },
    /// A part is listed more than once.
    #[error("part {place} is listed twice")]
    PartRepeated {
        /// The later place in the list, from 1.
        place: usize,
    },
    /// More parts than a file may be joined from.
    #[error("too many parts ({count}, limit {limit})")]
    TooManyParts {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The share holds a file of this name already.
    #[error("the share already has a file with this name")]
    NameTaken,
    /// The link has been used as often as its owner allows.
    #[error("the download limit of {limit} is reached")]
    DownloadsUsedUp {
        /// The limit.
        limit: u64,
    },
    /// All downloads that are left are under way.
    #[error("all remaining downloads of this file are in use")]
    DownloadTaken,
    /// As many readers of files whose downloads are limited are remembered as there may be.
    #[error("{limit} readers of files with limited downloads are remembered, which is the limit")]
    TooManyReaders {
        /// The limit, for all clients.
        limit: usize,
    },
    /// As many of these are one client's as it may have.
    #[error(
        "{limit} readers of files with limited downloads are this client's, which is the limit"
    )]
    TooManyOfReader {
        /// The limit for one client.
        limit: usize,
    },
    /// What the request needs in memory does not fit now.
    #[error("{needed_bytes} bytes of memory are needed, {free_bytes} are free")]
    NoMemory {
        /// What it needs.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// Bytes of the file are missing, or are not those that arrived.
    #[error("the file is damaged: {what}")]
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// The store failed.
    #[error("the disk failed")]
    Storage(#[source] ddx_storage::Error),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[source] ddx_catalog::Error),
    /// Something that should hold does not; the operator's log says what.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::QueueFull { .. }
            | Self::Closing
            | Self::Superseded
            | Self::DownloadTaken
            | Self::TooManyReaders { .. }
            | Self::TooManyOfReader { .. }
            | Self::NoMemory { .. }
            | Self::ClientGone
            | Self::Stalled { .. }
            | Self::NoSpace { .. }
            | Self::ReadOnly
            | Self::Storage(_)
            | Self::Catalog(_) => true,
            Self::NotFound
            | Self::Expired
            | Self::OffsetMismatch { .. }
            | Self::LengthMismatch { .. }
            | Self::PastLength { .. }
            | Self::TooLarge { .. }
            | Self::ChecksumMismatch { .. }
            | Self::ChecksumMissing
            | Self::NotAppendable
            | Self::PartUnknown { .. }
            | Self::PartRepeated { .. }
            | Self::TooManyParts { .. }
            | Self::NameTaken
            | Self::DownloadsUsedUp { .. }
            | Self::Damaged { .. }
            | Self::Internal(_) => false,
        }
    }
}
