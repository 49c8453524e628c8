//! Whether the disk has room for what is too small to reserve it.
//!
//! Small files live in the catalog, and so do the records of all: none of them asks the store for
//! space. Without a look at the disk, many of them would go on into the free-space floor, which is
//! what the catalog itself lives on when the disk is full. A look each would be a trip to a
//! blocking thread for a file that is done in the time of one; a look now and then is as good,
//! since what is admitted in between is counted.

use ddx_storage::Space;

use crate::engine::{Core, on_disk};
use crate::error::Error;
use crate::upload::create::Draft;

/// What a record takes, at most, of the catalog.
const RECORD_BYTES: u64 = 16 << 10;
/// What a change adds to the catalog's log, at most, beside the bytes in it: each page that it
/// touches, of the record's table and its indexes.
const CHANGE_BYTES: u64 = 64 << 10;
/// Bytes in the catalog are written to its log first, and lie there until the log is copied.
const WRITTEN_TWICE: u64 = 2;

impl Core {
    /// How full the disk is. What lies in the catalog's log is counted by the disk, and will be
    /// once more when it is copied: that much is promised, too.
    pub(crate) async fn space(&self) -> Result<Space, Error> {
        let space = self.blocking(|store| store.space().map_err(on_disk));
        let mut space = space.await?;
        space.reserved_bytes += self.catalog.work().log_bytes;
        Ok(space)
    }

    /// Refuses an upload that will not reserve its space, if there is none above the floor.
    pub(crate) async fn has_room_for_small(&self, draft: &Draft) -> Result<(), Error> {
        match draft.record.length_bytes {
            Some(length) if length > self.config.inline_bytes_max => Ok(()),
            length => self.has_room_for_record(length.unwrap_or(0)).await,
        }
    }

    /// Refuses a record with so many bytes in it, if there is no space for it above the floor.
    pub(crate) async fn has_room_for_record(&self, inline_bytes: u64) -> Result<(), Error> {
        let needed_bytes = inline_bytes * WRITTEN_TWICE + RECORD_BYTES + CHANGE_BYTES;
        if self.last_look.admits(needed_bytes) {
            self.store.written_beside(needed_bytes);
            return Ok(());
        }
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let space = self.space().await?;
        self.last_look.renew(&space);
        if self.last_look.admits(needed_bytes) {
            self.store.written_beside(needed_bytes);
            return Ok(());
        }
        Err(Error::NoSpace {
            needed_bytes,
            free_bytes: space.free_bytes.saturating_sub(space.reserved_bytes),
            floor_bytes: space.floor_bytes,
        })
    }
}
