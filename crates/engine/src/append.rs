//! Bytes join an upload: from the seat to the answer.
//!
//! The order that everything rests on: bytes are written, made durable, and only then recorded; the answer comes after the record. So an offset that
//! was answered survives whatever comes. A body that is cut short keeps what arrived, made durable in the same way. The work runs in a task of its
//! own: a client that goes away drops its request, and must not take the upload's last megabytes with it.

use std::time::Duration;

use ddx_catalog::{Checkpoint, Completion, FileRecord, Kind, Segment};
use ddx_digest::{Algorithm, Checksum};
use ddx_memory::Buffer;
use ddx_storage::SegmentId;

use crate::create::{Created, NewUpload};
use crate::engine::{Engine, Parts, after, in_catalog, now, on_disk};
use crate::error::Error;
use crate::id::Id;
use crate::lane::{Digests, Lane, Mark};
use crate::life::Life;
use crate::receive::{BLOCK_BYTES, Context, End, Fill, Filled, buffer_of, receive};
use crate::sessions::Session;
use crate::source::Source;
use crate::stats::Counted;

/// A digest of a request's body, to be checked before any of the body counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It came with the request's head.
    Known(Algorithm, Vec<u8>),
    /// It comes after the body, and only then tells its algorithm, so the body is read back to check it.
    Trailing,
}

/// What a request brings besides its body.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Where the client thinks that the upload stands.
    pub offset: u64,
    /// How many bytes it announces; None where it does not say.
    pub announced_bytes: Option<u64>,
    /// The upload's length, if it is told now.
    pub length_bytes: Option<u64>,
    /// A digest of this body. Where it is wrong, nothing of the body is kept; where the body is cut, neither, since it can't be checked.
    pub expected: Option<Expected>,
    /// The end of this body is the end of the file, where the length is not known.
    pub is_last: bool,
    /// Whether the file's SHA-256 is wanted, where this body is all of it.
    pub with_sha256: bool,
}

/// What a plain upload brings besides its body.
#[derive(Debug, Clone)]
pub struct Put {
    /// The file to be made.
    pub new: NewUpload,
    /// A digest of the whole file.
    pub expected: Option<Expected>,
}

impl Engine {
    /// Adds a body to an upload, taking over from whoever writes to it. The record after it, which is complete if the upload is.
    ///
    /// # Errors
    /// Those of [`Error`] that say what is wrong with the request, or why its body was cut; what arrived of it is durable by then.
    pub fn append<S: Source>(
        &self,
        upload_key: Id,
        append: Append,
        source: S,
    ) -> impl Future<Output = Result<FileRecord, Error>> + Send + use<S> {
        let engine = self.clone();
        self.run(async move {
            let parts = &*engine.0;
            let record = parts.by_upload_key(upload_key).await?;
            let session = parts.sessions.take_over(Id(record.file_id)).await?;
            // Read again: the one before us has moved it on.
            let record = parts.by_upload_key(upload_key).await?;
            parts
                .transfer(&session, record, append, source, None, None)
                .await
        })
    }

    /// Makes an upload and adds its first body.
    ///
    /// # Errors
    /// As [`Engine::create`]; a body that was cut is told in the second place, beside the upload, which stands.
    pub async fn create_with<S: Source>(
        &self,
        new: NewUpload,
        append: Append,
        source: S,
    ) -> Result<(Created, Result<FileRecord, Error>), Error> {
        let created = self.create(new).await?;
        if created.record.state == ddx_catalog::State::Complete {
            let record = created.record.clone();
            return Ok((created, Ok(record)));
        }
        let (engine, record) = (self.clone(), created.record.clone());
        let outcome = self
            .run(async move {
                let session = engine.0.sessions.take_over(Id(record.file_id)).await?;
                engine
                    .0
                    .transfer(&session, record, append, source, None, None)
                    .await
            })
            .await;
        Ok((created, outcome))
    }

    /// Takes a whole file in one request. Where it is cut nothing stays, since nobody has a way to continue it.
    ///
    /// # Errors
    /// As [`Engine::create`] and [`Engine::append`].
    pub fn put<S: Source>(
        &self,
        put: Put,
        source: S,
    ) -> impl Future<Output = Result<Created, Error>> + Send + use<S> {
        let engine = self.clone();
        self.run(async move { engine.0.put(put, source).await })
    }

    /// A task of its own: it brings what arrived to a checkpoint even when its request is gone. Spawned at once and not when it is first polled,
    /// so that whoever waits holds a handle and not the whole of it.
    fn run<T, F>(&self, work: F) -> impl Future<Output = Result<T, Error>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let task = match self.0.closing.is_cancelled() {
            true => Err(Error::Closing),
            false => Ok(self.0.tasks.spawn(work)),
        };
        async {
            task?
                .await
                .map_err(|error| Error::Internal(format!("an upload's task ended: {error}")))?
        }
    }
}

impl Parts {
    async fn put<S: Source>(&self, put: Put, source: S) -> Result<Created, Error> {
        let protocol = put.new.protocol;
        let result = self.put_whole(put, source).await;
        self.stats.request(protocol, &result);
        result
    }

    async fn put_whole<S: Source>(&self, put: Put, mut source: S) -> Result<Created, Error> {
        let Put { new, expected } = put;
        let (keep, announced_bytes) = (new.keep, new.length_bytes);
        let draft = self.draft(new).await?;
        let with_sha256 = draft.with_sha256;
        let mut begun = None;
        if let Some(length) =
            announced_bytes.filter(|length| *length <= self.config.inline_max_bytes)
        {
            if length == 0 && expected.is_none() {
                return self.register(draft.completed_inline(Vec::new())).await;
            }
            let guard = self.live.begin(Id(draft.record.file_id), 0);
            let nobody = tokio_util::sync::CancellationToken::new();
            let context = self.context(&draft.record, guard.live(), &nobody);
            match gather(&context, &mut source, length).await? {
                Gathered::All(filled) if expected.is_none() => {
                    self.stats.count(context.protocol, Counted::Bytes, length);
                    return self
                        .register(draft.completed_inline(filled.buffer[filled.range].to_vec()))
                        .await;
                }
                Gathered::All(filled) | Gathered::Some(filled) => begun = Some(filled),
                Gathered::Cut(_, error) => return Err(error),
            }
        }
        let created = self.register(self.reserve(draft).await?).await?;
        let session = self.sessions.take_over(Id(created.record.file_id)).await?;
        let append = Append {
            expected,
            announced_bytes,
            is_last: true,
            with_sha256,
            ..Append::default()
        };
        match self
            .receive_into(
                &session,
                created.record.clone(),
                append,
                source,
                begun,
                keep,
            )
            .await
        {
            Ok(record) => Ok(Created { record, ..created }),
            Err(error) => {
                self.remove_seated(&created.record).await?;
                Err(error)
            }
        }
    }

    fn context<'a>(
        &'a self,
        record: &FileRecord,
        live: &'a crate::live::Live,
        superseded: &'a tokio_util::sync::CancellationToken,
    ) -> Context<'a> {
        Context {
            config: &self.config,
            ledger: &self.ledger,
            stats: &self.stats,
            protocol: protocol_of(record),
            holder: self.holder(record),
            live,
            superseded,
            closing: &self.closing,
        }
    }

    /// Receives a body for an upload whose seat we hold, and counts how that ended.
    async fn transfer<S: Source>(
        &self,
        session: &Session,
        record: FileRecord,
        append: Append,
        source: S,
        begun: Option<Filled>,
        keep: Option<Duration>,
    ) -> Result<FileRecord, Error> {
        let protocol = protocol_of(&record);
        let result = self
            .receive_into(session, record, append, source, begun, keep)
            .await;
        self.stats.request(protocol, &result);
        result
    }

    async fn receive_into<S: Source>(
        &self,
        session: &Session,
        mut record: FileRecord,
        append: Append,
        mut source: S,
        begun: Option<Filled>,
        keep: Option<Duration>,
    ) -> Result<FileRecord, Error> {
        let mut life = Life::of(&record);
        life.may_append(append.offset)?;
        if let Some(length) = append.length_bytes {
            life.declare(length)?;
            self.check_size(length)?;
        }
        if let Some(bytes) = append.announced_bytes {
            life.may_hold(bytes)?;
            self.check_size(life.durable_bytes().saturating_add(bytes))?;
        }
        if life.is_complete() {
            return Ok(record);
        }
        record.length_bytes = life.length_bytes();
        let guard = self.live.begin(Id(record.file_id), life.durable_bytes());
        let context = self.context(&record, guard.live(), session.stop());
        let mut work = Work {
            parts: self,
            record,
            life,
            append,
            keep,
        };
        let begun = match work.small(&context, &mut source, begun).await? {
            Small::Complete => return Ok(work.record),
            Small::Cut(filled, error) => {
                let lane = work.open(guard.live()).await?;
                let (lane, _) = receive(
                    &context,
                    &mut Nothing,
                    lane,
                    Some(filled),
                    Some(0),
                    |_| async { Ok(()) },
                )
                .await;
                work.settle(lane, Err(error), &mut source).await?;
                return Ok(work.record);
            }
            Small::No(begun) => begun,
        };
        let lane = work.open(guard.live()).await?;
        let room = life.room_bytes().or(self
            .config
            .file_max_bytes
            .map(|limit| limit - life.durable_bytes()));
        let unchecked = work.append.expected.is_some();
        let marked = |mark: Mark| {
            let checkpoint = (!unchecked).then(|| work.checkpoint(mark));
            async move {
                match checkpoint {
                    Some(checkpoint) => self
                        .catalog
                        .checkpoint(checkpoint)
                        .await
                        .map_err(in_catalog),
                    None => Ok(()),
                }
            }
        };
        let (lane, end) = receive(&context, &mut source, lane, begun, room, marked).await;
        let end = match end {
            End::Whole => Ok(()),
            End::Cut(error) => Err(error),
        };
        work.settle(lane, end, &mut source).await?;
        Ok(work.record)
    }

    fn check_size(&self, length: u64) -> Result<(), Error> {
        match self.config.file_max_bytes {
            Some(limit_bytes) if length > limit_bytes => Err(Error::TooLarge { limit_bytes }),
            _ => Ok(()),
        }
    }
}

/// A record's protocol as a name that outlives it.
fn protocol_of(record: &FileRecord) -> &'static str {
    match record.protocol.as_str() {
        crate::PROTOCOL_PLAIN => crate::PROTOCOL_PLAIN,
        _ => crate::PROTOCOL_TUS,
    }
}

/// One request's work on one upload.
struct Work<'a> {
    parts: &'a Parts,
    record: FileRecord,
    life: Life,
    append: Append,
    keep: Option<Duration>,
}

enum Small {
    Complete,
    Cut(Filled, Error),
    No(Option<Filled>),
}

impl Work<'_> {
    /// A small file whose bytes all come at once goes into the catalog with its completion: one commit, no file.
    async fn small<S: Source>(
        &mut self,
        context: &Context<'_>,
        source: &mut S,
        begun: Option<Filled>,
    ) -> Result<Small, Error> {
        let eligible = self.record.segments.is_empty()
            && self.record.offset_bytes == 0
            && self.record.kind == Kind::Whole
            && self.append.expected.is_none()
            && begun.is_none();
        let Some(length) = self
            .life
            .length_bytes()
            .filter(|length| eligible && *length <= self.parts.config.inline_max_bytes)
        else {
            return Ok(Small::No(begun));
        };
        match gather(context, source, length).await? {
            Gathered::All(filled) => {
                let bytes = filled.buffer[filled.range].to_vec();
                context
                    .stats
                    .count(context.protocol, Counted::Bytes, length);
                let mut digests = Digests::new(
                    false,
                    self.record.sha256.is_none() && self.parts.config.sha256_always,
                );
                digests.update(&bytes);
                self.life.made_durable(length);
                self.complete(&mut digests, Vec::new(), Some(bytes)).await?;
                Ok(Small::Complete)
            }
            Gathered::Some(filled) => Ok(Small::No(Some(filled))),
            Gathered::Cut(Some(filled), error) => Ok(Small::Cut(filled, error)),
            Gathered::Cut(None, error) => Err(error),
        }
    }

    /// The upload's lane, at its durable offset. Makes its segment if it has none.
    async fn open(&mut self, live: &std::sync::Arc<crate::live::Live>) -> Result<Lane, Error> {
        let parts = self.parts;
        if self.record.segments.is_empty() {
            let segment = Segment {
                segment_id: Id::random().0,
                ..Segment::default()
            };
            parts
                .make_segment(segment.segment_id, self.life.length_bytes())
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
            parts
                .catalog
                .checkpoint(checkpoint)
                .await
                .map_err(in_catalog)?;
        }
        let at = self.life.durable_bytes();
        let with_sha256 = at == 0 && self.append.with_sha256;
        let mut digests = self.digests(at, with_sha256).await?;
        if let Some(Expected::Known(algorithm, _)) = &self.append.expected {
            digests.expect_body(*algorithm);
        }
        let id = self.segment_id();
        let writer = parts
            .blocking(move |store| store.open_writer(id, at).map_err(on_disk))
            .await?;
        Ok(Lane {
            writer,
            digests,
            absorbed: at,
            live: live.clone(),
        })
    }

    async fn digests(&self, at: u64, with_sha256: bool) -> Result<Digests, Error> {
        let is_part = self.record.kind == Kind::Partial;
        if at == 0 {
            return Ok(Digests::new(is_part, with_sha256));
        }
        let parts = self.parts;
        let mut scratch = parts.scratch(parts.holder(&self.record)).await?;
        let (id, state, crc64) = (
            self.segment_id(),
            self.record.digest_state.clone(),
            self.record.crc64,
        );
        parts
            .blocking(move |store| {
                let reader = store.open_reader(id).map_err(on_disk)?;
                Digests::resume(is_part, &state, crc64, at, reader.as_ref(), &mut scratch)
            })
            .await
    }

    fn segment_id(&self) -> SegmentId {
        SegmentId(
            self.record
                .segments
                .first()
                .map(|segment| segment.segment_id)
                .unwrap_or_default(),
        )
    }

    fn checkpoint(&self, mark: Mark) -> Checkpoint {
        let updated_at = now();
        Checkpoint {
            file_id: self.record.file_id,
            offset_bytes: mark.offset,
            digest_state: mark.digest_state,
            crc64: mark.crc64,
            length_bytes: self.life.length_bytes(),
            segments: None,
            updated_at,
            expires_at: Some(after(updated_at, self.parts.config.upload_expires)),
        }
    }

    /// After the last byte, or the cut: digests, durability, record. The error of a cut is given on once what arrived is safe.
    async fn settle<S: Source>(
        &mut self,
        lane: Option<Lane>,
        end: Result<(), Error>,
        source: &mut S,
    ) -> Result<(), Error> {
        let lane =
            lane.ok_or_else(|| Error::Internal("the upload's writer was lost".to_owned()))?;
        let failed_write = matches!(end, Err(Error::Storage(_)));
        let mut lane = if failed_write {
            self.reopen(lane).await?
        } else {
            lane
        };
        if let Some(expected) = self.append.expected.take() {
            let checked = match &end {
                Ok(()) => self.check_body(&mut lane, expected, source).await,
                Err(_) => Err(Error::ChecksumMissing),
            };
            if let Err(error) = checked {
                drop(lane);
                self.roll_back().await?;
                return Err(end.err().unwrap_or(error));
            }
        }
        let done = lane
            .sync()
            .await
            .map_err(|error| Error::Internal(format!("a writer ended: {error}")))?;
        let mark = done
            .result
            .map_err(on_disk)?
            .ok_or_else(|| Error::Internal("a sync without a mark".to_owned()))?;
        self.life.made_durable(mark.offset);
        self.record.offset_bytes = mark.offset;
        if end.is_ok() && self.append.is_last && self.life.length_bytes().is_none() {
            self.life.declare(mark.offset)?;
        }
        let stands = matches!(
            end,
            Ok(())
                | Err(Error::ClientGone
                    | Error::Superseded
                    | Error::Closing
                    | Error::Stalled { .. })
        );
        if stands && self.life.is_whole() {
            // Every byte is here: that the client did not stay for the answer takes nothing from it.
            let mut digests = done.lane.digests;
            drop(done.lane.writer);
            let segments = vec![Segment {
                segment_id: self.segment_id().0,
                length_bytes: mark.offset,
                crc64: mark.crc64,
            }];
            self.complete(&mut digests, segments, None).await?;
        } else {
            let checkpoint = self.checkpoint(mark);
            self.record.updated_at = checkpoint.updated_at;
            self.record.expires_at = checkpoint.expires_at;
            self.parts
                .catalog
                .checkpoint(checkpoint)
                .await
                .map_err(in_catalog)?;
        }
        end.map_err(|error| match error {
            Error::Storage(error) => on_disk(error),
            other => other,
        })
    }

    /// A writer whose last write failed may stand anywhere: back to where the digests are.
    async fn reopen(&self, lane: Lane) -> Result<Lane, Error> {
        let Lane {
            digests,
            absorbed,
            live,
            writer,
        } = lane;
        drop(writer);
        let id = self.segment_id();
        let writer = self
            .parts
            .blocking(move |store| store.open_writer(id, absorbed).map_err(on_disk))
            .await?;
        Ok(Lane {
            writer,
            digests,
            absorbed,
            live,
        })
    }

    async fn check_body<S: Source>(
        &self,
        lane: &mut Lane,
        expected: Expected,
        source: &mut S,
    ) -> Result<(), Error> {
        let (algorithm, expected, actual) = match expected {
            Expected::Known(algorithm, expected) => (
                algorithm,
                expected,
                lane.digests.take_body().unwrap_or_default(),
            ),
            Expected::Trailing => {
                let (algorithm, expected) =
                    source.trailing_digest().ok_or(Error::ChecksumMissing)?;
                let actual = self.read_back(algorithm, lane.absorbed).await?;
                (algorithm, expected, actual)
            }
        };
        if ddx_digest::verify_eq(&actual, &expected) {
            Ok(())
        } else {
            Err(Error::ChecksumMismatch {
                algorithm: algorithm.name(),
            })
        }
    }

    /// The digest of this body, from the disk.
    async fn read_back(&self, algorithm: Algorithm, until: u64) -> Result<Vec<u8>, Error> {
        let mut scratch = self.parts.scratch(self.parts.holder(&self.record)).await?;
        let (id, mut at) = (self.segment_id(), self.life.durable_bytes());
        self.parts
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
        let (id, at) = (self.segment_id(), self.life.durable_bytes());
        self.parts
            .blocking(move |store| store.open_writer(id, at).map(drop).map_err(on_disk))
            .await
    }

    /// Publishes the file.
    async fn complete(
        &mut self,
        digests: &mut Digests,
        segments: Vec<Segment>,
        inline: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.life.completed();
        let completed_at = now();
        let keep = self.keep.or(self.parts.config.file_expires);
        let is_part = self.record.kind == Kind::Partial;
        let lasts = if is_part {
            Some(self.parts.config.upload_expires)
        } else {
            keep
        };
        let sha256 = digests.take_sha256();
        // A SHA-256 that is wanted and could not be computed on the way (its state is not kept between requests) is computed in the
        // background; a file without BLAKE3 is what that looks for.
        let is_late = self.parts.config.sha256_always && sha256.is_none() && !is_part;
        let completion = Completion {
            file_id: self.record.file_id,
            length_bytes: self.life.durable_bytes(),
            blake3: digests.blake3().filter(|_| !is_late),
            sha256,
            crc64: digests.crc64(),
            segments,
            inline,
            completed_at,
            expires_at: lasts.map(|lasts| after(completed_at, lasts)),
        };
        let record = &mut self.record;
        record.state = ddx_catalog::State::Complete;
        record.length_bytes = Some(completion.length_bytes);
        record.offset_bytes = completion.length_bytes;
        record.blake3 = completion.blake3;
        record.sha256 = completion.sha256;
        record.crc64 = completion.crc64;
        record.segments.clone_from(&completion.segments);
        record.inline = completion.inline.is_some();
        record.completed_at = Some(completed_at);
        record.expires_at = completion.expires_at;
        self.parts
            .catalog
            .complete(completion)
            .await
            .map_err(in_catalog)?;
        self.parts
            .stats
            .count(&self.record.protocol, Counted::Completed, 1);
        self.parts.tell(&self.record, false);
        if is_late {
            self.parts.chores.notify_one();
        }
        if is_part {
            self.parts.join_waiting(self.record.file_id).await?;
        }
        Ok(())
    }
}

impl Parts {
    /// A small leased buffer for reading back.
    pub(crate) async fn scratch(&self, holder: ddx_memory::Holder) -> Result<Buffer, Error> {
        let bytes = self.config.granule_min_bytes;
        let lease = match self.ledger.try_lease(holder, bytes) {
            Some(lease) => lease,
            None => self
                .ledger
                .admit(holder, bytes)
                .map_err(crate::receive::refused)?
                .await
                .map_err(crate::receive::refused)?,
        };
        buffer_of(lease)
    }
}

enum Gathered {
    All(Filled),
    Some(Filled),
    Cut(Option<Filled>, Error),
}

/// Fills one buffer with a small body, as long as its bytes keep coming.
async fn gather<S: Source>(
    context: &Context<'_>,
    source: &mut S,
    length_bytes: u64,
) -> Result<Gathered, Error> {
    context.ready(source).await?;
    let mut buffer = context
        .first_buffer(length_bytes.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES))
        .await?;
    let whole = usize::try_from(length_bytes).unwrap_or(usize::MAX);
    let most = whole.min(buffer.len());
    let (at, fill) = context
        .fill(source, &mut buffer, 0..most, context.config.linger)
        .await;
    let filled = Filled {
        buffer,
        range: 0..at,
    };
    Ok(match fill {
        Fill::Full | Fill::Ended if at == whole => Gathered::All(filled),
        Fill::Cut(error) if at == 0 => Gathered::Cut(None, error),
        Fill::Cut(error) => Gathered::Cut(Some(filled), error),
        Fill::Full | Fill::Ended | Fill::Dawdled => Gathered::Some(filled),
    })
}

/// A body that is over.
struct Nothing;

impl Source for Nothing {
    async fn ready(&mut self) -> Result<(), crate::source::Cut> {
        Ok(())
    }

    fn take(&mut self, _: &mut [u8]) -> Result<crate::source::Taken, crate::source::Cut> {
        Ok(crate::source::Taken::End)
    }
}
