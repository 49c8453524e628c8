//! The catalog in one SQLite file in the data folder: the default, and enough for a machine of its
//! own.
//!
//! One thread owns the connection that writes (`writer`), a few own one that reads (`readers`);
//! callers talk to them over bounded queues. The rejected alternative, a pool of connections that
//! all write, makes them fight over SQLite's one write lock, each with a flush of its own.

mod backend;
mod ballast;
mod changes;
mod check;
mod config;
mod deaths;
mod fault;
#[cfg(feature = "testing")]
pub mod foreign;
mod generation;
mod log_check;
mod log_copy;
mod queries;
mod read_only;
mod readers;
mod removal;
mod rows;
mod schema;
mod space;
#[cfg(test)]
mod tests;
mod threads;
mod writer;

pub use config::Config;
pub use schema::{BACKUPS_NAME, FILE_NAME, VERSION};

use crate::{Error, ErrorKind};
use ballast::Ballast;
use deaths::Deaths;
use log_copy::LogCopy;
use readers::{Query, SharedQueue};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use threads::{Ending, spawn};
use tokio::sync::{Semaphore, mpsc, oneshot};
use writer::{BoxedJob, Change, Counters};

/// Unit of [`Config::write_queue_bytes_max`].
const ROOM_UNIT_BYTES: u64 = 1_024;

/// A page of the database, and of its log without the frame around it: SQLite's default.
const PAGE_BYTES: u64 = 4_096;

/// The catalog in SQLite. Dropping it finishes the changes that wait, and blocks for that long;
/// [`crate::Catalog::close`] does the same without blocking.
#[derive(Debug)]
pub struct SqliteCatalog {
    folder: PathBuf,
    config: Config,
    /// How a connection is opened that only reads.
    open_reader: OpenReader,
    /// `None` once it is closed.
    queues: RwLock<Option<Queues>>,
    /// Room for bytes in the write queue, in units.
    room: Arc<Semaphore>,
    room_units: u32,
    /// One long read (backup, check) at a time.
    aside: Semaphore,
    counters: Arc<Counters>,
    threads: Mutex<Threads>,
    deaths: Deaths,
}

#[derive(Debug, Clone)]
struct Queues {
    /// `None` where nothing can be written.
    changes: Option<mpsc::Sender<BoxedJob>>,
    queries: mpsc::Sender<Query>,
}

type OpenReader = fn(&Path, &Config) -> Result<Connection, Error>;

#[derive(Debug, Default)]
struct Threads {
    readers: Vec<Ending>,
    /// `None` where nothing can be written.
    writer: Option<Ending>,
}

/// What a catalog has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Changes in these transactions, failed ones counted.
    pub operations: u64,
    /// How often the log was copied into the database to its end.
    pub log_copies: u64,
    /// How often a transaction ran again because a change in it had failed half done.
    pub second_runs: u64,
    /// Bytes of the log that may still have to be copied into the database.
    pub log_bytes: u64,
    /// Changes that wait in the queue now.
    pub waiting: u64,
    /// Bytes of the changes that wait or are being written, in steps of 1 KiB.
    pub waiting_bytes: u64,
}

impl SqliteCatalog {
    /// Opens the catalog in a folder, which is made if it is absent, as is the catalog; an older
    /// one is copied and then migrated. Blocks on the disk. [`ErrorKind::Newer`] if a newer program
    /// wrote it, [`ErrorKind::Older`] if it is not the one that the folder had last,
    /// [`ErrorKind::Corrupt`] if it is damaged or something else.
    pub fn open(folder: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        let (connection, generation) = schema::open_writer(&folder, &config)?;
        let (changes, change_queue) = mpsc::channel(config.write_queue_ops_max.max(1));
        let counters = Arc::new(Counters::default());
        let deaths = Deaths::default();
        let (queries, readers) = spawn_readers(&folder, &config, schema::open_reader, &deaths)?;
        let log = LogCopy::start(
            schema::open_copier(&folder, &config)?,
            config.wal_frames_max,
            &deaths,
        )?;
        let ballast = Ballast::of(&folder, config.ballast_bytes);
        let (counted, batch_ops_max) = (counters.clone(), config.batch_ops_max);
        let writer = spawn("catalog-write", &deaths, move || {
            let own = writer::Own {
                connection,
                log,
                generation,
                ballast,
            };
            writer::run(own, change_queue, &counted, batch_ops_max)
        })?;
        let threads = Threads {
            readers,
            writer: Some(writer),
        };
        let queues = Queues {
            changes: Some(changes),
            queries,
        };
        Ok(Self::of(
            folder,
            config,
            schema::open_reader,
            queues,
            counters,
            threads,
            deaths,
        ))
    }

    /// Opens the catalog in a folder of a disk that is mounted read-only. Every change is refused
    /// with [`ErrorKind::ReadOnly`]. Blocks on the disk.
    ///
    /// # Errors
    /// As for [`SqliteCatalog::open`]; [`ErrorKind::ReadOnly`] if there is none, or an older one
    /// that would have to be migrated.
    pub fn open_read_only(folder: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        read_only::check(&folder, &config)?;
        let deaths = Deaths::default();
        let (queries, readers) = spawn_readers(&folder, &config, read_only::open, &deaths)?;
        let threads = Threads {
            readers,
            writer: None,
        };
        let queues = Queues {
            changes: None,
            queries,
        };
        let counters = Arc::default();
        Ok(Self::of(
            folder,
            config,
            read_only::open,
            queues,
            counters,
            threads,
            deaths,
        ))
    }

    fn of(
        folder: PathBuf,
        config: Config,
        open_reader: OpenReader,
        queues: Queues,
        counters: Arc<Counters>,
        threads: Threads,
        deaths: Deaths,
    ) -> Self {
        let units =
            (config.write_queue_bytes_max / ROOM_UNIT_BYTES).clamp(1, u64::from(u32::MAX >> 4));
        let room_units = u32::try_from(units).unwrap_or(u32::MAX >> 4);
        Self {
            folder,
            open_reader,
            queues: RwLock::new(Some(queues)),
            room: Arc::new(Semaphore::new(room_units as usize)),
            room_units,
            aside: Semaphore::new(1),
            counters,
            threads: Mutex::new(threads),
            deaths,
            config,
        }
    }

    /// Waits until one of its threads has ended in a panic: what is asked of the catalog then may
    /// never be answered, and the process should end. The thread's name.
    pub async fn thread_died(&self) -> &'static str {
        self.deaths.next().await
    }

    /// Whether `folder` has a catalog already, as far as can be told without opening it.
    pub fn is_in(folder: impl AsRef<Path>) -> bool {
        schema::is_in(folder.as_ref())
    }

    /// Gives the page caches back to the allocator, where memory is wanted more than speed: they
    /// fill again with use. Readers share a queue, so with several of them it is not certain that
    /// each is reached.
    pub async fn give_back_caches(&self) -> Result<(), Error> {
        const SQL: &str = "PRAGMA shrink_memory";
        if self.queues()?.changes.is_some() {
            self.change(0, |connection| Ok(connection.execute_batch(SQL)?))
                .await?;
        }
        for _ in 0..self.config.readers.max(1) {
            self.query(|connection| Ok(connection.execute_batch(SQL)?))
                .await?;
        }
        Ok(())
    }

    /// Whether a change that failed may come back with a crash.
    fn is_in_doubt(&self) -> bool {
        self.counters.in_doubt.load(Ordering::Acquire)
    }

    /// Transactions committed since it was opened.
    pub fn commits(&self) -> u64 {
        self.counters.commits.load(Ordering::Relaxed)
    }

    /// What it has done since it was opened.
    pub fn stats(&self) -> Stats {
        let changes = self.queues().ok().and_then(|queues| queues.changes);
        let waiting = changes.map_or(0, |queue| queue.max_capacity() - queue.capacity());
        Stats {
            commits: self.commits(),
            operations: self.counters.operations.load(Ordering::Relaxed),
            log_copies: self.counters.log_copies.load(Ordering::Relaxed),
            second_runs: self.counters.second_runs.load(Ordering::Relaxed),
            log_bytes: self.counters.log_frames.load(Ordering::Relaxed) * PAGE_BYTES,
            waiting: waiting as u64,
            waiting_bytes: (u64::from(self.room_units) - self.room.available_permits() as u64)
                * ROOM_UNIT_BYTES,
        }
    }

    fn queues(&self) -> Result<Queues, Error> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.clone().ok_or_else(closed)
    }

    /// Hands a change to the writer and awaits its commit. `bytes` is what it holds while it waits.
    async fn change<T: Send + 'static>(
        &self,
        bytes: u64,
        change: impl Fn(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let changes = self.queues()?.changes.ok_or_else(read_only::refusal)?;
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .clamp(1, self.room_units);
        let room = self
            .room
            .clone()
            .acquire_many_owned(units)
            .await
            .map_err(|_| closed())?;
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Change {
            change,
            outcome: None,
            caller,
            room,
        });
        changes.send(job).await.map_err(|_| closed())?;
        drop(changes); // the writer ends when no sender is left
        answer.await.map_err(|_| closed())?
    }

    /// Hands a read to the readers and awaits its answer.
    async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let queues = self.queues()?;
        let (query, answer) = readers::query(read);
        queues.queries.send(query).await.map_err(|_| closed())?;
        drop(queues);
        answer.await.map_err(|_| closed())?
    }

    /// Runs a read that takes long on a thread and a connection of its own.
    async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.queues()?;
        let _only_one = self.aside.acquire().await.map_err(|_| closed())?;
        let connection = (self.open_reader)(&self.folder, &self.config)?;
        let (caller, answer) = oneshot::channel();
        // It answers one caller, who is told if it dies.
        spawn("catalog-aside", &Deaths::default(), move || {
            let _ = caller.send(read(&connection)); // the caller may have gone
        })?;
        answer
            .await
            .map_err(|_| Error::new(ErrorKind::Other, "a long read panicked"))?
    }

    /// Lets the readers end when their queue is empty, and the writer once what is given here is
    /// dropped. The writer's connection must be the last: SQLite removes its log with the last one
    /// that is closed, if that one may write.
    fn hang_up(&self) -> (Option<mpsc::Sender<BoxedJob>>, Threads) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let changes = queues.take().and_then(|queues| queues.changes);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        (changes, std::mem::take(&mut *threads))
    }
}

impl Drop for SqliteCatalog {
    fn drop(&mut self) {
        // A panic was reported when it happened.
        let (changes, threads) = self.hang_up();
        for (thread, _) in threads.readers {
            let _ = thread.join();
        }
        drop(changes);
        if let Some((thread, _)) = threads.writer {
            let _ = thread.join();
        }
    }
}

/// The threads that read, and their queue.
fn spawn_readers(
    folder: &Path,
    config: &Config,
    open: OpenReader,
    deaths: &Deaths,
) -> Result<(mpsc::Sender<Query>, Vec<Ending>), Error> {
    let (queries, queue) = mpsc::channel(config.read_queue_ops_max.max(1));
    let queue: SharedQueue = Arc::new(Mutex::new(queue));
    let mut threads = Vec::new();
    for _ in 0..config.readers.max(1) {
        let connection = open(folder, config)?;
        let queue = queue.clone();
        threads.push(spawn("catalog-read", deaths, move || {
            readers::run(&connection, &queue)
        })?);
    }
    Ok((queries, threads))
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the catalog is closed")
}
