//! One watcher for all who follow the same subject: it looks once, draws once, and each stream
//! reads its journal.
//!
//! A thousand streams of one share cost the catalog and the processor as much as one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use ddx_engine::{Change, Error, FileSummary, Kind, Progress};
use ddx_id::{FileId, ShareId};
use ddx_memory::Charge;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::journal::{self, Journal};
use crate::api::system::status_document;
use crate::app::{App, PublicBase, charge_answer};
use crate::listing::File;
use crate::shared::origin::Base;
use crate::shared::problem::Problem;

/// How often it is told what has moved.
const FILE_EVERY: Duration = Duration::from_millis(250);
const SYSTEM_EVERY: Duration = Duration::from_secs(1);

/// Files of one subject whose bytes are told as they come, at most. Others are told when they are
/// made, complete or gone.
const MOVING_MAX: usize = 32;

/// What a hub holds at most: its journal with what it knows about each frame, the files that move
/// with some 600 bytes each, and its task.
const HUB_BYTES: u64 = 2 * journal::BYTES_MAX as u64 + (32 << 10);

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// All files of a share.
    Share(ShareId),
    /// One file, of this share.
    File { share_id: ShareId, file_id: FileId },
    /// The server.
    System,
}

/// Links are drawn with the host that the client asked for, so clients of one host share a hub.
type Key = (Subject, Base);

/// The hubs that have streams.
#[derive(Debug, Default)]
pub(super) struct Hubs(Mutex<HashMap<Key, Weak<Hub>>>);

/// A subject's journal, kept up to date for as long as a stream holds this.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) journal: Arc<Journal>,
    /// The newest version. It ends where nothing more will be told.
    news: watch::Receiver<u64>,
    key: Key,
    hubs: Weak<Hubs>,
    _watcher: AbortOnDropHandle<()>,
    _charge: Charge,
}

impl Hubs {
    fn map(&self) -> MutexGuard<'_, HashMap<Key, Weak<Hub>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hub of a subject, made where there is none.
    pub(super) fn of(
        self: &Arc<Self>,
        app: &App,
        base: &PublicBase,
        subject: Subject,
    ) -> Result<Arc<Hub>, Problem> {
        let key = (subject, base.base().clone());
        let known = self.map().get(&key).and_then(Weak::upgrade);
        if let Some(hub) = known.filter(|hub| hub.news.has_changed().is_ok()) {
            return Ok(hub);
        }
        let charge = charge_answer(app, HUB_BYTES)?;
        let journal = Arc::new(Journal::default());
        let (sender, news) = watch::channel(0);
        let watcher = Watcher {
            app: app.clone(),
            base: base.clone(),
            subject,
            journal: journal.clone(),
            news: sender,
            changes: app.engine().changes(),
            moving: HashMap::new(),
        };
        let hub = Arc::new(Hub {
            journal,
            news,
            key: key.clone(),
            hubs: Arc::downgrade(self),
            _watcher: AbortOnDropHandle::new(tokio::spawn(watcher.run())),
            _charge: charge,
        });
        self.map().insert(key, Arc::downgrade(&hub));
        Ok(hub)
    }
}

impl Hub {
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let Some(hubs) = self.hubs.upgrade() else {
            return;
        };
        let mut map = hubs.map();
        // A newer one may stand there already.
        let entry = map.get(&self.key);
        if entry.is_some_and(|entry| std::ptr::eq(entry.as_ptr(), self)) {
            map.remove(&self.key);
        }
    }
}

/// One event as it goes over the line (HTML Living Standard, section 9.2.5). JSON has no line
/// breaks.
pub(super) fn frame(name: &str, data: &impl Serialize) -> Bytes {
    let mut frame = format!("event: {name}\ndata: ").into_bytes();
    // Into memory, strings and numbers only: it can't fail.
    let _ = serde_json::to_writer(&mut frame, data);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

/// A file that is being received.
struct Moving {
    /// What the catalog says of it; None for a part, which a share does not show.
    file: Option<FileSummary>,
    told: Option<Progress>,
}

struct Watcher {
    app: App,
    base: PublicBase,
    subject: Subject,
    journal: Arc<Journal>,
    news: watch::Sender<u64>,
    changes: Receiver<Change>,
    moving: HashMap<FileId, Moving>,
}

impl Watcher {
    async fn run(mut self) {
        let every = match self.subject {
            Subject::System => SYSTEM_EVERY,
            _ => FILE_EVERY,
        };
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = tokio::select! {
                () = self.app.closing().cancelled() => return,
                _ = interval.tick() => self.look().await,
                change = self.changes.recv(), if self.subject != Subject::System => match change {
                    Ok(change) if !self.concerns(change) => Ok(()),
                    Ok(change) if change.gone => {
                        self.tell_gone(change.file_id);
                        Ok(())
                    }
                    Ok(change) => self.tell_changed(change.file_id).await,
                    Err(RecvError::Lagged(_)) => {
                        self.moving.clear();
                        self.news.send_replace(self.journal.lose());
                        Ok(())
                    }
                    Err(RecvError::Closed) => return,
                },
            };
            if let Err(error) = looked {
                // The streams end, and their clients come again.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "live updates of pages were cut off by an error; pages connect again by themselves"
                );
                return;
            }
        }
    }

    fn concerns(&self, change: Change) -> bool {
        match self.subject {
            Subject::Share(share_id) => change.share_id == share_id,
            Subject::File { file_id, .. } => change.file_id == file_id,
            Subject::System => false,
        }
    }

    fn tell(&self, file_id: FileId, frame: Bytes) {
        self.news.send_replace(self.journal.tell(file_id, frame));
    }

    fn tell_gone(&mut self, file_id: FileId) {
        self.moving.remove(&file_id);
        let gone = serde_json::json!({ "file_id": file_id.to_string() });
        self.tell(file_id, frame("gone", &gone));
    }

    /// What the catalog says of a file; None where it is gone, or a part that is not shown.
    async fn shown(&self, file_id: FileId) -> Result<Option<FileSummary>, Error> {
        let record = match self.app.engine().file(file_id).await {
            Ok(record) => record,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_hidden = record.kind == Kind::Partial && matches!(self.subject, Subject::Share(_));
        Ok((!is_hidden).then(|| record.into()))
    }

    /// Tells a file of which the catalog has something new. That it is gone is told by another
    /// change.
    async fn tell_changed(&mut self, file_id: FileId) -> Result<(), Error> {
        self.moving.remove(&file_id);
        if let Some(file) = self.shown(file_id).await? {
            self.tell(
                file_id,
                frame("file", &File::now(&file, &self.base, &self.app)),
            );
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Error> {
        match self.subject {
            Subject::Share(share_id) => {
                let moving = self.app.engine().moving(share_id, MOVING_MAX);
                self.look_at(moving).await
            }
            Subject::File { share_id, file_id } => {
                let progress = self.app.engine().progress(share_id, file_id);
                let progress = progress.map(|watch| (file_id, watch.borrow().clone()));
                self.look_at(progress.into_iter().collect()).await
            }
            Subject::System => {
                let status = status_document(&self.app).await;
                self.tell(FileId::from_bytes([0; 16]), frame("snapshot", &status));
                Ok(())
            }
        }
    }

    /// Tells what has moved, and once more what has stopped.
    async fn look_at(&mut self, now: Vec<(FileId, Progress)>) -> Result<(), Error> {
        let live: HashSet<FileId> = now.iter().map(|(file_id, _)| *file_id).collect();
        let stopped: Vec<FileId> = self.moving.keys().copied().collect();
        for file_id in stopped.into_iter().filter(|id| !live.contains(id)) {
            self.tell_changed(file_id).await?;
        }
        for (file_id, progress) in now {
            if !self.moving.contains_key(&file_id) {
                let file = self.shown(file_id).await?;
                self.moving.insert(file_id, Moving { file, told: None });
            }
            let Some(Moving {
                file: Some(file),
                told,
            }) = self.moving.get_mut(&file_id)
            else {
                continue;
            };
            if told.as_ref() != Some(&progress) {
                let file = frame(
                    "file",
                    &File::new(file, Some(&progress), &self.base, self.app.engine()),
                );
                *told = Some(progress);
                self.tell(file_id, file);
            }
        }
        Ok(())
    }
}
