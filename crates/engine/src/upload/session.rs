//! What one request does with one upload: from an open writer to the record that speaks of its
//! bytes.
//!
//! What does not take the short way of `small` is written, made durable, recorded, and rolled back
//! where its digest is wrong. `state` says which step may follow which.

use std::time::Duration;

use ddx_catalog::{Checkpoint, FileRecord, Kind, Segment};
use ddx_digest::{Algorithm, Checksum};
use ddx_id::SegmentId;
use ddx_storage::ErrorKind;

use crate::deadline::after;
use crate::engine::{Core, in_catalog, on_disk};
use crate::error::Error;
use crate::request::{Append, Expected};
use crate::source::Source;
use crate::stats::Counted;
use crate::upload::body::{BodyContext, Filled};
use crate::upload::completion::WholeFile;
use crate::upload::digests::{Digests, Mark};
use crate::upload::receive::{End, Received};
use crate::upload::segment_writer::{AfterWrite, Durability, SegmentWriter};
use crate::upload::small::verify;
use crate::upload::state::UploadState;

/// What one request does with one upload.
pub(crate) struct UploadSession<'a> {
    pub(crate) core: &'a Core,
    pub(crate) record: Box<FileRecord>,
    pub(crate) state: UploadState,
    pub(crate) append: Append,
    pub(crate) keep: Option<Duration>,
    /// Where the upload stood when the request came.
    pub(crate) began_at: u64,
}

impl UploadSession<'_> {
    /// Keeps what came of a small file that was cut.
    pub(crate) async fn keep_cut<S: Source>(
        &mut self,
        context: &BodyContext<'_>,
        live: &std::sync::Arc<crate::upload::live::Live>,
        filled: Filled,
        cut: Error,
        source: &mut S,
    ) -> Result<(), Error> {
        let writer = self.open(live).await?;
        let count = filled.range.len() as u64;
        context
            .stats
            .count(context.protocol.name, Counted::Bytes, count);
        let then = AfterWrite {
            durability: Durability::Synced,
            keeps_buffer: false,
        };
        let writing = writer.write(context.surroundings, filled.buffer, filled.range, then);
        let done = writing.done().await?;
        let (end, mark) = match done.result {
            Ok(mark) => (cut, mark),
            Err(error) => (Error::Storage(error), None),
        };
        let received = Received {
            writer: Some(done.writer),
            end: End::Cut(end),
            mark,
        };
        self.settle(received, source).await
    }

    /// The upload's writer, at its durable offset. Makes its segment if it has none.
    pub(crate) async fn open(
        &mut self,
        live: &std::sync::Arc<crate::upload::live::Live>,
    ) -> Result<SegmentWriter, Error> {
        let core = self.core;
        if self.record.segments.is_empty() {
            let segment = Segment {
                segment_id: core.surroundings.id(),
                ..Segment::default()
            };
            core.make_segment(segment.segment_id, self.state.length_bytes())
                .await?;
            self.record.segments = vec![segment];
            let mark = Mark {
                offset: 0,
                digest_state: self.record.digest_state.clone(),
                crc64: self.record.crc64,
            };
            let checkpoint = Checkpoint {
                segments: Some(self.record.segments.clone()),
                ..self.checkpoint(mark)
            };
            core.catalog
                .checkpoint(checkpoint)
                .await
                .map_err(in_catalog)?;
        }
        // What lies behind the offset is cut off now.
        core.catalog.settle().await.map_err(in_catalog)?;
        let at = self.state.durable_bytes();
        let with_sha256 = at == 0 && self.append.with_sha256;
        let mut digests = self.digests(at, with_sha256).await?;
        if let Some(Expected::Known(algorithm, _)) = &self.append.expected {
            digests.expect_body(*algorithm);
        }
        let (id, length_bytes) = (self.segment_id(), self.state.length_bytes());
        let file = core
            .blocking(move |store| {
                match store.open_writer(id, at) {
                    // Not durable before its first bytes are: a loss of power may have taken it.
                    Err(error) if at == 0 && error.kind() == ErrorKind::NotFound => {
                        store.create(id, length_bytes).map_err(on_disk)?;
                        store.open_writer(id, at)
                    }
                    opened => opened,
                }
                .map_err(on_disk)
            })
            .await?;
        Ok(SegmentWriter {
            file,
            digests,
            written_bytes: at,
            live: live.clone(),
        })
    }

    async fn digests(&self, at: u64, with_sha256: bool) -> Result<Digests, Error> {
        let is_part = self.record.kind == Kind::Partial;
        if at == 0 {
            return Ok(Digests::new(is_part, with_sha256));
        }
        let core = self.core;
        let mut scratch = core.scratch(core.holder(&self.record)).await?;
        let (id, state, crc64) = (
            self.segment_id(),
            self.record.digest_state.clone(),
            self.record.crc64,
        );
        core.blocking(move |store| {
            let reader = store.open_reader(id).map_err(on_disk)?;
            Digests::resume(is_part, &state, crc64, at, reader.as_ref(), &mut scratch)
        })
        .await
    }

    fn segment_id(&self) -> SegmentId {
        let first = self.record.segments.first();
        first.map(|segment| segment.segment_id).unwrap_or_default()
    }

    pub(crate) fn checkpoint(&self, mark: Mark) -> Checkpoint {
        let updated_at = self.core.now();
        Checkpoint {
            file_id: self.record.file_id,
            offset_bytes: mark.offset,
            digest_state: mark.digest_state,
            crc64: mark.crc64,
            length_bytes: self.state.length_bytes(),
            segments: None,
            updated_at,
            // A request that brings nothing keeps nothing alive.
            expires_at: (mark.offset > self.began_at)
                .then(|| after(updated_at, self.core.config.upload_expires)),
        }
    }

    /// After the last byte, or the cut: digests, durability, record. The error of a cut is given on
    /// once what arrived is safe.
    pub(crate) async fn settle<S: Source>(
        &mut self,
        received: Received,
        source: &mut S,
    ) -> Result<(), Error> {
        let Received { writer, end, mark } = received;
        let end = match end {
            End::Whole => Ok(()),
            End::Cut(error) => Err(error),
        };
        let writer = writer
            .ok_or_else(|| Error::Internal("the upload's writing task ended early".to_owned()))?;
        let failed_write = matches!(end, Err(Error::Storage(_)));
        let end = end.map_err(|error| match error {
            Error::Storage(error) => on_disk(error),
            other => other,
        });
        let mut writer = if failed_write {
            self.reopen(writer).await?
        } else {
            writer
        };
        if let Some(expected) = self.append.expected.take() {
            let checked = match &end {
                Ok(()) => self.check_body(&mut writer, expected, source).await,
                Err(_) => Err(Error::ChecksumMissing),
            };
            if let Err(error) = checked {
                drop(writer);
                self.roll_back().await?;
                return Err(end.err().unwrap_or(error));
            }
        }
        let (writer, mark) = match mark {
            Some(mark) => (writer, mark),
            None => self.sync(writer).await?,
        };
        self.state.made_durable(mark.offset);
        self.record.offset_bytes = mark.offset;
        if end.is_ok() && self.append.is_last && self.state.length_bytes().is_none() {
            self.state.declare(mark.offset)?;
        }
        let stands = matches!(
            end,
            Ok(())
                | Err(Error::ClientGone
                    | Error::Superseded
                    | Error::Closing
                    | Error::Stalled { .. })
        );
        if stands && self.state.is_whole() {
            // Every byte is here: that the client did not stay for the answer takes nothing from
            // it.
            drop(writer.file);
            let segments = vec![Segment {
                segment_id: self.segment_id(),
                length_bytes: mark.offset,
                crc64: mark.crc64,
            }];
            self.complete(WholeFile::in_segments(segments, writer.digests))
                .await?;
        } else {
            let checkpoint = self.checkpoint(mark);
            self.record.updated_at = checkpoint.updated_at;
            self.record.expires_at = checkpoint.expires_at.or(self.record.expires_at);
            self.core
                .catalog
                .checkpoint(checkpoint)
                .await
                .map_err(in_catalog)?;
        }
        end
    }

    /// Makes everything so far durable.
    async fn sync(&self, writer: SegmentWriter) -> Result<(SegmentWriter, Mark), Error> {
        let done = writer.sync(&*self.core.surroundings).done().await?;
        let mark = done
            .result
            .map_err(on_disk)?
            .ok_or_else(|| Error::Internal("a sync without a mark".to_owned()))?;
        Ok((done.writer, mark))
    }

    /// A writer whose last write failed may stand anywhere: back to where the digests are.
    async fn reopen(&self, writer: SegmentWriter) -> Result<SegmentWriter, Error> {
        let SegmentWriter {
            digests,
            written_bytes,
            live,
            file,
        } = writer;
        drop(file);
        let id = self.segment_id();
        let file = self
            .core
            .blocking(move |store| store.open_writer(id, written_bytes).map_err(on_disk))
            .await?;
        Ok(SegmentWriter {
            file,
            digests,
            written_bytes,
            live,
        })
    }

    async fn check_body<S: Source>(
        &self,
        writer: &mut SegmentWriter,
        expected: Expected,
        source: &mut S,
    ) -> Result<(), Error> {
        let (algorithm, expected, actual) = match expected {
            Expected::Known(algorithm, expected) => (
                algorithm,
                expected,
                writer.digests.take_body().unwrap_or_default(),
            ),
            Expected::Trailing => {
                let (algorithm, expected) =
                    source.trailing_digest().ok_or(Error::ChecksumMissing)?;
                let actual = self.read_back(algorithm, writer.written_bytes).await?;
                (algorithm, expected, actual)
            }
        };
        verify(algorithm, &expected, &actual)
    }

    /// The digest of this body, from the disk.
    async fn read_back(&self, algorithm: Algorithm, until: u64) -> Result<Vec<u8>, Error> {
        let mut scratch = self.core.scratch(self.core.holder(&self.record)).await?;
        let (id, mut at) = (self.segment_id(), self.state.durable_bytes());
        self.core
            .blocking(move |store| {
                let reader = store.open_reader(id).map_err(on_disk)?;
                let mut checksum = Checksum::new(algorithm);
                while at < until {
                    let most = usize::try_from(until - at)
                        .unwrap_or(usize::MAX)
                        .min(scratch.len());
                    let count = reader.read_at(at, &mut scratch[..most]).map_err(on_disk)?;
                    if count == 0 {
                        return Err(Error::Internal(
                            "a body that was written can't be read back".to_owned(),
                        ));
                    }
                    checksum.update(&scratch[..count]);
                    at += count as u64;
                }
                Ok(checksum.finalize())
            })
            .await
    }

    /// Drops the bytes of this body.
    async fn roll_back(&self) -> Result<(), Error> {
        self.core.catalog.settle().await.map_err(in_catalog)?;
        let (id, at) = (self.segment_id(), self.state.durable_bytes());
        self.core
            .blocking(move |store| store.open_writer(id, at).map(drop).map_err(on_disk))
            .await
    }

    /// Publishes the file.
    pub(crate) async fn complete(&mut self, whole: WholeFile) -> Result<(), Error> {
        self.state.completed();
        self.core.complete(&mut self.record, whole, self.keep).await
    }
}
