//! What happens to bytes once they are in a buffer: digests, then the disk, on a blocking thread.
//!
//! An upload has one segment writer, which goes to the blocking thread and back together with the
//! buffer, so order and exclusive use need no lock. While it works on one buffer the socket fills
//! the next. Digests and disk share one thread on purpose: the digest of a buffer that is
//! warm in the cache costs least right before it is written, and two cores have the socket to serve
//! as well.

use std::ops::Range;
use std::sync::Arc;

use ddx_memory::Buffer;
use ddx_storage::Writer;

use crate::surroundings::{Begun, Surroundings};
use crate::upload::digests::{Digests, Mark};
use crate::upload::live::Live;

/// From this length on a piece takes long. What a slow client sends is shorter, and is written in a
/// moment.
const BULK_BYTES: usize = 256 << 10;

/// An upload's writer with its digests.
pub(crate) struct SegmentWriter {
    pub(crate) file: Box<dyn Writer>,
    pub(crate) digests: Digests,
    /// Written and in the digests. After a failed write the writer may stand further.
    pub(crate) written_bytes: u64,
    pub(crate) live: Arc<Live>,
}

/// How safe what was written is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Not now.
    None,
    /// Nothing of it waits in memory.
    WrittenBack,
    /// Everything so far is made durable, and the mark says how far that is.
    Synced,
}

/// What follows a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AfterWrite {
    pub(crate) durability: Durability,
    /// The buffer comes back.
    pub(crate) keeps_buffer: bool,
}

/// What comes back from the blocking thread.
pub(crate) struct Written {
    pub(crate) writer: SegmentWriter,
    pub(crate) buffer: Option<Buffer>,
    pub(crate) result: Result<Option<Mark>, ddx_storage::Error>,
}

impl SegmentWriter {
    fn write_now(&mut self, bytes: &[u8]) -> Result<(), ddx_storage::Error> {
        // Disk first: what the disk refused must not be in the digests.
        self.file.write(bytes)?;
        self.digests.update(bytes);
        self.written_bytes = self.file.offset();
        self.live.wrote(self.written_bytes);
        Ok(())
    }

    fn sync_now(&mut self) -> Result<Mark, ddx_storage::Error> {
        self.file.sync()?;
        Ok(self.digests.mark(self.written_bytes))
    }

    /// Writes `range` of the buffer, and does what follows.
    pub(crate) fn write(
        mut self,
        surroundings: &dyn Surroundings,
        buffer: Buffer,
        range: Range<usize>,
        after: AfterWrite,
    ) -> Begun<Written> {
        let takes_long = range.len() >= BULK_BYTES;
        let work = move || {
            let mut result = self.write_now(&buffer[range]).map(|()| None);
            let buffer = after.keeps_buffer.then_some(buffer);
            if result.is_ok() {
                result = match after.durability {
                    Durability::None => Ok(None),
                    Durability::WrittenBack => self.file.write_back().map(|()| None),
                    Durability::Synced => self.sync_now().map(Some),
                };
            }
            Written {
                writer: self,
                buffer,
                result,
            }
        };
        if takes_long {
            surroundings.begin_bulk(work)
        } else {
            surroundings.begin(work)
        }
    }

    /// Makes everything so far durable.
    pub(crate) fn sync(mut self, surroundings: &dyn Surroundings) -> Begun<Written> {
        surroundings.begin(move || {
            let result = self.sync_now().map(Some);
            Written {
                writer: self,
                buffer: None,
                result,
            }
        })
    }
}
