//! The page cache as a leased window.
//!
//! Ordinary writes make dirty pages: memory that the kernel can't take back before the disk has it,
//! and that counts against our limit. So a writer may have only as much of it as it was charged for
//! ([`Account::DirtyWindows`]): it fills one window while the one before is being written, then
//! waits for that and drops its pages (`DONTNEED` on dirty pages drops nothing, hence the wait).
//! Windows grow fourfold while a writer fills them and fall back when it is slow, so that ten
//! thousand slow writers hold 16 KiB each at most, and only between a write and its `sync`.
//!
//! A refused charge never fails an upload. The window gets smaller, the previous one is waited for,
//! and in the end the bytes are written through, a piece at a time: slower, and no more memory than
//! the piece.
//!
//! Rejected: `O_SYNC` or `RWF_DSYNC` for writing through. Each piece would be a journal commit;
//! here only `sync` is.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use ddx_memory::{Account, Charge, Ledger};
use rustix::fs::Advice;

use super::config::{BLOCK_BYTES, LocalDiskConfig};
use super::sys::{Flush, flush};

/// A writer that is open for so long has a slow or a long file.
const SLOW: Duration = Duration::from_secs(1);

/// The most that is written at once without a charge, in bytes.
const WRITE_THROUGH_BYTES: u64 = 64 << 10;

/// The windows of one writer.
pub(super) struct Windows {
    ledger: Ledger,
    bytes_min: u64,
    bytes_max: u64,
    drop_bytes_min: u64,
    /// The size of the next one.
    bytes_next: u64,
    current: Option<Window>,
    previous: Option<Window>,
    /// Below this offset nothing of what we wrote is in the page cache; `None`: nowhere.
    cached_from: Option<u64>,
    began: Instant,
    /// It was written back before its end: a slow or a long file.
    was_written_back: bool,
}

/// Dirty pages and the right to have them.
struct Window {
    range: Range<u64>,
    dirty_bytes: u64,
    bytes_max: u64,
    _charge: Charge,
}

/// How the next bytes may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many into the window.
    Window(u64),
    /// At most so many, and straight through to the disk.
    Through(u64),
}

impl Windows {
    pub(super) fn new(ledger: Ledger, config: &LocalDiskConfig) -> Self {
        Self {
            ledger,
            bytes_min: config.window_bytes_min,
            bytes_max: config.window_bytes_max,
            drop_bytes_min: config.drop_bytes_min,
            bytes_next: config.window_bytes_min,
            current: None,
            previous: None,
            cached_from: None,
            began: Instant::now(),
            was_written_back: false,
        }
    }

    /// How much of `wanted_bytes` may be written at `offset` now, and how. Never zero.
    pub(super) fn room(&mut self, file: &File, offset: u64, wanted_bytes: u64) -> io::Result<Room> {
        if let Some(window) = &self.current {
            return Ok(Room::Window(window.bytes_max - window.dirty_bytes));
        }
        // A window is not cut off in the middle of a page, which would be dirtied twice.
        let whole_pages = |bytes: u64| bytes.next_multiple_of(BLOCK_BYTES);
        let wanted = whole_pages(wanted_bytes).max(self.bytes_min);
        let mut bytes = self
            .bytes_next
            .max(wanted.min(self.bytes_next.saturating_mul(4)))
            .min(self.bytes_max);
        let charge = loop {
            match self.ledger.charge(Account::DirtyWindows, bytes) {
                Ok(charge) => break charge,
                Err(_) if bytes > self.bytes_min => {
                    bytes = whole_pages(bytes / 2).max(self.bytes_min)
                }
                Err(_) if self.previous.is_some() => self.retire(file)?,
                Err(_) => return Ok(Room::Through(WRITE_THROUGH_BYTES - offset % BLOCK_BYTES)),
            }
        };
        let bytes_max = bytes - offset % BLOCK_BYTES;
        self.current = Some(Window {
            range: offset..offset,
            dirty_bytes: 0,
            bytes_max,
            _charge: charge,
        });
        Ok(Room::Window(bytes_max))
    }

    /// These bytes were written into the window.
    pub(super) fn wrote(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        self.cached_from.get_or_insert(range.start);
        let Some(window) = &mut self.current else {
            return Ok(());
        };
        window.dirty_bytes += range.end - range.start;
        window.range.end = range.end;
        if window.dirty_bytes < window.bytes_max {
            return Ok(());
        }
        flush(file, window.range.clone(), Flush::Start)?;
        self.retire(file)?;
        self.previous = self.current.take();
        self.bytes_next = self.bytes_next.saturating_mul(4).min(self.bytes_max);
        Ok(())
    }

    /// These bytes were written without a charge: they go to the disk before anything else happens.
    pub(super) fn wrote_through(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        flush(file, range.clone(), Flush::Wait)?;
        self.cached_from.get_or_insert(range.start);
        self.drop_pages(file, range.end);
        Ok(())
    }

    /// Waits until the previous window is written, and gives its pages and its charge back.
    fn retire(&mut self, file: &File) -> io::Result<()> {
        if let Some(window) = self.previous.take() {
            flush(file, window.range.clone(), Flush::Wait)?;
            self.drop_pages(file, window.range.end);
        }
        Ok(())
    }

    /// Waits until all is written, and gives pages and charges back.
    pub(super) fn write_back(&mut self, file: &File) -> io::Result<()> {
        self.was_written_back = true;
        self.retire(file)?;
        if let Some(window) = self.current.take().filter(|window| window.dirty_bytes > 0) {
            self.fit(window.dirty_bytes);
            flush(file, window.range.clone(), Flush::Wait)?;
            self.drop_many(file, window.range.end);
        }
        Ok(())
    }

    /// A writer that did not fill its window in a while doesn't need that much.
    fn fit(&mut self, used_bytes: u64) {
        let used = used_bytes.next_power_of_two();
        self.bytes_next = used.clamp(self.bytes_min, self.bytes_next.max(self.bytes_min));
    }

    /// Everything up to `offset` was made durable, so nothing is dirty.
    pub(super) fn synced(&mut self, file: &File, offset: u64) {
        self.previous = None;
        if let Some(window) = self.current.take() {
            self.fit(window.dirty_bytes);
        }
        self.drop_many(file, offset);
    }

    /// Drops clean pages up to `offset` if they are worth the call. A few pages are not, but those
    /// of thousands of slow files are.
    fn drop_many(&mut self, file: &File, offset: u64) {
        let was_written_back = std::mem::replace(&mut self.was_written_back, true);
        let is_slow = was_written_back || self.began.elapsed() >= SLOW;
        let bytes_min = if is_slow { 1 } else { self.drop_bytes_min };
        if self
            .cached_from
            .is_some_and(|from| offset.saturating_sub(from) >= bytes_min)
        {
            self.drop_pages(file, offset);
            // Nothing of the last page, nothing cached.
            self.cached_from = self.cached_from.filter(|from| *from < offset);
        }
    }

    /// Drops whole clean pages up to `end`. The page in which the next byte goes stays, or it would
    /// be read back at once.
    fn drop_pages(&mut self, file: &File, end: u64) {
        let Some(from) = self.cached_from else { return };
        let (from, until) = (from - from % BLOCK_BYTES, end - end % BLOCK_BYTES);
        if let Some(length) = until.checked_sub(from).and_then(std::num::NonZeroU64::new) {
            // Only advice: if it is refused, the kernel takes the clean pages when it needs them.
            let _ = rustix::fs::fadvise(file, from, Some(length), Advice::DontNeed);
        }
        self.cached_from = Some(until);
    }

    /// The writer goes away with dirty pages: the disk is to have them soon, since they are
    /// charged to none any more.
    pub(super) fn abandon(&mut self, file: &File) {
        self.previous = None;
        if let Some(window) = self.current.take().filter(|window| window.dirty_bytes > 0) {
            let _ = flush(file, window.range, Flush::Start);
        }
    }
}
