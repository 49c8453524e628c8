//! A range of a file that the kernel can send by itself, from the disk's cache to the connection.
//!
//! No buffer of ours is filled, none is leased, and no byte is copied twice: a reader that takes nothing holds a descriptor and no memory.
//! It is for complete files in segments on a local disk; all others are read ([`crate::Download::stream`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use ddx_storage::{Reader, SegmentId, Store};

use crate::engine::Parts;
use crate::stats::Total;

/// How far the disk reads ahead, in pieces of the size that an upload would get now: 8 MiB while few are active.
const AHEAD_GRANULES: u64 = 2;

/// A segment to be read, opened when it is first needed: a file that is joined from a thousand parts holds one descriptor,
/// and not a thousand.
#[derive(Clone)]
pub(crate) struct SegmentFile {
    store: Arc<dyn Store>,
    id: SegmentId,
    opened: OnceLock<Arc<dyn Reader>>,
}

impl SegmentFile {
    pub(crate) fn new(store: Arc<dyn Store>, id: SegmentId) -> Self {
        Self {
            store,
            id,
            opened: OnceLock::new(),
        }
    }

    /// Its reader. The first call blocks for as long as opening takes.
    pub(crate) fn reader(&self) -> Result<&dyn Reader, ddx_storage::Error> {
        if let Some(reader) = self.opened.get() {
            return Ok(reader.as_ref());
        }
        let opened = Arc::from(self.store.open_reader(self.id)?);
        Ok(self.opened.get_or_init(|| opened).as_ref())
    }

    /// Whether it is open, and a file.
    pub(crate) fn is_file(&self) -> bool {
        self.opened
            .get()
            .is_some_and(|reader| reader.file().is_some())
    }
}

/// A part of one segment, to be sent next.
#[derive(Clone)]
pub struct Stretch {
    /// What it is read from.
    pub(crate) segment: Arc<SegmentFile>,
    /// Where it begins in that file.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// How far the disk may be asked to read ahead of what is sent. Page cache and not memory of ours, but in a small box there is little of it.
    pub ahead_bytes: u64,
}

impl Stretch {
    /// The file that it is in, opened if it is not. Call it on a thread that may block.
    ///
    /// # Errors
    /// It can't be opened, or is no file.
    pub fn file(&self) -> io::Result<&File> {
        let reader = self.segment.reader().map_err(io::Error::other)?;
        reader
            .file()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// What is still to be sent of a range.
pub struct Span {
    parts: Arc<Parts>,
    stretches: VecDeque<Stretch>,
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span")
            .field("left_bytes", &self.left_bytes())
            .finish_non_exhaustive()
    }
}

impl Span {
    pub(crate) fn new(parts: Arc<Parts>, stretches: VecDeque<Stretch>) -> Self {
        Self { parts, stretches }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.bytes).sum()
    }

    /// What comes next; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<Stretch> {
        let mut next = self.stretches.front().cloned()?;
        next.ahead_bytes = AHEAD_GRANULES * self.parts.ledger.granule_bytes();
        Some(next)
    }

    /// So much of it was sent.
    pub fn sent(&mut self, bytes: u64) {
        self.parts.stats.add(Total::DownloadBytes, bytes);
        if let Some(first) = self.stretches.front_mut() {
            first.offset += bytes;
            first.bytes = first.bytes.saturating_sub(bytes);
            if first.bytes == 0 {
                self.stretches.pop_front();
            }
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.stretches.is_empty() {
            self.parts.stats.add(Total::DownloadsCut, 1);
        }
    }
}
