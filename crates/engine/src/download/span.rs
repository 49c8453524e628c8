//! A range of a file that the kernel sends by itself, from the disk's cache to the connection.
//!
//! No buffer of ours is filled and no byte is copied twice. It still holds memory, and of a kind
//! that the kernel's counters call free: a page of the cache can't be taken back while the disk
//! fills it, nor while it stands in a connection's send queue. On a slow disk, or with clients that
//! take nothing, such pages are all there is of a small box. So both are leased, the kernel's own
//! reading ahead is off (it would read on by megabytes that are not leased), and what is read ahead
//! is what this module asks for.
//!
//! It is for complete files in segments on a local disk; all others are read
//! ([`crate::Download::stream`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::download::readers::Reading;
use crate::engine::Core;
use crate::error::Error;
use crate::stats::Total;
use ddx_id::SegmentId;
use ddx_memory::{Holder, Lease};
use ddx_storage::{Reader, Store};
use tokio::sync::OwnedSemaphorePermit;

/// How far a download reads ahead at most, in pieces of the size that an upload would get now: 8
/// MiB while few are active.
const BUFFERS_AHEAD: u64 = 2;
/// The least that is read ahead: a client that takes little has little read for it.
const WINDOW_BYTES_MIN: u64 = 16 << 10;
/// What is read ahead at first.
const WINDOW_BYTES_FIRST: u64 = 64 << 10;
/// What one turn on a blocking thread sends at most: a fast client must not keep the thread from
/// the others.
const TURN_BYTES: u64 = 8 << 20;
/// One call of the sender at most.
const SEND_BYTES: u64 = 1 << 20;
/// The kernel fills a segment of so much before it looks whether the send queue is full
/// (GSO_LEGACY_MAX_SIZE in Linux).
const QUEUE_STEP_BYTES: u64 = 64 << 10;
/// Pages are looked at in such steps when the end of a reading is awaited: requests to a disk are
/// larger.
const SETTLE_STEP_BYTES: u64 = 64 << 10;

/// A segment to be read, opened when it is first needed: a file that is joined from a thousand
/// parts holds one descriptor, and not a thousand.
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

/// A part of one segment, to be sent.
pub(crate) struct Stretch {
    /// What it is read from.
    pub(crate) segment: Arc<SegmentFile>,
    /// Where it begins in that file.
    pub(crate) offset: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

/// The pages of one download that can't be taken back now, and the lease that stands for them.
/// Dropping it waits for the disk.
struct Pages {
    lease: Lease,
    segment: Arc<SegmentFile>,
    /// Up to here the file was sent.
    sent_to: u64,
    /// Up to here the disk was asked for it.
    asked_to: u64,
    /// Of the lease, what stands for the connection's send queue.
    queue_bytes: u64,
    window_bytes_max: u64,
}

impl Pages {
    fn window_bytes(&self) -> u64 {
        let window = self.lease.bytes().saturating_sub(self.queue_bytes);
        window.max(WINDOW_BYTES_MIN)
    }

    /// Asks the disk for the next pages before `end` once half of the window is sent.
    fn ask(&mut self, reader: &dyn Reader, end: u64) {
        let window = self.window_bytes();
        if self.asked_to >= end || self.asked_to - self.sent_to > window / 2 {
            return;
        }
        let to = end.min(self.sent_to + window);
        if to > self.asked_to {
            reader.prefetch(self.asked_to, to - self.asked_to);
            self.asked_to = to;
        }
    }

    /// A client that takes what it gets is read further ahead for.
    fn widen(&mut self) {
        let window = self.window_bytes();
        if window < self.window_bytes_max {
            // Without more memory it goes on with what there is.
            let _ = self.lease.try_grow(window);
        }
    }

    /// A client that took far less at once than is read ahead for it gets less read ahead.
    fn narrow(&mut self, sent_bytes: u64) {
        let window = self.window_bytes();
        if window / 8 > sent_bytes.max(WINDOW_BYTES_MIN) {
            self.settle();
            self.lease.shrink_to(self.queue_bytes + window / 2);
        }
    }

    /// Waits until nothing is being read any more. Blocks.
    fn settle(&mut self) {
        let Ok(reader) = self.segment.reader() else {
            return;
        };
        let mut at = self.sent_to;
        while at < self.asked_to {
            // A page that the disk fills is waited for. An error is met again when the page is
            // sent.
            at = self.asked_to.min(at + SETTLE_STEP_BYTES);
            let _ = reader.read_at(at - 1, &mut [0]);
        }
        self.asked_to = self.sent_to;
    }

    /// Gives back all but what stands for the send queue, and the least window.
    fn rest(&mut self) {
        self.settle();
        self.lease.shrink_to(self.queue_bytes + WINDOW_BYTES_MIN);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.settle();
    }
}

/// What is sent next of a range: on a thread that may block, since what is not in the cache comes
/// from the disk.
#[must_use = "a turn that is not run sends nothing"]
pub struct Turn {
    pages: Pages,
    /// Where the stretch ends in its file.
    end: u64,
    noted: Option<(Arc<Reading>, u64)>,
    _thread: OwnedSemaphorePermit,
}

/// What came of a turn.
pub struct Turned {
    pages: Pages,
    sent_bytes: u64,
    is_blocked: bool,
    /// Others wait for what it holds, and nothing is being read any more.
    yields: bool,
}

impl Turned {
    /// Whether the connection takes no more just now.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }
}

impl Turn {
    /// Sends until the connection takes no more, or the turn is over. `send` gets the file, where
    /// to begin in it, and how much to send at most; it answers how much it sent, `WouldBlock`
    /// where the connection takes nothing now.
    ///
    /// # Errors
    /// What `send` answers, or the segment can't be opened or is shorter than its record.
    pub fn run(
        mut self,
        mut send: impl FnMut(&File, u64, usize) -> io::Result<usize>,
    ) -> io::Result<Turned> {
        let segment = self.pages.segment.clone();
        let reader = segment.reader().map_err(io::Error::other)?;
        let file = reader.file().ok_or(io::ErrorKind::Unsupported)?;
        let begin = self.pages.sent_to;
        let turn_end = self.end.min(begin + TURN_BYTES);
        let (mut step, mut widened_at) = (WINDOW_BYTES_MIN, begin);
        let mut is_blocked = false;
        while self.pages.sent_to < turn_end {
            let at = self.pages.sent_to;
            self.pages.ask(reader, self.end);
            let most = turn_end.min(self.pages.asked_to) - at;
            let count = usize::try_from(most.min(step)).unwrap_or(usize::MAX);
            match send(file, at, count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.pages.sent_to += sent as u64;
                    // At once: a connection that breaks off takes its turn along.
                    if let Some((reading, at)) = &mut self.noted {
                        reading.had(*at..*at + sent as u64);
                        *at += sent as u64;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
            step = (2 * step).min(SEND_BYTES);
            if self.pages.sent_to - widened_at >= self.pages.window_bytes() {
                self.pages.widen();
                widened_at = self.pages.sent_to;
            }
        }
        let sent_bytes = self.pages.sent_to - begin;
        let yields = !is_blocked && self.pages.lease.surplus_bytes() > 0;
        if is_blocked {
            self.pages.narrow(sent_bytes);
        } else if yields {
            self.pages.settle();
        }
        Ok(Turned {
            pages: self.pages,
            sent_bytes,
            is_blocked,
            yields,
        })
    }
}

/// What is still to be sent of a range.
pub struct Span {
    core: Arc<Core>,
    holder: Holder,
    stretches: VecDeque<Stretch>,
    /// While some of it may be on its way from the disk, or in the connection's send queue.
    pages: Option<Pages>,
    /// Where it is noted what goes out, and where in the file that begins.
    noted: Option<(Arc<Reading>, u64)>,
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span")
            .field("left_bytes", &self.left_bytes())
            .finish_non_exhaustive()
    }
}

impl Span {
    pub(crate) fn new(
        core: Arc<Core>,
        holder: Holder,
        stretches: VecDeque<Stretch>,
        noted: Option<(Arc<Reading>, u64)>,
    ) -> Self {
        Self {
            noted,
            core,
            holder,
            stretches,
            pages: None,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.bytes).sum()
    }

    /// What comes next, with the memory for it, which may have to be waited for; `None` at the end.
    ///
    /// # Errors
    /// The memory is refused.
    pub async fn turn(&mut self) -> Result<Option<Turn>, Error> {
        let Some(stretch) = self.stretches.front() else {
            return Ok(None);
        };
        let (segment, offset) = (stretch.segment.clone(), stretch.offset);
        let end = offset + stretch.bytes;
        if self.pages.is_none() {
            let queue_bytes = self.core.config.send_queue_bytes + QUEUE_STEP_BYTES;
            let wanted = queue_bytes + WINDOW_BYTES_FIRST;
            let least = queue_bytes + WINDOW_BYTES_MIN;
            let lease = self.core.lease_for_download(self.holder, wanted, least);
            self.pages = Some(Pages {
                lease: lease.await?,
                segment: segment.clone(),
                sent_to: offset,
                asked_to: offset,
                queue_bytes,
                window_bytes_max: 0,
            });
        }
        let thread = self.core.turns.clone().acquire_owned().await;
        let thread = thread.map_err(|_| Error::Closing)?;
        Ok(self.pages.take().map(|mut pages| {
            if !Arc::ptr_eq(&pages.segment, &segment) {
                // All of the segment before was sent, so nothing of it is being read.
                pages.segment = segment;
                (pages.sent_to, pages.asked_to) = (offset, offset);
            }
            pages.window_bytes_max = BUFFERS_AHEAD * self.core.ledger.buffer_bytes();
            Turn {
                pages,
                end,
                noted: self.noted.clone(),
                _thread: thread,
            }
        }))
    }

    /// Takes back what a turn leaves.
    pub fn turned(&mut self, turned: Turned) {
        let Turned {
            pages,
            sent_bytes,
            yields,
            ..
        } = turned;
        self.core.stats.add(Total::DownloadBytes, sent_bytes);
        if let Some((_, at)) = &mut self.noted {
            *at += sent_bytes;
        }
        if let Some(first) = self.stretches.front_mut() {
            first.offset += sent_bytes;
            first.bytes = first.bytes.saturating_sub(sent_bytes);
            if first.bytes == 0 {
                self.stretches.pop_front();
            }
        }
        // Who is asked to give back waits its turn again. A client that takes what it gets empties
        // the send queue meanwhile.
        self.pages = (!yields || self.stretches.is_empty()).then_some(pages);
    }

    /// The client takes nothing for a while: gives back what it does not need meanwhile.
    pub async fn rest(&mut self) {
        let Some(mut pages) = self.pages.take() else {
            return;
        };
        let resting = self.core.surroundings.begin(move || {
            pages.rest();
            pages
        });
        self.pages = resting.done().await.ok();
    }

    /// Whether others wait for what this download holds.
    #[must_use]
    pub fn is_asked_back(&self) -> bool {
        let pages = self.pages.as_ref();
        pages.is_some_and(|pages| pages.lease.surplus_bytes() > 0)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.stretches.is_empty() {
            self.core.stats.add(Total::DownloadsCut, 1);
        }
        if let Some(pages) = self.pages.take()
            && pages.sent_to < pages.asked_to
        {
            // Nothing that serves waits for the disk.
            let work = Box::new(move || drop(pages));
            self.core.surroundings.spawn_blocking(work);
        }
    }
}
