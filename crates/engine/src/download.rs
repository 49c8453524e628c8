//! The way out of the bytes: segments → leased buffer → the connection.
//!
//! A download takes no lock, so it never holds up an upload and may begin while its file still
//! arrives: it then reads as far as the bytes have been written and waits for more. Its buffers are
//! leased like all others and come back when the connection has sent them, so a client that reads
//! slowly holds two buffers and no more.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ddx_catalog::{FileRecord, Kind, State};
use ddx_memory::{Account, Buffer, Charge, Holder, Lease};
use ddx_storage::ErrorKind;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::{Engine, Parts, in_catalog, on_disk};
use crate::error::Error;
use crate::late_digests::OTHER_BYTES;
use crate::live::Progress;
use crate::receive::{buffer_of, refused};
use crate::span::{SegmentFile, Span, Stretch};
use crate::stats::Total;

/// How long a download waits for an interrupted upload to be resumed, between looks at its record.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A client that asks for more within this takes what it gets at once.
const QUICK: Duration = Duration::from_millis(50);
/// One that takes so long for a chunk has only the least read for it.
const SLOW: Duration = Duration::from_secs(1);

/// What one segment of a file takes while that is read: its record, its place in the file, and its
/// file descriptor's holder.
const SEGMENT_BYTES: u64 = 256;
/// So many are in what a request is charged anyway.
const SEGMENTS_COVERED: usize = 16;

/// Bytes of a buffer that go out and give the buffer back when they are sent.
struct Chunk {
    buffer: Buffer,
    range: Range<usize>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

/// A piece of the file: where it begins in the file, how long it is, and what it is read from.
#[derive(Clone)]
struct Piece {
    begins_at: u64,
    length_bytes: u64,
    segment: SegmentFile,
}

#[derive(Clone)]
enum Layout {
    Inline(Bytes),
    Pieces(VecDeque<Piece>),
}

/// A file that is open for reading.
#[derive(Clone)]
pub struct Download {
    parts: Arc<Parts>,
    record: FileRecord,
    layout: Layout,
    holder: Holder,
    limited: Option<Arc<crate::readers::Reading>>,
    /// For the list of its segments, where that is long.
    _charge: Option<Arc<Charge>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("file", &self.record.file_id)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Counts one download of a complete file.
    ///
    /// # Errors
    /// [`Error::DownloadsUsedUp`], [`Error::Expired`], or if the catalog fails.
    pub async fn count_download(&self, record: &FileRecord) -> Result<(), Error> {
        if record.state != State::Complete {
            return Ok(());
        }
        let counted = self
            .0
            .catalog
            .count_download(record.file_id, self.0.now())
            .await
            .map_err(in_catalog);
        match counted {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Where no count decides, a file can be read from a disk that can't be written to.
            Err(Error::ReadOnly) if record.max_downloads.is_none() => return Ok(()),
            Err(Error::Catalog(error)) if record.max_downloads.is_none() => {
                tracing::warn!(file = ?record.file_id, error = &error as &dyn std::error::Error, "a download could not be counted and was given all the same; if this repeats, see to the disk");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        match record.max_downloads {
            Some(limit) if record.expires_at.is_none_or(|at| at > self.0.now()) => {
                Err(Error::DownloadsUsedUp { limit })
            }
            _ => Err(Error::Expired),
        }
    }

    /// Opens a file's bytes for `reader`, an account or an address. A file that still arrives can
    /// be opened too.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what has no bytes of its own or will never have them,
    /// [`Error::Expired`], [`Error::Damaged`], [`Error::NoMemory`] for a list of very many parts,
    /// or if the store fails.
    pub async fn open(&self, record: FileRecord, reader: &str) -> Result<Download, Error> {
        if record.state == State::Failed {
            return Err(Error::NotFound);
        }
        self.0.check_lives(&record, self.0.now())?;
        if let Some(what) = &record.damage {
            return Err(damaged(what));
        }
        let charge = self.0.charge_segments(record.segments.len())?;
        let layout = match self.0.layout(&record).await {
            Err(Error::Damaged { what }) => {
                return Err(self.0.found_damaged(&record, &what).await);
            }
            layout => layout?,
        };
        let holder = self.0.reader(reader);
        Ok(Download {
            parts: self.0.clone(),
            record,
            layout,
            holder,
            limited: None,
            _charge: charge,
        })
    }
}

impl Parts {
    /// A file that was joined of a thousand parts has a list of them, for each that reads it.
    fn charge_segments(&self, count: usize) -> Result<Option<Arc<Charge>>, Error> {
        if count <= SEGMENTS_COVERED {
            return Ok(None);
        }
        let charge = self
            .ledger
            .charge(Account::Answers, count as u64 * SEGMENT_BYTES);
        charge.map(Arc::new).map(Some).map_err(refused)
    }

    /// What to answer to a client that asked for bytes that are known to be wrong now. The file is
    /// damaged whether that can be written down or not.
    async fn found_damaged(&self, record: &FileRecord, what: &str) -> Error {
        match self.mark_damaged(record, what).await {
            Err(Error::NotFound) => return Error::NotFound,
            Err(error) => {
                tracing::error!(file = ?record.file_id, what, error = &error as &dyn std::error::Error, "a file is damaged, which can't be saved in the catalog; its downloads fail; upload it again, and see to the disk");
            }
            Ok(()) => {}
        }
        damaged(what)
    }

    /// So much memory for a download, or the least that it can do with, which is waited for.
    pub(crate) async fn lease_for_download(
        &self,
        holder: Holder,
        wanted_bytes: u64,
        least_bytes: u64,
    ) -> Result<Lease, Error> {
        match self.ledger.try_lease_for_download(holder, wanted_bytes) {
            Some(lease) => Ok(lease),
            None => self
                .ledger
                .admit_for_download(holder, least_bytes)
                .map_err(refused)?
                .await
                .map_err(refused),
        }
    }

    async fn layout(&self, record: &FileRecord) -> Result<Layout, Error> {
        if record.inline {
            let bytes = self
                .catalog
                .inline(record.file_id)
                .await
                .map_err(in_catalog)?
                .ok_or(Error::NotFound)?;
            return inline(record, bytes);
        }
        if record.state == State::Joining {
            return Ok(Layout::Pieces(VecDeque::new()));
        }
        let is_complete = record.state == State::Complete;
        let segments_bytes: u64 = record.segments.iter().map(|it| it.length_bytes).sum();
        if is_complete && segments_bytes != record.offset_bytes {
            return Err(damaged(
                "what is stored of it has another length than the file",
            ));
        }
        let has_bytes = is_complete || record.offset_bytes > 0;
        let mut begins_at = 0;
        let mut pieces = VecDeque::with_capacity(record.segments.len());
        for segment in &record.segments {
            // The one segment of a file that still arrives is as long as it will become.
            let length_bytes = match is_complete {
                true => segment.length_bytes,
                false => u64::MAX,
            };
            pieces.push_back(Piece {
                begins_at,
                length_bytes,
                segment: SegmentFile::new(self.store.clone(), segment.segment_id),
            });
            begins_at = begins_at.saturating_add(length_bytes);
        }
        self.blocking(move |_| {
            // The others are opened when it is their turn.
            let opened = pieces.front().map(|first| first.segment.reader().map(drop));
            match opened.transpose() {
                // Not durable before its first bytes are: it is made anew with them.
                Err(error) if !has_bytes && error.kind() == ErrorKind::NotFound => {
                    Ok(Layout::Pieces(VecDeque::new()))
                }
                Err(error) if is_complete && error.kind() == ErrorKind::NotFound => {
                    Err(damaged(MISSING))
                }
                opened => opened.map(|_| Layout::Pieces(pieces)).map_err(on_disk),
            }
        })
        .await
    }
}

/// What is wrong with a file whose segment is not there.
const MISSING: &str = "a part of what is stored is missing on the disk";

/// Bytes that lie in the catalog, whose pages have no checksum: one that was damaged is refused,
/// not delivered.
fn inline(record: &FileRecord, bytes: Vec<u8>) -> Result<Layout, Error> {
    let mut crc64 = ddx_digest::Crc64::new();
    crc64.update(&bytes);
    if bytes.len() as u64 != record.offset_bytes || crc64.value() != record.crc64 {
        return Err(damaged(OTHER_BYTES));
    }
    Ok(Layout::Inline(Bytes::from(bytes)))
}

fn damaged(what: &str) -> Error {
    Error::Damaged {
        what: what.to_owned(),
    }
}

impl Download {
    /// The file's record, as it was when it was opened.
    #[must_use]
    pub fn record(&self) -> &FileRecord {
        &self.record
    }

    /// Notes what goes out for this reader.
    pub fn noted_by(&mut self, reading: crate::readers::Reading) {
        self.limited = Some(Arc::new(reading));
    }

    /// Whether the kernel can send its bytes by itself: it is complete, and there are files behind
    /// it.
    #[must_use]
    pub fn is_in_files(&self) -> bool {
        let Layout::Pieces(pieces) = &self.layout else {
            return false;
        };
        // One store keeps them all, so the first one tells.
        self.record.state == State::Complete
            && pieces.front().is_none_or(|first| first.segment.is_file())
    }

    /// The bytes from `start` to before `end`, for the kernel to send them. None where it can't.
    #[must_use]
    pub fn span(&self, start: u64, end: u64) -> Option<Span> {
        let Layout::Pieces(pieces) = &self.layout else {
            return None;
        };
        let stretches = pieces.iter().filter_map(|piece| {
            let ends_at = piece.begins_at + piece.length_bytes;
            let (from, until) = (start.max(piece.begins_at), end.min(ends_at));
            (from < until).then(|| Stretch {
                segment: Arc::new(piece.segment.clone()),
                offset: from - piece.begins_at,
                bytes: until - from,
            })
        });
        self.is_in_files().then(|| {
            let noted = self.limited.clone().map(|reading| (reading, start));
            Span::new(self.parts.clone(), self.holder, stretches.collect(), noted)
        })
    }

    /// The bytes of a range, in chunks. For a file that still arrives the stream waits at its end
    /// for more, and ends with an error if the upload is given up. `end` is None for a file whose
    /// length is not known.
    pub fn stream(
        self,
        start: u64,
        end: Option<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let arriving = self.record.state != State::Complete;
        let end = end.or((!arriving).then_some(self.record.offset_bytes));
        let watching = arriving
            .then(|| {
                let (share_id, file_id) = (self.record.share_id, self.record.file_id);
                self.parts.live.watch(share_id, file_id)
            })
            .flatten();
        let chunk_bytes = self.parts.config.buffer_bytes_min;
        let reading = Reading {
            download: self,
            at: start,
            gone_to: start,
            end,
            arriving,
            watching,
            is_whole: false,
            open: None,
            chunk_bytes,
            gave_at: None,
        };
        futures_util::stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(bytes)) => {
                    let stats = &reading.download.parts.stats;
                    stats.add(Total::DownloadBytes, bytes.len() as u64);
                    Some((Ok(bytes), Some(reading)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

struct Reading {
    download: Download,
    at: u64,
    /// Up to here it is noted that it went out.
    gone_to: u64,
    end: Option<u64>,
    arriving: bool,
    watching: Option<watch::Receiver<Progress>>,
    is_whole: bool,
    /// The piece that is read, and where it begins: no other is open.
    open: Option<(u64, Arc<SegmentFile>)>,
    /// How much is read at once: more for a client that takes it at once, since it is held until it
    /// is taken.
    chunk_bytes: u64,
    /// When the last chunk was given.
    gave_at: Option<Instant>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.end.is_some_and(|end| self.at >= end) {
            self.note();
        }
        if !self.is_whole && self.end.is_none_or(|end| self.at < end) {
            self.download.parts.stats.add(Total::DownloadsCut, 1);
        }
    }
}

impl Reading {
    /// How much is read now, by how long the client took for the chunk before.
    fn pace(&mut self) {
        let Some(took) = self.gave_at.map(|at| at.elapsed()) else {
            return;
        };
        let config = &self.download.parts.config;
        self.chunk_bytes = match took {
            took if took <= QUICK => (2 * self.chunk_bytes).min(config.download_bytes),
            took if took >= SLOW => config.buffer_bytes_min,
            _ => self.chunk_bytes,
        };
    }

    /// All that was given so far has been taken.
    fn note(&mut self) {
        if let Some(reading) = &self.download.limited
            && self.gone_to < self.at
        {
            reading.had(self.gone_to..self.at);
            self.gone_to = self.at;
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.pace();
        self.note();
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return Ok(None);
            }
            let available = if self.arriving {
                self.arrived().await?
            } else {
                self.end
            };
            let Some(until) = available else {
                continue;
            };
            if !self.arriving && self.at >= until {
                return Ok(None);
            }
            let until = self.end.map_or(until, |end| end.min(until));
            if self.at < until {
                let bytes = self.read(until).await?;
                if bytes.is_empty() && self.arriving {
                    // What was written could not be recorded and was cut off again: it comes once
                    // more.
                    self.watching = None;
                    continue;
                }
                if bytes.is_empty() {
                    let what = "a part of what is stored is shorter than it was";
                    let download = &self.download;
                    return Err(download.parts.found_damaged(&download.record, what).await);
                }
                self.at += bytes.len() as u64;
                self.gave_at = Some(Instant::now());
                return Ok(Some(bytes));
            }
        }
    }

    /// Whether it is known where the bytes are.
    fn is_laid_out(&self) -> bool {
        !matches!(&self.download.layout, Layout::Pieces(pieces) if pieces.is_empty())
    }

    /// Whether the file's bytes are in other segments than those that are read.
    fn is_elsewhere(&self, record: &FileRecord) -> bool {
        let ids = |record: &FileRecord| -> Vec<_> {
            let segments = record.segments.iter();
            segments.map(|segment| segment.segment_id).collect()
        };
        ids(record) != ids(&self.download.record)
    }

    async fn lay_out(&mut self, record: FileRecord) -> Result<(), Error> {
        self.download.layout = self.download.parts.layout(&record).await?;
        self.download.record = record;
        self.open = None;
        Ok(())
    }

    /// Up to where a file that still arrives can be read, once that lies past what was read; None
    /// after waiting, to look again.
    async fn arrived(&mut self) -> Result<Option<u64>, Error> {
        if let Some(watching) = &mut self.watching {
            let at = self.at;
            let written = watching
                .wait_for(|progress| progress.ended || progress.readable_bytes > at)
                .await
                .map_or(0, |progress| progress.readable_bytes);
            if written > at && self.is_laid_out() {
                return Ok(Some(written));
            }
            self.watching = None;
        }
        // Between two requests of the upload: the record tells.
        let parts = self.download.parts.clone();
        let file_id = self.download.record.file_id;
        let record = parts
            .catalog
            .file(file_id)
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)?;
        match record.state {
            State::Complete => {
                self.arriving = false;
                self.end = Some(self.end.unwrap_or(u64::MAX).min(record.offset_bytes));
                self.lay_out(record).await?;
                Ok(None)
            }
            State::Failed => Err(Error::NotFound),
            State::Receiving | State::Joining => {
                self.watching = parts.live.watch(record.share_id, file_id);
                // An upload of unknown length gets its segment with its first bytes, as does one
                // whose reservation has ended.
                let offset = record.offset_bytes;
                let is_new = !self.is_laid_out() || self.is_elsewhere(&record);
                if is_new && record.kind != Kind::Final && !record.segments.is_empty() {
                    self.lay_out(record).await?;
                }
                if self.watching.is_none() {
                    if offset > self.at {
                        return Ok(Some(offset));
                    }
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                        () = parts.closing.cancelled() => return Err(Error::Closing),
                    }
                }
                Ok(None)
            }
        }
    }

    async fn read(&mut self, until: u64) -> Result<Bytes, Error> {
        let most = usize::try_from(until - self.at).unwrap_or(usize::MAX);
        match &mut self.download.layout {
            Layout::Inline(bytes) => {
                let start = usize::try_from(self.at)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(most).min(bytes.len());
                if start == end {
                    return Err(Error::Internal(
                        "the file is shorter than its record".to_owned(),
                    ));
                }
                Ok(bytes.slice(start..end))
            }
            Layout::Pieces(pieces) => {
                let piece = pieces
                    .iter()
                    .find(|piece| {
                        self.at - piece.begins_at.min(self.at) < piece.length_bytes
                            && piece.begins_at <= self.at
                    })
                    .cloned()
                    .ok_or_else(|| {
                        Error::Internal(
                            "the file's segments are shorter than its record".to_owned(),
                        )
                    })?;
                let offset = self.at - piece.begins_at;
                let most = usize::try_from(piece.length_bytes - offset)
                    .unwrap_or(usize::MAX)
                    .min(most);
                self.read_piece(piece, offset, most).await
            }
        }
    }

    async fn read_piece(&mut self, piece: Piece, offset: u64, most: usize) -> Result<Bytes, Error> {
        let segment = match &self.open {
            Some((begins_at, segment)) if *begins_at == piece.begins_at => segment.clone(),
            _ => Arc::new(piece.segment),
        };
        self.open = Some((piece.begins_at, segment.clone()));
        let parts = &self.download.parts;
        let holder = self.download.holder;
        let wanted = parts
            .config
            .download_bytes
            .min(self.chunk_bytes)
            .min(parts.ledger.share_bytes() / 2)
            .max(parts.config.buffer_bytes_min);
        let mut pages = parts
            .lease_for_download(holder, 2 * wanted, parts.config.buffer_bytes_min)
            .await?;
        // One half is the buffer. The other one stands for the pages that the disk fills before
        // they are copied into it.
        let half = pages.split(pages.bytes() / 2);
        let mut buffer =
            buffer_of(half.ok_or_else(|| {
                Error::Internal("a lease of one page can't be halved".to_owned())
            })?)?;
        let most = most.min(buffer.len());
        let read = parts
            .blocking(move |_| {
                let count = segment
                    .reader()
                    .and_then(|reader| reader.read_at(offset, &mut buffer[..most]))
                    .map_err(on_disk)?;
                drop(pages);
                Ok(Bytes::from_owner(Chunk {
                    buffer,
                    range: 0..count,
                }))
            })
            .await;
        match read {
            Err(Error::Storage(error)) if error.kind() == ErrorKind::NotFound => {
                Err(parts.found_damaged(&self.download.record, MISSING).await)
            }
            read => read,
        }
    }
}
