//! The beginning of an upload: a record, its keys, and its space.
//!
//! Space for a known length is reserved before the record is made, so a disk that is too small says
//! so at once and not at 99 %. A file that fits into the catalog reserves nothing and gets no
//! segment until it turns out that its bytes come slowly.

use std::time::Duration;

use ddx_catalog::{FileRecord, Kind, NewFile, Segment, ShareRecord, State};
use ddx_id::{DeleteKey, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};
use tokio::sync::oneshot;

use crate::deadline::after;
use crate::engine::{Core, Engine, in_catalog, on_disk};
use crate::error::Error;
use crate::protocol::Protocol;
use crate::sealed::seal;
use crate::stats::Counted;
use crate::upload::completion::{WholeFile, apply, completion};

/// How often a number is sought for a file whose name is taken in its share, while others take
/// those that were free.
const NAME_TRIES_MAX: u32 = 100;

/// An upload to be made.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Who sends: an account, or an address as `ip:…`. Fairness is among these.
    pub owner: String,
    /// The key of the share that it goes into; a share of its own where None.
    pub share_key: Option<ShareKey>,
    /// Its path in the share, checked by the way in.
    pub path: String,
    /// The media type that the client gave.
    pub content_type: Option<String>,
    /// What the client wants to be told again, as it gave it.
    pub metadata: String,
    /// The same, where it opens something: it is kept so that only the upload's key brings it back
    /// ([`unseal`](crate::unseal)).
    pub secret_metadata: Option<String>,
    /// A part of a file that will be joined, and no file of its own.
    pub is_part: bool,
    /// How it comes.
    pub protocol: Protocol,
    /// Its length, if known.
    pub length_bytes: Option<u64>,
    /// How long the file stays, in place of what is configured.
    pub keep: Option<Duration>,
    /// How often it may be downloaded.
    pub max_downloads: Option<u64>,
    /// Whether its SHA-256 is wanted.
    pub with_sha256: bool,
}

/// An upload that was made, with the secrets that only its client learns.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its record.
    pub record: FileRecord,
    /// Names its URL.
    pub upload_key: UploadKey,
    /// Names the URL that deletes it.
    pub delete_key: DeleteKey,
}

/// A share that was made.
#[derive(Debug, Clone, Copy)]
pub struct CreatedShare {
    /// Its link.
    pub share_id: ShareId,
    /// The secret that adds files.
    pub share_key: ShareKey,
    /// When.
    pub created_at: i64,
}

impl Engine {
    /// An empty share that files can be uploaded into.
    ///
    /// # Errors
    /// [`Error::NoSpace`], or if the catalog fails.
    pub async fn create_share(&self) -> Result<CreatedShare, Error> {
        self.0.has_room_for_record(0).await?;
        let created = CreatedShare {
            share_id: self.0.surroundings.id(),
            share_key: self.0.surroundings.id(),
            created_at: self.0.now(),
        };
        let record = ShareRecord {
            share_id: created.share_id,
            share_key_hash: created.share_key.hash(),
            created_at: created.created_at,
        };
        self.0
            .catalog
            .create_share(record)
            .await
            .map_err(in_catalog)?;
        Ok(created)
    }

    /// Makes an upload that bytes can be appended to. One of length 0 is complete at once.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoSpace`], [`Error::NotFound`] for an unknown share,
    /// [`Error::Closing`].
    pub async fn create(&self, new: NewUpload) -> Result<Created, Error> {
        let core = self.0.clone();
        self.make(async move {
            let new_is_part = new.is_part;
            let draft = core.draft(new).await?;
            core.has_room_for_small(&draft).await?;
            if draft.record.length_bytes == Some(0) {
                let empty = WholeFile::inline(Vec::new(), new_is_part, draft.with_sha256);
                core.register(core.completed_draft(draft, empty)).await
            } else {
                core.register(core.reserve(draft).await?).await
            }
        })
        .await
    }

    /// Makes an upload in a task of its own, so that a request which is dropped leaves nothing half
    /// made. What is there when the request is gone is removed: its keys are not known outside.
    pub(crate) async fn make(
        &self,
        work: impl Future<Output = Result<Created, Error>> + Send + 'static,
    ) -> Result<Created, Error> {
        if self.0.closing.is_cancelled() {
            return Err(Error::Closing);
        }
        let (answer, answered) = oneshot::channel();
        let engine = self.clone();
        self.0.tasks.spawn(async move {
            if let Err(Ok(created)) = answer.send(work.await) {
                engine.undo(&created).await;
            }
        });
        let mut waiting = Waiting {
            engine: self,
            answered,
        };
        let made = (&mut waiting.answered).await;
        made.map_err(|_| Error::Internal("an upload's task ended in a panic".to_owned()))?
    }

    async fn undo(&self, created: &Created) {
        if let Err(error) = self.0.remove(&created.record).await {
            tracing::error!(
                file = ?created.record.file_id,
                error = &error as &dyn std::error::Error,
                "an upload that its client gave up can't be deleted now; it is deleted when it expires"
            );
        }
    }
}

/// A request that waits for what is made for it.
struct Waiting<'a> {
    engine: &'a Engine,
    answered: oneshot::Receiver<Result<Created, Error>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The answer may have been sent and never taken.
        self.answered.close();
        if let Ok(Ok(created)) = self.answered.try_recv() {
            let engine = self.engine.clone();
            self.engine
                .0
                .tasks
                .spawn(async move { engine.undo(&created).await });
        }
    }
}

/// An upload that is not in the catalog yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) record: FileRecord,
    pub(crate) with_sha256: bool,
    pub(crate) keep: Option<Duration>,
    /// Its bytes, where it is complete and they are few.
    inline: Option<Vec<u8>>,
    upload_key: UploadKey,
    delete_key: DeleteKey,
}

impl Core {
    /// Checks what is asked and makes the record, nothing durable yet.
    pub(crate) async fn draft(&self, new: NewUpload) -> Result<Draft, Error> {
        if self.end_of(new.protocol.is_resumable).is_cancelled() {
            return Err(Error::Closing);
        }
        self.check_size(new.length_bytes.unwrap_or(0))?;
        let share_id = match new.share_key {
            None => self.surroundings.id(),
            Some(key) => {
                let share = self
                    .catalog
                    .share_by_key(key.hash())
                    .await
                    .map_err(in_catalog)?;
                share.ok_or(Error::NotFound)?.share_id
            }
        };
        let surroundings = &self.surroundings;
        let (upload_key, delete_key): (UploadKey, DeleteKey) =
            (surroundings.id(), surroundings.id());
        let at = self.now();
        let record = FileRecord {
            file_id: surroundings.id(),
            share_id,
            upload_key_hash: upload_key.hash(),
            delete_key_hash: delete_key.hash(),
            owner: new.owner,
            path: new.path,
            content_type: new.content_type,
            metadata: new.metadata,
            sealed_metadata: new.secret_metadata.map(|secret| seal(&secret, upload_key)),
            kind: if new.is_part {
                Kind::Partial
            } else {
                Kind::Whole
            },
            state: State::Receiving,
            protocol: new.protocol.name.to_owned(),
            length_bytes: new.length_bytes,
            created_at: at,
            updated_at: at,
            expires_at: Some(after(at, self.config.upload_expires)),
            max_downloads: new.max_downloads,
            ..FileRecord::default()
        };
        Ok(Draft {
            record,
            inline: None,
            with_sha256: new.with_sha256 || self.config.sha256_always,
            keep: new.keep,
            upload_key,
            delete_key,
        })
    }

    /// The draft of a file of which every byte is here already.
    pub(crate) fn completed_draft(&self, mut draft: Draft, whole: WholeFile) -> Draft {
        let mut completion = completion(&self.config, &draft.record, whole, draft.keep, self.now());
        apply(&completion, &mut draft.record);
        draft.inline = completion.inline.take();
        draft
    }

    /// Reserves the space of a known length that will not live in the catalog.
    pub(crate) async fn reserve(&self, mut draft: Draft) -> Result<Draft, Error> {
        if let Some(length) = draft.record.length_bytes
            && length > self.config.inline_bytes_max
        {
            let segment_id = self.surroundings.id();
            self.make_segment(segment_id, Some(length)).await?;
            draft.record.segments = vec![Segment {
                segment_id,
                ..Segment::default()
            }];
        }
        Ok(draft)
    }

    pub(crate) async fn make_segment(
        &self,
        segment_id: SegmentId,
        length_bytes: Option<u64>,
    ) -> Result<(), Error> {
        self.blocking(move |store| store.create(segment_id, length_bytes).map_err(on_disk))
            .await
    }

    /// Makes the record durable. A name that is taken in the share gets a number.
    pub(crate) async fn register(&self, draft: Draft) -> Result<Created, Error> {
        let wanted = draft.record.path.clone();
        let Draft {
            mut record,
            inline,
            upload_key,
            delete_key,
            ..
        } = draft;
        let mut attempt = 1;
        let failed = loop {
            let new = NewFile {
                record: record.clone(),
                share_key_hash: KeyHash::NONE,
                inline: inline.clone(),
            };
            match self.catalog.create(new).await {
                Ok(()) => {
                    self.stats.count(&record.protocol, Counted::Created, 1);
                    match record.state {
                        State::Complete => self.completed(&record).await,
                        _ => self.tell(&record, false),
                    }
                    return Ok(Created {
                        record,
                        upload_key,
                        delete_key,
                    });
                }
                Err(error)
                    if error.kind() == ddx_catalog::ErrorKind::Taken
                        && attempt < NAME_TRIES_MAX =>
                {
                    attempt += 1;
                    match self.free_name(record.share_id, &wanted).await {
                        Ok(path) => record.path = path,
                        Err(error) => break error,
                    }
                }
                Err(error) => break in_catalog(error),
            }
        };
        // Nothing refers to the segment, so nothing but us will delete it before the next start.
        // The segments of a joined file are its parts'.
        if record.kind != Kind::Final
            && let Some(segment) = record.segments.first().copied()
        {
            self.blocking(move |store| store.delete(segment.segment_id).map_err(on_disk))
                .await?;
        }
        Err(failed)
    }
}
