//! What a store promises.

use std::fmt;
use std::fs::File;

use ddx_id::SegmentId;

use crate::Error;

/// A keeper of segments. Its methods block; call them on threads that may.
pub trait Store: Send + Sync + 'static {
    /// Makes an empty segment; with a length, also [reserves](Store::reserve) it.
    ///
    /// The segment need not survive a power cut before the first [`Writer::sync`]: nothing was
    /// promised about it yet. The caller makes it anew if it is not found then.
    ///
    /// # Errors
    /// [`NoSpace`](crate::ErrorKind::NoSpace), and then nothing is left behind;
    /// [`Exists`](crate::ErrorKind::Exists); I/O.
    fn create(&self, id: SegmentId, length_bytes: Option<u64>) -> Result<(), Error>;

    /// Makes sure that the segment can grow to this length: whatever others store meanwhile, its
    /// writer will not be told that the disk is full. For uploads that tell their length late, and
    /// on start for those whose length is known, as not every file system keeps a reservation
    /// across a restart. Doing it twice changes nothing.
    ///
    /// # Errors
    /// [`NoSpace`](crate::ErrorKind::NoSpace), [`NotFound`](crate::ErrorKind::NotFound), I/O.
    fn reserve(&self, id: SegmentId, length_bytes: u64) -> Result<(), Error>;

    /// Opens the segment to append at `at`, an offset that was durable (or the
    /// [`offset`](Writer::offset) of the writer before, in the same process). What lies beyond is
    /// cut off, without loss of the reservation. There is one writer at a time.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Corrupt`](crate::ErrorKind::Corrupt) if fewer
    /// than `at` bytes are there or the disk has failed to keep some of them;
    /// [`WriterOpen`](crate::ErrorKind::WriterOpen); I/O.
    fn open_writer(&self, id: SegmentId, at: u64) -> Result<Box<dyn Writer>, Error>;

    /// Opens the segment for reading. A reader stays usable while the segment grows and after it
    /// was deleted.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), I/O.
    fn open_reader(&self, id: SegmentId) -> Result<Box<dyn Reader>, Error>;

    /// Deletes the segment and gives its space and its reservation back; that there is none is no
    /// error. After a power cut a segment deleted shortly before may be there again: a start
    /// of the server compares [`list`](Store::list) with the records.
    ///
    /// # Errors
    /// I/O.
    fn delete(&self, id: SegmentId) -> Result<(), Error>;

    /// Segments in the order of their ids, those after `after`, `limit` of them at most; none at
    /// the end. Segments made or deleted meanwhile may be missing or told.
    ///
    /// # Errors
    /// I/O.
    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>, Error>;

    /// How many bytes a segment has.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), I/O.
    fn length(&self, id: SegmentId) -> Result<u64, Error>;

    /// How full it is.
    ///
    /// # Errors
    /// I/O.
    fn space(&self) -> Result<Space, Error>;

    /// Changes something of no account, to see whether the disk takes changes: a file system that
    /// has met an error may refuse them and look as before.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly), I/O.
    fn try_change(&self) -> Result<(), Error> {
        Ok(())
    }

    /// So many bytes go to the same disk past this store: where its file system counts late, they
    /// are not free meanwhile.
    fn written_beside(&self, bytes: u64) {
        let _ = bytes;
    }

    /// How bytes go to the disk.
    fn write_mode(&self) -> WriteMode;
}

/// Appends to a segment.
///
/// After [`NoSpace`](crate::ErrorKind::NoSpace) the writer is whole: [`offset`](Writer::offset)
/// says how far it got, and `sync` and `write` work. After any other error it only repeats that it
/// failed, since what it wrote after the last `sync` may be gone; a new one can be opened at the
/// last synced offset.
pub trait Writer: Send {
    /// Appends the bytes. They are not durable yet.
    ///
    /// Fastest if address and offset are congruent modulo 4096 and many blocks come at once.
    ///
    /// # Errors
    /// [`NoSpace`](crate::ErrorKind::NoSpace) for what goes beyond the reservation, I/O. A part may
    /// have been appended.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Makes all bytes below [`offset`](Writer::offset) durable, and the segment's existence: after
    /// `Ok` they survive a power cut.
    ///
    /// # Errors
    /// I/O.
    fn sync(&mut self) -> Result<(), Error>;

    /// Gives back the memory in which bytes wait for the medium: they are there after `Ok`, and no
    /// power cut is withstood. Much cheaper than [`sync`](Writer::sync) for who has no use for
    /// that.
    ///
    /// # Errors
    /// I/O.
    fn write_back(&mut self) -> Result<(), Error>;

    /// Where the next byte goes.
    fn offset(&self) -> u64;
}

/// Reads a segment.
pub trait Reader: Send + Sync {
    /// Reads from `offset` until `into` is full or the segment ends; returns how many bytes.
    ///
    /// # Errors
    /// I/O.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error>;

    /// Asks the medium for these bytes, so that they are there when they are read. Only advice, and
    /// nothing else is read ahead: what is under way takes as much memory as it has bytes.
    fn prefetch(&self, offset: u64, bytes: u64) {
        let _ = (offset, bytes);
    }

    /// The file behind it, if it is one: the kernel can send it without us.
    fn file(&self) -> Option<&File> {
        None
    }
}

/// How full a store is. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the store.
    pub total_bytes: u64,
    /// What is free, the floor included. Reservations that the file system keeps are not free any
    /// more.
    pub free_bytes: u64,
    /// What has to stay free.
    pub floor_bytes: u64,
    /// What is promised but still counted in `free_bytes`.
    pub reserved_bytes: u64,
}

impl Space {
    /// What can still be promised, in bytes.
    #[must_use]
    pub fn available_bytes(&self) -> u64 {
        self.free_bytes
            .saturating_sub(self.floor_bytes)
            .saturating_sub(self.reserved_bytes)
    }
}

/// How bytes go to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Whole blocks go from our buffers to the disk, past the page cache.
    Direct,
    /// All goes through small windows of the page cache.
    Windowed {
        /// Why it is not [`WriteMode::Direct`].
        reason: String,
    },
    /// By none: the file system took no changes when the store was opened.
    ReadOnly,
}

impl fmt::Display for WriteMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct I/O"),
            Self::Windowed { reason } => write!(f, "the page cache, a little at a time ({reason})"),
            Self::ReadOnly => f.write_str("read-only, nothing is stored or deleted"),
        }
    }
}
