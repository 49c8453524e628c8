//! Appending to a segment, by two write modes.
//!
//! Direct: whole blocks whose address and offset are both aligned go from the caller's buffer to
//! the disk with O_DIRECT, through a second descriptor of the same file, opened when the first such
//! run comes. That costs no copy and no page cache, and keeps its speed where buffered writing is
//! erratic. Windowed: everything else (the head and tail of a run, slow writers' pieces, file
//! systems without direct I/O) through the page cache, see [`super::window`]. The kernel keeps the
//! two coherent: before a direct write it writes back and drops the cached pages of that range.
//!
//! At most two descriptors per writer. A slow writer has one, and its usual write is one system
//! call.

use std::fs::File;
use std::io;
use std::sync::Arc;

use ddx_id::SegmentId;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::config::BLOCK_BYTES;
use super::disk::Disk;
use super::layout::Ticket;
use super::probe::is_refusal;
use super::registry::OpenMark;
use super::space::Reservation;
use super::window::{Room, Windows};
use crate::{Error, WriteMode, Writer};

pub(super) struct LocalWriter {
    disk: Arc<Disk>,
    id: SegmentId,
    file: File,
    direct: Direct,
    windows: Windows,
    offset: u64,
    /// To here every byte is durable.
    synced: u64,
    /// Something was written or cut since the last sync, or the file may be new.
    unsynced: bool,
    entry: Option<Ticket>,
    cover: Cover,
    failed: bool,
    mark: OpenMark,
}

enum Direct {
    /// Not opened yet.
    Possible,
    Open(File),
    Impossible,
}

/// How far the segment may grow without asking for space.
pub(super) struct Cover {
    /// To here blocks are allocated on the disk.
    pub(super) allocated_until: u64,
    /// To here they are, or the reservation pays for them.
    pub(super) until: u64,
    pub(super) reservation: Option<Arc<Reservation>>,
}

impl LocalWriter {
    pub(super) fn new(disk: Arc<Disk>, mark: OpenMark, file: File, at: u64, cover: Cover) -> Self {
        let id = mark.id();
        let direct = if disk.write_mode == WriteMode::Direct {
            Direct::Possible
        } else {
            Direct::Impossible
        };
        let windows = Windows::new(disk.ledger.clone(), &disk.config);
        let entry = Some(disk.layout.ticket(id));
        let synced = mark.safe_until().min(at);
        Self {
            disk,
            id,
            file,
            direct,
            windows,
            offset: at,
            synced,
            unsynced: true,
            entry,
            cover,
            failed: false,
            mark,
        }
    }

    fn check_usable(&self) -> Result<(), Error> {
        if self.failed {
            let what = format!(
                "write to segment {} after byte {}, where an earlier write failed",
                self.id, self.synced
            );
            return Err(Error::io(what, io::Error::from_raw_os_error(libc::EIO)));
        }
        Ok(())
    }

    /// After this, no writer may build on what was written since the last sync: once a failure was
    /// reported the kernel may take the pages for clean, and a later `fdatasync` would say yes to
    /// bytes that are gone.
    fn fail(&mut self, error: io::Error, doing: &str) -> Error {
        self.failed = true;
        self.mark.lost_after(self.synced);
        Error::io(
            format!("{doing} segment {} at {}", self.id, self.offset),
            error,
        )
    }

    /// Makes sure that there is space to grow by so many bytes.
    fn cover(&mut self, bytes: u64) -> Result<(), Error> {
        let end = self.offset + bytes;
        let Some(missing) = end
            .checked_sub(self.cover.until)
            .filter(|missing| *missing > 0)
        else {
            return Ok(());
        };
        let config = &self.disk.config;
        let step = self
            .offset
            .clamp(config.growth_bytes_min, config.growth_bytes_max)
            .max(missing);
        let step = step.next_multiple_of(BLOCK_BYTES);
        let reservations = &self.disk.reservations;
        let (reservation, step) = match reservations.claim(step) {
            Ok(reservation) => (reservation, step),
            Err(_) => (reservations.claim(missing)?, missing),
        };
        self.cover.until += step;
        match &self.cover.reservation {
            Some(own) => own.join(&reservation),
            None => self.cover.reservation = Some(Arc::new(reservation)),
        }
        Ok(())
    }

    /// So many bytes went into the file.
    fn advance(&mut self, bytes: u64) {
        let from = self.offset.max(self.cover.allocated_until);
        self.offset += bytes;
        self.unsynced = true;
        if let (Some(reservation), true) = (&self.cover.reservation, self.offset > from) {
            reservation.used(self.offset - from);
        }
    }

    /// What the system said to a write, as our error.
    fn refused(&mut self, errno: Errno, left_bytes: usize) -> Error {
        let error = io::Error::from(errno);
        if crate::error::is_full(&error) {
            // Nothing of this piece was taken, and nothing before it is in doubt.
            return self.disk.reservations.full(left_bytes as u64);
        }
        self.fail(error, "write")
    }

    /// Writes through the page cache.
    fn write_windowed(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = self
                .windows
                .room(&self.file, self.offset, bytes.len() as u64);
            let room = room.map_err(|error| self.fail(error, "write back"))?;
            let (Room::Window(most) | Room::Through(most)) = room;
            let piece = &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
            let from = self.offset;
            match rustix::io::pwrite(&self.file, piece, from) {
                Ok(0) => return Err(self.fail(io::ErrorKind::WriteZero.into(), "write")),
                Ok(count) => {
                    self.advance(count as u64);
                    bytes = &bytes[count..];
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.refused(errno, bytes.len())),
            }
            let range = from..self.offset;
            let written = match room {
                Room::Window(_) => self.windows.wrote(&self.file, range),
                Room::Through(_) => self.windows.wrote_through(&self.file, range),
            };
            written.map_err(|error| self.fail(error, "write back"))?;
        }
        Ok(())
    }

    /// Writes whole aligned blocks past the page cache; returns how many bytes it got rid of. What
    /// is left, because this file can't do it or a write came back short of a block, is for the
    /// other mode.
    fn write_direct(&mut self, blocks: &[u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < blocks.len() && (done as u64).is_multiple_of(BLOCK_BYTES) {
            let offset = self.offset;
            let Some(file) = self.direct_file() else {
                return Ok(done);
            };
            match rustix::io::pwrite(file, &blocks[done..], offset) {
                Ok(0) => break,
                Ok(count) => {
                    self.advance(count as u64);
                    done += count;
                }
                Err(Errno::INTR) => {}
                Err(errno) if is_refusal(&errno.into()) => {
                    tracing::warn!(segment = %self.id, offset = self.offset, error = %errno, "the disk refuses direct I/O for this file: it is written through the page cache from here on; uploads go on");
                    self.direct = Direct::Impossible;
                }
                Err(errno) => return Err(self.refused(errno, blocks.len() - done)),
            }
        }
        Ok(done)
    }

    fn direct_file(&mut self) -> Option<&File> {
        if matches!(self.direct, Direct::Possible) {
            self.direct = match self
                .disk
                .layout
                .open_segment(self.id, OFlags::WRONLY | OFlags::DIRECT)
            {
                Ok(file) => Direct::Open(file),
                // No descriptor left, for instance: the other mode does it as well, and the next
                // writer tries anew.
                Err(error) => {
                    tracing::debug!(segment = %self.id, %error, "no descriptor for direct I/O");
                    Direct::Impossible
                }
            };
        }
        match &self.direct {
            Direct::Open(file) => Some(file),
            Direct::Possible | Direct::Impossible => None,
        }
    }
}

/// Where in a piece the part for the direct mode lies, if there is one: whole blocks, aligned in
/// memory and in the file, and at least `bytes_min` of them.
fn direct_part(offset: u64, bytes: &[u8], bytes_min: u64) -> Option<std::ops::Range<usize>> {
    const BLOCK: usize = BLOCK_BYTES as usize;
    let into_block = usize::try_from(offset % BLOCK_BYTES).ok()?;
    let head = (BLOCK - into_block) % BLOCK;
    let blocks = bytes.len().checked_sub(head)? / BLOCK * BLOCK;
    let aligned = (bytes.as_ptr().addr() + head).is_multiple_of(BLOCK);
    (aligned && blocks > 0 && blocks as u64 >= bytes_min).then_some(head..head + blocks)
}

impl Writer for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check_usable()?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.cover(bytes.len() as u64)?;
        let part = match self.direct {
            Direct::Impossible => None,
            _ => direct_part(self.offset, bytes, self.disk.config.direct_bytes_min),
        };
        let Some(part) = part else {
            return self.write_windowed(bytes);
        };
        self.write_windowed(&bytes[..part.start])?;
        let done = part.start + self.write_direct(&bytes[part])?;
        self.write_windowed(&bytes[done..])
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.check_usable()?;
        if self.unsynced {
            self.file
                .sync_data()
                .map_err(|error| self.fail(error, "sync"))?;
        }
        if let Some(ticket) = self.entry {
            // Not marked as failed: the bytes are safe, and the folder can be flushed again.
            self.disk.layout.sync_dir(self.id, ticket)?;
            self.entry = None;
        }
        if self.unsynced {
            self.unsynced = false;
            self.synced = self.offset;
            self.mark.all_safe();
            self.windows.synced(&self.file, self.offset);
        }
        Ok(())
    }

    fn write_back(&mut self) -> Result<(), Error> {
        self.check_usable()?;
        let written = self.windows.write_back(&self.file);
        written.map_err(|error| self.fail(error, "write back"))
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if self.failed {
            return;
        }
        if self.offset > self.synced {
            self.mark.safe_only_until(self.synced);
            self.windows.abandon(&self.file);
        }
        if let Some(reservation) = &self.cover.reservation {
            self.disk
                .registry
                .forget_promise_if_used_up(self.id, reservation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4096))]
    struct Aligned([u8; 5 * 4096]);

    #[test]
    fn the_direct_part_is_aligned_in_memory_and_in_the_file() {
        let memory = Box::new(Aligned([0; 5 * 4096]));
        let bytes = &memory.0;
        let part = |offset: u64, from: usize, to: usize, min: u64| {
            direct_part(offset, &bytes[from..to], min)
        };
        assert_eq!(part(0, 0, 20480, 4096), Some(0..20480));
        assert_eq!(part(8192, 0, 9000, 4096), Some(0..8192));
        assert_eq!(
            part(100, 100, 20000, 4096),
            Some(3996..16284),
            "congruent: head to the border, then whole blocks"
        );
        assert_eq!(part(100, 0, 20000, 4096), None, "not congruent");
        assert_eq!(part(0, 1, 20000, 4096), None);
        assert_eq!(part(0, 0, 8192, 8193), None, "too short to be worth it");
        assert_eq!(part(0, 0, 4095, 4096), None);
        assert_eq!(part(4000, 4000, 4050, 4096), None, "ends before the border");
        assert_eq!(part(4000, 4000, 4096, 4096), None, "ends on it");
    }
}
