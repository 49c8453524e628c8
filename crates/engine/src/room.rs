//! Whether the disk has room for what is too small to reserve it.
//!
//! Small files live in the catalog, and so do the records of all: none of them asks the store for space. Without a look at the disk, many of them
//! would go on into the free-space floor, which is what the catalog itself lives on when the disk is full. A look each would
//! be a trip to a blocking thread for a file that is done in the time of one; a look now and then is as good, since what comes in between is small.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ddx_storage::Space;
use tokio::time::Instant;

use crate::create::Draft;
use crate::engine::{Parts, on_disk};
use crate::error::Error;

/// How long a look at the disk counts.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What a record takes, at most, of the catalog and its log.
const RECORD_BYTES: u64 = 16 << 10;

/// The last look at the disk.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Option<(Instant, Space)>>);

impl LastLook {
    fn fresh(&self) -> Option<Space> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| at.elapsed() < LOOK_EVERY)
            .map(|(_, space)| space)
    }

    fn keep(&self, space: Space) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), space));
    }
}

impl Parts {
    /// Refuses an upload that will not reserve its space, if there is none above the floor.
    pub(crate) async fn has_room_for_small(&self, draft: &Draft) -> Result<(), Error> {
        let inline_bytes = match draft.record.length_bytes {
            Some(length) if length > self.config.inline_max_bytes => return Ok(()),
            length => length.unwrap_or(0),
        };
        let needed_bytes = inline_bytes + RECORD_BYTES;
        let fits = |space: &Space| needed_bytes <= space.available_bytes();
        if self.last_look.fresh().as_ref().is_some_and(fits) {
            return Ok(());
        }
        let space = self
            .blocking(|store| store.space().map_err(on_disk))
            .await?;
        self.last_look.keep(space);
        if fits(&space) {
            return Ok(());
        }
        Err(Error::NoSpace {
            needed_bytes,
            free_bytes: space.free_bytes.saturating_sub(space.reserved_bytes),
            floor_bytes: space.floor_bytes,
        })
    }
}
