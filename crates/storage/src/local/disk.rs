//! The disk under a store and its writers: its parts, and what is done to a file's space by several
//! of them together.

use std::fs::File;
use std::sync::Arc;

use ddx_id::SegmentId;
use ddx_memory::Ledger;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::config::{BLOCK_BYTES, LocalDiskConfig};
use super::layout::Layout;
use super::probe;
use super::registry::Registry;
use super::space::Reservations;
use crate::{Error, WriteMode};

/// What a store and its writers share.
pub(super) struct Disk {
    pub(super) config: LocalDiskConfig,
    pub(super) ledger: Ledger,
    pub(super) layout: Layout,
    pub(super) reservations: Arc<Reservations>,
    pub(super) registry: Arc<Registry>,
    pub(super) write_mode: WriteMode,
    pub(super) keeps_reservations: bool,
    /// Held for its `flock`.
    pub(super) _lock: File,
}

impl Disk {
    /// Sees to it that `file` can grow to `length_bytes`, by the file system or by us.
    pub(super) fn reserve(
        &self,
        id: SegmentId,
        file: &File,
        length_bytes: u64,
    ) -> Result<(), Error> {
        let stat =
            rustix::fs::fstat(file).map_err(|e| Error::io(format!("look at segment {id}"), e))?;
        let allocated = probe::allocated_bytes(&stat);
        if !self.keeps_reservations {
            let covered = self
                .registry
                .promise(id)
                .map_or(0, |promise| promise.until)
                .max(allocated);
            if let Some(missing) = length_bytes
                .checked_sub(covered)
                .filter(|missing| *missing > 0)
            {
                self.registry
                    .keep(id, length_bytes, self.reservations.claim(missing)?);
            }
            return Ok(());
        }
        let missing = length_bytes
            .next_multiple_of(BLOCK_BYTES)
            .saturating_sub(allocated);
        if missing == 0 {
            return Ok(());
        }
        self.reservations.hand_over(missing, || {
            // The whole range: what is allocated already stays as it is.
            self.allocate(id, file, 0, length_bytes, missing)
        })
    }

    fn allocate(
        &self,
        id: SegmentId,
        file: &File,
        from: u64,
        bytes: u64,
        missing: u64,
    ) -> Result<(), Error> {
        loop {
            match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) if crate::error::is_full(&error.into()) => {
                    return Err(self.reservations.full(missing));
                }
                Err(error) => {
                    return Err(Error::io(
                        format!("reserve {bytes} bytes for segment {id}"),
                        error,
                    ));
                }
            }
        }
    }

    /// Cuts the file at `at`. That frees the blocks reserved behind it too, so they are taken anew;
    /// meanwhile no other upload can have them.
    pub(super) fn cut(
        &self,
        id: SegmentId,
        file: &File,
        at: u64,
        stat: &rustix::fs::Stat,
    ) -> Result<(), Error> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let allocated = probe::allocated_bytes(stat);
        let kept = self.keeps_reservations && allocated > at;
        let meanwhile = kept.then(|| self.reservations.reserve_unchecked(allocated - at));
        rustix::fs::ftruncate(file, at)
            .map_err(|e| Error::io(format!("cut segment {id} at {at}"), e))?;
        if kept {
            self.allocate(id, file, at, allocated - at, allocated - at)?;
        } else if self.registry.promise(id).is_some() {
            self.registry
                .keep(id, 0, self.reservations.reserve_unchecked(size - at));
        }
        drop(meanwhile);
        Ok(())
    }
}
