//! The engine: what the ways in call.
//!
//! It holds the parts (catalog, store, ledger) and what is alive (sessions, progress). Only here
//! are the two writes of an upload ordered: bytes first, then the record that speaks of them. What
//! concerns one stage of a life stands in a module of its own: `create`, `append`, `join`,
//! `download`, `housekeeping`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddx_catalog::{Catalog, FileRecord, FileSummary, Kind, OwnerTotals, ShareRecord, State};
use ddx_id::{DeleteKey, FileId, ShareId, UploadKey};
use ddx_memory::{Holder, Ledger};
use ddx_storage::{Store, WriteMode};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chores::Chores;
use crate::config::Config;
use crate::deadline::{after, is_over};
use crate::error::Error;
use crate::last_look::LastLook;
use crate::live::{LiveUploads, Progress};
use crate::readers::Readers;
use crate::sessions::{Arrival, Session, Sessions};
use crate::stats::{Counted, Stats};
use crate::steady::ClockState;
use crate::surroundings::{Machine, Surroundings};

/// Changes that a slow listener may fall behind before it has to look at everything anew.
const CHANGES_KEPT: usize = 1024;

/// Segments of a file that are deleted before its deletion is answered.
const SEGMENTS_AT_ONCE: usize = 16;

/// Something about a file changed: it was made, completed, failed or deleted. Progress is told
/// elsewhere ([`Engine::progress`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The share that the file is in.
    pub share_id: ShareId,
    /// The file.
    pub file_id: FileId,
    /// It is gone.
    pub gone: bool,
}

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) live: Arc<LiveUploads>,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) stats: Stats,
    /// The server stops: nothing new begins, and what can be resumed ends.
    pub(crate) closing: CancellationToken,
    /// Its time is over: all else ends, too.
    pub(crate) ending: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) chores: Chores,
    /// Parts that are complete or gone, while the files that waited for them could not be told so.
    pub(crate) unjoined: Mutex<Vec<FileId>>,
    pub(crate) last_look: LastLook,
    pub(crate) readers: Readers,
    /// Turns of downloads that may be on blocking threads at once.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    /// Goes before every user's name, so that no user can choose a name that meets another's.
    user_salt: [u8; 16],
}

/// The life of uploads and shares. Clones share one engine.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Parts>);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("uploads", &self.0.live.count())
            .finish_non_exhaustive()
    }
}

pub(crate) fn on_disk(error: ddx_storage::Error) -> Error {
    match error.kind() {
        ddx_storage::ErrorKind::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        } => Error::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        },
        ddx_storage::ErrorKind::ReadOnly => Error::ReadOnly,
        _ => Error::Storage(error),
    }
}

pub(crate) fn in_catalog(error: ddx_catalog::Error) -> Error {
    match error.kind() {
        ddx_catalog::ErrorKind::NotFound | ddx_catalog::ErrorKind::Gone => Error::NotFound,
        ddx_catalog::ErrorKind::Taken => Error::NameTaken,
        ddx_catalog::ErrorKind::Closed => Error::Closing,
        ddx_catalog::ErrorKind::ReadOnly => Error::ReadOnly,
        _ => Error::Catalog(error),
    }
}

impl Engine {
    /// An engine on these parts. Call [`Engine::recover`] before the first request.
    #[must_use]
    pub fn new(
        config: Config,
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn Store>,
        ledger: Ledger,
    ) -> Self {
        let machine = Arc::new(Machine::new(config.writer_threads));
        Self::living_in(machine, config, catalog, store, ledger)
    }

    /// The same in other surroundings than this machine: see [`Surroundings`].
    #[must_use]
    pub fn living_in(
        surroundings: Arc<dyn Surroundings>,
        config: Config,
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn Store>,
        ledger: Ledger,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(config.download_threads));
        let stats = Stats::new(&config.protocols);
        Self(Arc::new(Parts {
            config,
            catalog,
            store,
            ledger,
            sessions: Arc::default(),
            live: Arc::default(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            stats,
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
            chores: Chores::default(),
            unjoined: Mutex::default(),
            last_look: LastLook::default(),
            readers: Readers::default(),
            turns,
            user_salt: surroundings.id(),
            surroundings,
        }))
    }

    /// The ledger that admits.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// What was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Where bytes live.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// What has happened since the start.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// How often a request took an upload over from an older one.
    #[must_use]
    pub fn hand_overs(&self) -> u64 {
        self.0.sessions.hand_overs()
    }

    /// What the catalog has written since the start.
    #[must_use]
    pub fn catalog_work(&self) -> ddx_catalog::Work {
        self.0.catalog.work()
    }

    /// How many uploads are being received at this moment.
    #[must_use]
    pub fn active_uploads(&self) -> usize {
        self.0.live.count()
    }

    /// How many uploads have a request, waiting ones and those that take over included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.sessions.count()
    }

    /// How an upload moves, if it is being received now.
    #[must_use]
    pub fn progress(
        &self,
        share_id: ShareId,
        file_id: FileId,
    ) -> Option<watch::Receiver<Progress>> {
        self.0.live.watch(share_id, file_id)
    }

    /// Files of a share that are being received now, up to `limit` of them.
    #[must_use]
    pub fn moving(&self, share_id: ShareId, limit: usize) -> Vec<(FileId, Progress)> {
        self.0.live.of_share(share_id, limit)
    }

    /// Changes of all files, from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Whether the disk took no changes at the start. Then none is made until the next.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    /// Whether the disk takes changes now, found by changing something of no account.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], or if the store fails.
    pub async fn try_change(&self) -> Result<(), Error> {
        let tried = self.0.blocking(|store| store.try_change().map_err(on_disk));
        tried.await
    }

    /// How the time that deadlines are counted in, and the time of day differ.
    #[must_use]
    pub fn clock(&self) -> ClockState {
        self.0.surroundings.clock()
    }

    /// A time of a record, as the clock on the wall has it.
    #[must_use]
    pub fn time_of_day(&self, at: i64) -> i64 {
        at.saturating_add(self.clock().ahead_ms)
    }

    /// What the disk has.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn space(&self) -> Result<ddx_storage::Space, Error> {
        self.0.space().await
    }

    /// Sets how often a complete file may be downloaded, and how long it stays, counted from its
    /// completion; what is `None` stays as configured.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn limit(
        &self,
        record: &FileRecord,
        max_downloads: Option<u64>,
        keep: Option<Duration>,
    ) -> Result<FileRecord, Error> {
        let mut record = record.clone();
        if max_downloads.is_none() && keep.is_none() {
            return Ok(record);
        }
        record.max_downloads = max_downloads.or(record.max_downloads);
        if let Some(keep) = keep {
            record.expires_at = Some(after(
                record.completed_at.unwrap_or_else(|| self.0.now()),
                keep,
            ));
        }
        self.0
            .catalog
            .set_limits(record.file_id, record.max_downloads, record.expires_at)
            .await
            .map_err(in_catalog)?;
        Ok(record)
    }

    /// How many files, bytes and unfinished uploads there are.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn totals(&self) -> Result<ddx_catalog::Totals, Error> {
        self.0.catalog.totals().await.map_err(in_catalog)
    }

    /// Where an upload stands, after the request that writes to it has been told to stop and has
    /// made its bytes durable: what a client asks before it resumes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], or if the catalog fails.
    pub async fn head(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        let arrival = self.0.arrive();
        let record = self.0.live_upload(upload_key).await?;
        if record.state != State::Receiving {
            return Ok(record);
        }
        let file_id = record.file_id;
        match self.0.sessions.take_turn(file_id, arrival).await {
            Ok(session) => self.0.seated_upload(upload_key, &session).await,
            // A newer request has it already. What is recorded is true, and more may come at any
            // moment.
            Err(Error::Superseded) => self.0.live_upload(upload_key).await,
            Err(error) => Err(error),
        }
    }

    /// The record behind an upload's URL, without disturbing who writes to it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], or if the catalog fails.
    pub async fn upload(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        self.0.live_upload(upload_key).await
    }

    /// A file by its id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn file(&self, file_id: FileId) -> Result<FileRecord, Error> {
        self.0
            .catalog
            .file(file_id)
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }

    /// A share.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn share(&self, share_id: ShareId) -> Result<ShareRecord, Error> {
        let share = self.0.catalog.share(share_id).await;
        share.map_err(in_catalog)?.ok_or(Error::NotFound)
    }

    /// What an owner ([`FileRecord::owner`]) has unfinished.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn owner_totals(&self, owner: String) -> Result<OwnerTotals, Error> {
        let totals = self.0.catalog.owner_totals(owner).await;
        totals.map_err(in_catalog)
    }

    /// Up to `limit` of a share's files after the path `after`; none where there are no more.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn share_files(
        &self,
        share_id: ShareId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<FileSummary>, Error> {
        let files = self.0.catalog.share_files(share_id, after, limit);
        files.await.map_err(in_catalog)
    }

    /// The file at a path of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn file_at(&self, share_id: ShareId, path: String) -> Result<FileRecord, Error> {
        self.0
            .catalog
            .file_by_path(share_id, path)
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }

    /// Ends an upload, or deletes the file that it has become: its bytes and its space are given
    /// back.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn cancel(&self, upload_key: UploadKey) -> Result<(), Error> {
        let record = self.0.by_upload_key(upload_key).await?;
        self.0.remove(&record).await?;
        if record.state != State::Complete {
            self.0.stats.count(&record.protocol, Counted::Cancelled, 1);
        }
        Ok(())
    }

    /// Deletes the file that this secret belongs to.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn delete(&self, delete_key: DeleteKey) -> Result<FileRecord, Error> {
        let found = self
            .0
            .catalog
            .file_by_delete_key(delete_key.hash())
            .await
            .map_err(in_catalog)?;
        let record = found.ok_or(Error::NotFound)?;
        self.0.remove(&record).await?;
        Ok(record)
    }

    /// Begins no resumable upload any more, and brings those that run to a checkpoint. What would
    /// be lost if it were cut now runs on: plain uploads, bodies that a checksum is checked of, and
    /// downloads.
    pub fn begin_close(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
    }

    /// Returns when nothing runs any more; to be called after [`Engine::begin_close`].
    pub async fn finished(&self) {
        self.0.tasks.wait().await;
    }

    /// Admits nothing more, ends all that runs, and returns when it stands or `grace` is over; true
    /// if all of it stands.
    pub async fn close(&self, grace: Duration) -> bool {
        self.begin_close();
        self.0.ending.cancel();
        self.0.ledger.close();
        tokio::time::timeout(grace, self.finished()).await.is_ok()
    }
}

impl Parts {
    pub(crate) async fn by_upload_key(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        self.catalog
            .file_by_upload_key(upload_key.hash())
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }

    /// When a request came; to be asked before it waits for anything.
    pub(crate) fn arrive(&self) -> Arrival {
        self.sessions.arrive(self.now())
    }

    /// As [`Parts::by_upload_key`], unless its time is over. That of an upload which is being
    /// written to is not: the request that writes moves it on.
    pub(crate) async fn live_upload(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        // The record may be old when it comes, and the upload have gone on since.
        let asked_at = self.now();
        let record = self.by_upload_key(upload_key).await?;
        self.check_lives(&record, asked_at)?;
        Ok(record)
    }

    /// Errs with [`Error::Expired`] for what was over `at` this time, unless bytes arrive for it.
    pub(crate) fn check_lives(&self, record: &FileRecord, at: i64) -> Result<(), Error> {
        let arrives = record.state != State::Complete && self.sessions.is_taken(record.file_id);
        if is_over(record, at) && !arrives {
            return Err(Error::Expired);
        }
        Ok(())
    }

    /// Takes an upload's seat from the request that has it: for the request that made the upload,
    /// and for the one that ends it.
    pub(crate) async fn sit_down(&self, file_id: FileId) -> Result<Session, Error> {
        loop {
            match self.sessions.take_turn(file_id, self.arrive()).await {
                // One came between our number and our question: we are the newer one now.
                Err(Error::Superseded) => {}
                taken => return taken,
            }
        }
    }

    /// As [`Parts::live_upload`], for the request that has its seat: the one before has moved its
    /// time on. An upload that was not over when the request came is taken on, however long the
    /// request has waited.
    pub(crate) async fn seated_upload(
        &self,
        upload_key: UploadKey,
        seat: &Session,
    ) -> Result<FileRecord, Error> {
        let record = self.by_upload_key(upload_key).await?;
        if is_over(&record, seat.came_at()) {
            return Err(Error::Expired);
        }
        Ok(record)
    }

    /// The time that deadlines are counted in, in milliseconds: see [`crate::SteadyClock`].
    pub(crate) fn now(&self) -> i64 {
        self.surroundings.unix_at()
    }

    fn user(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.user_salt.hash(&mut hasher);
        name.hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn holder(&self, record: &FileRecord) -> Holder {
        let mut upload = [0; 8];
        upload.copy_from_slice(&record.file_id.as_bytes()[..8]);
        Holder {
            user: self.user(&record.owner),
            upload: u64::from_le_bytes(upload),
        }
    }

    /// Who reads: each download is a holder of its own.
    pub(crate) fn reader(&self, reader: &str) -> Holder {
        let mut download = [0; 8];
        download.copy_from_slice(&self.surroundings.id::<[u8; 16]>()[..8]);
        Holder {
            user: self.user(reader),
            upload: u64::from_le_bytes(download),
        }
    }

    pub(crate) fn tell(&self, record: &FileRecord, gone: bool) {
        // That there is no listener is no error.
        let _ = self.changes.send(Change {
            share_id: record.share_id,
            file_id: record.file_id,
            gone,
        });
    }

    /// Stops who writes to the file, deletes its record, then its bytes.
    pub(crate) async fn remove(&self, record: &FileRecord) -> Result<(), Error> {
        let file_id = record.file_id;
        let _session = self.sit_down(file_id).await?;
        self.remove_seated(record).await
    }

    /// As [`Parts::remove`], for who has the upload's seat.
    pub(crate) async fn remove_seated(&self, record: &FileRecord) -> Result<(), Error> {
        let gone = self
            .catalog
            .delete(record.file_id)
            .await
            .map_err(in_catalog)?;
        if let Some(gone) = gone {
            self.tell(record, true);
            if record.kind == Kind::Partial {
                // A file that waits for this part waits in vain, and is told so.
                self.join_waiting_or_later(record.file_id).await;
            }
            // As it was recorded last: what the caller has may be older than its first segment.
            self.give_back(&gone).await?;
        }
        Ok(())
    }

    /// Deletes the bytes of a record that is gone: at once, so that its space is there when the
    /// deletion is answered. A long list, and what the disk does not let go, is left to
    /// housekeeping.
    async fn give_back(&self, record: &FileRecord) -> Result<(), Error> {
        let mut doomed = Vec::new();
        for segment in record.segments.iter().take(SEGMENTS_AT_ONCE) {
            let id = segment.segment_id;
            if !self.catalog.knows_segment(id).await.map_err(in_catalog)? {
                doomed.push(id);
            }
        }
        let (count, asked) = (record.segments.len(), doomed.len());
        let gone = match doomed.is_empty() {
            true => 0,
            false => self.delete_segments(doomed).await?,
        };
        if gone < asked || count > SEGMENTS_AT_ONCE {
            self.chores.deletion.notify_one();
        }
        Ok(())
    }

    /// Marks a complete file whose bytes are known to be wrong, and tells the operator.
    /// Errs with [`Error::NotFound`] where it was deleted meanwhile, and its bytes with it.
    pub(crate) async fn mark_damaged(&self, record: &FileRecord, what: &str) -> Result<(), Error> {
        let marked = self
            .catalog
            .set_damage(record.file_id, what.to_owned())
            .await;
        match marked {
            Ok(()) => {
                tracing::error!(file = ?record.file_id, share = ?record.share_id, what, "a file is damaged: its downloads fail from now on; upload it again, and see to the disk");
                self.tell(record, false);
                Ok(())
            }
            Err(error) => Err(in_catalog(error)),
        }
    }

    /// As [`Engine::is_read_only`].
    pub(crate) fn is_read_only(&self) -> bool {
        self.store.write_mode() == WriteMode::ReadOnly
    }

    /// Runs `work` on a blocking thread.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        self.surroundings
            .begin(move || work(store.as_ref()))
            .done()
            .await?
    }
}
