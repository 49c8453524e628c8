//! The engine itself: what it is made of (catalog, store, ledger), what is under way in it (locks,
//! progress), its start and its end.
//!
//! What is done with an upload stands in `upload`, reading in `download`, and what no request asks
//! for in `housekeeping`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddx_catalog::{Catalog, FileRecord};
use ddx_id::{FileId, ShareId};
use ddx_memory::{Holder, Ledger};
use ddx_storage::{Store, WriteMode};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::download::readers::Readers;
use crate::error::Error;
use crate::housekeeping::chores::Chores;
use crate::last_look::LastLook;
use crate::stats::Stats;
use crate::steady::ClockState;
use crate::surroundings::{Machine, Surroundings};
use crate::upload::live::{LiveUploads, Progress};
use crate::upload::lock::{Arrival, UploadLocks};

/// Changes that a slow listener may fall behind before it has to look at everything anew.
const CHANGES_KEPT: usize = 1024;

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

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Ledger,
    pub(crate) locks: Arc<UploadLocks>,
    pub(crate) live: Arc<LiveUploads>,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) stats: Stats,
    /// The server stops: nothing new begins, and what can be resumed ends.
    pub(crate) closing: CancellationToken,
    /// Its time is over: all else ends, too.
    pub(crate) ending: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) chores: Chores,
    /// Core that are complete or gone, while the files that waited for them could not be told so.
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
pub struct Engine(pub(crate) Arc<Core>);

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
        Self(Arc::new(Core {
            config,
            catalog,
            store,
            ledger,
            locks: Arc::default(),
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
        self.0.locks.hand_overs()
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
    pub fn locked_uploads(&self) -> usize {
        self.0.locks.count()
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

impl Core {
    /// When a request came; to be asked before it waits for anything.
    pub(crate) fn arrive(&self) -> Arrival {
        self.locks.arrive(self.now())
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
