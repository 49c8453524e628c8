//! The bytes of a file as a stream of chunks: how much is read at once, and waiting for what still
//! arrives.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ddx_catalog::{FileRecord, Kind, State};
use ddx_memory::{Buffer, Holder, Lease};
use ddx_storage::ErrorKind;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::download::layout::{Layout, MISSING, Piece};
use crate::download::open::Download;
use crate::download::span::SegmentFile;
use crate::engine::{Core, in_catalog, on_disk};
use crate::error::Error;
use crate::stats::Total;
use crate::upload::body::{buffer_of, refused};
use crate::upload::live::Progress;

/// How long a download waits for an interrupted upload to be resumed, between looks at its record.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A client that asks for more within this takes what it gets at once.
const QUICK: Duration = Duration::from_millis(50);
/// One that takes so long for a chunk has only the least read for it.
const SLOW: Duration = Duration::from_secs(1);

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

impl Download {
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
                self.core.live.watch(share_id, file_id)
            })
            .flatten();
        let chunk_bytes = self.core.config.buffer_bytes_min;
        let stream = FileStream {
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
        futures_util::stream::unfold(Some(stream), |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(bytes)) => {
                    let stats = &stream.download.core.stats;
                    stats.add(Total::DownloadBytes, bytes.len() as u64);
                    Some((Ok(bytes), Some(stream)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

struct FileStream {
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

impl Drop for FileStream {
    fn drop(&mut self) {
        if self.end.is_some_and(|end| self.at >= end) {
            self.note();
        }
        if !self.is_whole && self.end.is_none_or(|end| self.at < end) {
            self.download.core.stats.add(Total::DownloadsCut, 1);
        }
    }
}

impl FileStream {
    /// How much is read now, by how long the client took for the chunk before.
    fn pace(&mut self) {
        let Some(took) = self.gave_at.map(|at| at.elapsed()) else {
            return;
        };
        let config = &self.download.core.config;
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
                    return Err(download.core.found_damaged(&download.record, what).await);
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
        self.download.layout = self.download.core.layout(&record).await?;
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
        let core = self.download.core.clone();
        let file_id = self.download.record.file_id;
        let record = core
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
                self.watching = core.live.watch(record.share_id, file_id);
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
                        () = core.closing.cancelled() => return Err(Error::Closing),
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
        let core = &self.download.core;
        let holder = self.download.holder;
        let wanted = core
            .config
            .download_bytes
            .min(self.chunk_bytes)
            .min(core.ledger.share_bytes() / 2)
            .max(core.config.buffer_bytes_min);
        let mut pages = core
            .lease_for_download(holder, 2 * wanted, core.config.buffer_bytes_min)
            .await?;
        // One half is the buffer. The other one stands for the pages that the disk fills before
        // they are copied into it.
        let half = pages.split(pages.bytes() / 2);
        let mut buffer =
            buffer_of(half.ok_or_else(|| {
                Error::Internal("a lease of one page can't be halved".to_owned())
            })?)?;
        let most = most.min(buffer.len());
        let read = core
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
                Err(core.found_damaged(&self.download.record, MISSING).await)
            }
            read => read,
        }
    }
}

impl Core {
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
}
