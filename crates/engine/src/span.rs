//! A range of a file that the kernel can send by itself, from the disk's cache to the connection.
//!
//! No buffer of ours is filled, none is leased, and no byte is copied twice: a reader that takes nothing holds a descriptor and no memory.
//! It is for complete files in segments on a local disk; all others are read ([`crate::Download::stream`]).

use std::collections::VecDeque;
use std::sync::Arc;

use ddx_storage::Reader;

use crate::engine::Parts;
use crate::stats::Total;

/// How far the disk reads ahead, in pieces of the size that an upload would get now: 8 MiB while few are active.
const AHEAD_GRANULES: u64 = 2;

/// A part of one segment, to be sent next.
#[derive(Clone)]
pub struct Stretch {
    /// What it is read from; [`Reader::file`] is there.
    pub reader: Arc<dyn Reader>,
    /// Where it begins in that file.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// How far the disk may be asked to read ahead of what is sent. Page cache and not memory of ours, but in a small box there is little of it.
    pub ahead_bytes: u64,
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
