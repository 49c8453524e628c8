//! Bytes join an upload: from the upload's lock to the answer.
//!
//! The order that everything rests on: bytes are written, made durable, and only then recorded; the
//! answer comes after the record. So an offset that was answered survives whatever comes. A body
//! that is cut short keeps what arrived, made durable in the same way. The work runs in a task of
//! its own: a client that goes away drops its request, and must not take the upload's last
//! megabytes with it.

use std::time::Duration;

use ddx_catalog::FileRecord;
use ddx_id::UploadKey;
use ddx_memory::Buffer;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::{Core, Engine, in_catalog, on_disk};
use crate::error::Error;
use crate::request::{Append, Expected, Put};
use crate::source::Source;
use crate::upload::body::{BodyContext, Filled, buffer_of};
use crate::upload::create::{Created, Draft, NewUpload};
use crate::upload::digests::Mark;
use crate::upload::lock::UploadLock;
use crate::upload::receive::receive;
use crate::upload::session::UploadSession;
use crate::upload::small::{Small, take_small};
use crate::upload::state::UploadState;

/// What a catalog can count (63 bits), and more than any file system holds.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;

impl Engine {
    /// Adds a body to an upload, taking over from the request that writes to it. The record after
    /// it, which is complete if the upload is.
    ///
    /// # Errors
    /// Those of [`Error`] that say what is wrong with the request, or why its body was cut; what
    /// arrived of it is durable by then.
    pub fn append<S: Source>(
        &self,
        upload_key: UploadKey,
        append: Append,
        mut source: S,
    ) -> impl Future<Output = Result<FileRecord, Error>> + Send + use<S> {
        let engine = self.clone();
        let arrival = engine.0.arrive();
        self.run(&self.0.closing, async move {
            let core = &*engine.0;
            let record = core.live_upload(upload_key).await?;
            let file_id = record.file_id;
            let lock = core.locks.preempt(file_id, arrival).await?;
            // Read again: the one before us has moved it on.
            let record = core.locked_upload(upload_key, &lock).await?;
            core.transfer(&lock, Box::new(record), append, &mut source)
                .await
        })
    }

    /// Makes an upload and adds its first body.
    ///
    /// # Errors
    /// As [`Engine::create`]; a body that was cut is told in the second place, beside the upload,
    /// which stands.
    pub async fn create_with<S: Source>(
        &self,
        new: NewUpload,
        append: Append,
        mut source: S,
    ) -> Result<(Created, Result<FileRecord, Error>), Error> {
        let created = Box::pin(self.create(new)).await?;
        if created.record.state == ddx_catalog::State::Complete {
            let record = created.record.clone();
            return Ok((created, Ok(record)));
        }
        let (engine, record) = (self.clone(), Box::new(created.record.clone()));
        let outcome = self
            .run(&self.0.closing, async move {
                let lock = engine.0.lock_upload(record.file_id).await?;
                let session = engine.0.transfer(&lock, record, append, &mut source);
                session.await
            })
            .await;
        Ok((created, outcome))
    }

    /// Takes a whole file in one request. Where it is cut nothing stays, since there is no way to
    /// continue it.
    ///
    /// # Errors
    /// As [`Engine::create`] and [`Engine::append`].
    pub fn put<S: Source>(
        &self,
        put: Put,
        mut source: S,
    ) -> impl Future<Output = Result<Created, Error>> + Send + use<S> {
        let (engine, put) = (self.clone(), Box::new(put));
        self.run(&self.0.ending, async move {
            engine.0.put(put, &mut source).await
        })
    }

    /// A task of its own: it brings what arrived to a checkpoint even when its request is gone.
    /// Spawned at once and not when it is first polled, so that its caller holds a handle and not
    /// the whole of it. Refused after `end`.
    fn run<T, F>(
        &self,
        end: &CancellationToken,
        session: F,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let task = match end.is_cancelled() {
            true => Err(Error::Closing),
            false => Ok(self.0.tasks.spawn(session)),
        };
        async {
            task?
                .await
                .map_err(|error| Error::Internal(format!("an upload's task ended: {error}")))?
        }
    }
}

impl Core {
    async fn put<S: Source>(&self, put: Box<Put>, source: &mut S) -> Result<Created, Error> {
        let protocol = put.new.protocol.name;
        let result = self.put_whole(put, source).await;
        self.stats.request(protocol, &result);
        result
    }

    async fn put_whole<S: Source>(&self, put: Box<Put>, source: &mut S) -> Result<Created, Error> {
        let keep = put.new.keep;
        // Boxed, as is all that only takes a moment: what waits for a slow client should be small.
        let (mut created, append, begun) = match Box::pin(self.begin_put(put, source)).await? {
            BegunPut::Whole(created) => return Ok(*created),
            BegunPut::Receiving {
                created,
                append,
                begun,
            } => (created, append, begun),
        };
        let lock = self.lock_upload(created.record.file_id).await?;
        let record = Box::new(created.record.clone());
        match self
            .receive_into(&lock, record, append, source, begun, keep)
            .await
        {
            Ok(record) => {
                created.record = record;
                Ok(*created)
            }
            Err(error) => {
                Box::pin(self.remove_locked(&created.record)).await?;
                Err(error)
            }
        }
    }

    /// The beginning of a plain upload, which is all of it where it is small and comes at once.
    async fn begin_put<S: Source>(&self, put: Box<Put>, source: &mut S) -> Result<BegunPut, Error> {
        let Put { new, expected } = *put;
        let announced_bytes = new.length_bytes;
        let mut draft = self.draft(new).await?;
        self.has_room_for_small(&draft).await?;
        let with_sha256 = draft.with_sha256;
        let begun = match self
            .small_put(&mut draft, expected.as_ref(), source)
            .await?
        {
            Small::Whole(whole) => {
                let created = self.register(self.completed_draft(draft, whole)).await?;
                return Ok(BegunPut::Whole(Box::new(created)));
            }
            Small::No(begun) => begun,
            Small::Cut(_, error) => return Err(error),
        };
        let created = Box::new(self.register(self.reserve(draft).await?).await?);
        let append = Append {
            expected,
            announced_bytes,
            is_last: true,
            with_sha256,
            ..Append::default()
        };
        Ok(BegunPut::Receiving {
            created,
            append,
            begun,
        })
    }

    /// The body of a plain upload, if it is a small file that comes at once. It has no record yet.
    async fn small_put<S: Source>(
        &self,
        draft: &mut Draft,
        expected: Option<&Expected>,
        source: &mut S,
    ) -> Result<Small, Error> {
        let record = &draft.record;
        let guard = self
            .live
            .begin(record.share_id, record.file_id, 0, expected.is_some());
        let never = CancellationToken::new();
        let context = self.context(record, guard.live(), &never, false);
        take_small(&context, source, record, expected, draft.with_sha256).await
    }

    /// What tells an upload that it has to end. A body of which nothing is kept when it is cut has
    /// the whole grace of a stop.
    pub(crate) fn end_of(&self, can_resume: bool) -> &CancellationToken {
        match can_resume {
            true => &self.closing,
            false => &self.ending,
        }
    }

    fn context<'a>(
        &'a self,
        record: &FileRecord,
        live: &'a crate::upload::live::Live,
        superseded: &'a CancellationToken,
        can_resume: bool,
    ) -> BodyContext<'a> {
        BodyContext {
            config: &self.config,
            ledger: &self.ledger,
            surroundings: &*self.surroundings,
            stats: &self.stats,
            protocol: self.config.protocol_of(record),
            holder: self.holder(record),
            live,
            superseded,
            can_resume,
            checkpoint_sooner: sooner(&self.config, record),
            closing: self.end_of(can_resume),
        }
    }

    /// Receives a body for an upload whose lock we hold, and counts how that ended.
    async fn transfer<S: Source>(
        &self,
        lock: &UploadLock,
        record: Box<FileRecord>,
        append: Append,
        source: &mut S,
    ) -> Result<FileRecord, Error> {
        let protocol = self.config.protocol_of(&record);
        let result = self
            .receive_into(lock, record, append, source, None, None)
            .await;
        self.stats.request(protocol.name, &result);
        result
    }

    async fn receive_into<S: Source>(
        &self,
        lock: &UploadLock,
        mut record: Box<FileRecord>,
        append: Append,
        source: &mut S,
        begun: Option<Filled>,
        keep: Option<Duration>,
    ) -> Result<FileRecord, Error> {
        let mut state = UploadState::of(&record);
        state.may_append(append.offset)?;
        if let Some(length) = append.length_bytes {
            state.declare(length)?;
            self.check_size(length)?;
            if record.length_bytes.is_none() {
                Box::pin(self.reserve_late(&record, length)).await?;
            }
        }
        if let Some(bytes) = append.announced_bytes {
            state.may_hold(bytes)?;
            self.check_size(state.durable_bytes().saturating_add(bytes))?;
        }
        if state.is_complete() {
            return Ok(*record);
        }
        record.length_bytes = state.length_bytes();
        let is_unchecked = append.expected.is_some();
        let guard = self.live.begin(
            record.share_id,
            record.file_id,
            state.durable_bytes(),
            is_unchecked,
        );
        // What can't be resumed needs no record on its way.
        let can_resume = !is_unchecked && self.config.protocol_of(&record).is_resumable;
        let context = self.context(&record, guard.live(), lock.stop(), can_resume);
        let mut session = UploadSession {
            core: self,
            began_at: record.offset_bytes,
            record,
            state,
            append,
            keep,
        };
        let begun = match begun {
            Some(begun) => Some(begun),
            None => {
                let with_sha256 = self.config.sha256_always || session.append.with_sha256;
                let (record, expected) = (&session.record, session.append.expected.as_ref());
                let small = take_small(&context, source, record, expected, with_sha256);
                match Box::pin(small).await? {
                    Small::Whole(whole) => {
                        session.state.made_durable(whole.length_bytes);
                        Box::pin(session.complete(whole)).await?;
                        return Ok(*session.record);
                    }
                    Small::Cut(Some(filled), error) => {
                        let live = guard.live();
                        Box::pin(session.keep_cut(&context, live, filled, error, source)).await?;
                        return Ok(*session.record);
                    }
                    Small::Cut(None, error) => return Err(error),
                    Small::No(begun) => begun,
                }
            }
        };
        let writer = Box::pin(session.open(guard.live())).await?;
        let remaining_bytes = state.remaining_bytes().or(self
            .config
            .file_bytes_max
            .map(|limit| limit.saturating_sub(state.durable_bytes())));
        let marked = |mark: Mark| {
            let checkpoint = can_resume.then(|| session.checkpoint(mark));
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
        let has_length = state.length_bytes().is_some();
        let received = receive(&context, source, writer, begun, remaining_bytes, marked).await;
        match Box::pin(session.settle(received, source)).await {
            // Without a length of its own, what it went past is the largest file that is taken.
            Err(Error::PastLength { length_bytes }) if !has_length => Err(Error::TooLarge {
                limit_bytes: length_bytes,
            }),
            Err(error) => Err(error),
            Ok(_) => Ok(*session.record),
        }
    }

    /// Refuses a length beyond what is configured, or beyond what any disk or catalog can count.
    pub(crate) fn check_size(&self, length: u64) -> Result<(), Error> {
        let limit_bytes = self.config.file_bytes_max.unwrap_or(FILE_BYTES_MAX);
        if length > limit_bytes {
            return Err(Error::TooLarge { limit_bytes });
        }
        Ok(())
    }

    /// The length has become known: from now on its space is reserved. Where it has no segment yet,
    /// that is made with it.
    async fn reserve_late(&self, record: &FileRecord, length_bytes: u64) -> Result<(), Error> {
        let Some(segment) = record.segments.first().copied() else {
            return Ok(());
        };
        self.blocking(move |store| {
            store
                .reserve(segment.segment_id, length_bytes)
                .map_err(on_disk)
        })
        .await
    }
}

/// How far a plain upload has come before its body is waited for.
enum BegunPut {
    /// It is there.
    Whole(Box<Created>),
    /// It has its record and its space.
    Receiving {
        created: Box<Created>,
        append: Append,
        begun: Option<Filled>,
    },
}

/// By how much an upload's first checkpoint comes before its time: a part of the interval that its
/// id chooses.
fn sooner(config: &Config, record: &FileRecord) -> Duration {
    config.checkpoint_every * u32::from(record.file_id.as_bytes()[0]) / 256
}

impl Core {
    /// A small leased buffer for reading back.
    pub(crate) async fn scratch(&self, holder: ddx_memory::Holder) -> Result<Buffer, Error> {
        let bytes = self.config.buffer_bytes_min;
        let lease = match self.ledger.try_lease(holder, bytes) {
            Some(lease) => lease,
            None => self
                .ledger
                .admit(holder, bytes)
                .map_err(crate::upload::body::refused)?
                .await
                .map_err(crate::upload::body::refused)?,
        };
        buffer_of(lease)
    }
}

#[cfg(test)]
mod tests {
    use ddx_id::FileId;

    use super::*;

    #[test]
    fn first_checkpoints_of_uploads_that_begin_together_are_spread_over_the_interval() {
        let config = Config::default();
        let eighth = config.checkpoint_every / 8;
        let mut in_each = [0; 8];
        for _ in 0..8_000 {
            let record = FileRecord {
                file_id: FileId::random(),
                ..FileRecord::default()
            };
            let sooner = sooner(&config, &record);
            in_each[usize::try_from(sooner.as_nanos() / eighth.as_nanos()).unwrap()] += 1;
        }
        assert!(
            in_each.iter().all(|count| (700..1_300).contains(count)),
            "{in_each:?}"
        );
    }
}
