//! The one thread that writes: group commit.
//!
//! A flush of the disk takes a tenth of a millisecond to some milliseconds, however much it flushes. So while one
//! transaction commits, further changes wait in a bounded queue, and the next transaction takes all of them: ten
//! thousand checkpoints become some dozens of flushes, and a lone change waits for nobody. No timer gathers changes:
//! it would make a lone one slow, and under load the flush itself is the gathering.
//!
//! Each change runs in a savepoint of its own, so that one that fails leaves the others alone, and is answered after
//! the commit. A transaction that fails as a whole (disk full, I/O error) is tried again change by change: with a full
//! disk, one large file must not keep others from being deleted. Hence a change is a function that can run twice.
//!
//! The log is copied into the database after the callers were answered, so nobody's answer waits for it.

use super::Config;
use crate::{Error, ErrorKind};
use rusqlite::Connection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// What the writer has done so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) operations: AtomicU64,
    pub(super) log_copies: AtomicU64,
}

/// A change that waits.
pub(super) trait Job: Send {
    /// Runs it and keeps its outcome until it is answered. May be called again, after the transaction was lost.
    fn run(&mut self, connection: &Connection) -> Result<(), ErrorKind>;
    /// Takes an outcome from outside in place of its own.
    fn overrule(&mut self, error: Error);
    /// Answers the caller.
    fn answer(self: Box<Self>);
}

/// The only [`Job`] there is; the trait hides its types.
pub(super) struct Change<T, F> {
    pub(super) change: F,
    pub(super) outcome: Option<Result<T, Error>>,
    pub(super) caller: oneshot::Sender<Result<T, Error>>,
    /// Its share of the queue's bytes, given back with the answer.
    pub(super) room: OwnedSemaphorePermit,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), ErrorKind> {
        // A panic in one change is a mistake in it; all others still want to be written.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.change)(connection)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Other, "a change panicked")));
        let verdict = outcome.as_ref().map(drop).map_err(Error::kind);
        self.outcome = Some(outcome);
        verdict
    }

    fn overrule(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let Self {
            change,
            outcome,
            caller,
            room,
        } = *self;
        drop(change); // its bytes go before its room does
        drop(room);
        let outcome =
            outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Other, "a change was not run")));
        let _ = caller.send(outcome); // the caller may have gone
    }
}

pub(super) type BoxedJob = Box<dyn Job>;

thread_local! {
    /// Frames in the log after this thread's last commit. SQLite calls the hook on the committing thread.
    static LOG_FRAMES: Cell<u32> = const { Cell::new(0) };
}

/// The writer's loop; ends when all senders are gone and the queue is empty.
pub(super) fn run(
    connection: Connection,
    mut queue: mpsc::Receiver<BoxedJob>,
    counters: Arc<Counters>,
    config: &Config,
) {
    connection.wal_hook(Some(|_, frames| {
        LOG_FRAMES.set(u32::try_from(frames).unwrap_or(0));
        Ok(())
    }));
    let mut writer = Writer {
        connection,
        counters,
        retry_log_at: config.wal_frames_max,
    };
    let mut batch: Vec<BoxedJob> = Vec::new();
    while queue.blocking_recv_many(&mut batch, config.batch_ops_max.max(1)) > 0 {
        writer.commit(&mut batch);
        for job in batch.drain(..) {
            job.answer();
        }
        batch.shrink_to(64);
        writer.copy_log(config.wal_frames_max);
    }
    writer.finish();
}

struct Writer {
    connection: Connection,
    counters: Arc<Counters>,
    /// Frames from which on the log is copied; above the configured number after a copy that a reader held up.
    retry_log_at: u32,
}

impl Writer {
    /// Runs all jobs so that each has its outcome, and what succeeded is durable.
    fn commit(&mut self, batch: &mut [BoxedJob]) {
        let Err(lost) = self.attempt(batch) else {
            return;
        };
        tracing::warn!(changes = batch.len(), error = %lost, "a catalog transaction failed");
        // Whoever can't begin, or reads garbage, fails for each in the same way, and slowly.
        let hopeless = |kind| matches!(kind, ErrorKind::Busy | ErrorKind::Corrupt);
        let mut lost = lost;
        let alone = batch.len() == 1;
        for job in batch {
            if alone || hopeless(lost.kind()) {
                job.overrule(lost.again());
            } else if let Err(error) = self.attempt(std::slice::from_mut(job)) {
                job.overrule(error.again());
                lost = error;
            }
        }
    }

    /// One transaction. An error means that nothing of it was kept.
    fn attempt(&self, batch: &mut [BoxedJob]) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self.run_all(batch).and_then(|()| self.execute("COMMIT"));
        if result.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        if result.is_ok() {
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.counters
                .operations
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        result
    }

    fn run_all(&self, batch: &mut [BoxedJob]) -> Result<(), Error> {
        for job in batch {
            self.execute("SAVEPOINT change")?;
            let verdict = job.run(&self.connection);
            if self.connection.is_autocommit() {
                // SQLite gave up the whole transaction: disk full, I/O error, out of memory.
                let kind = verdict.err().unwrap_or(ErrorKind::Other);
                return Err(Error::new(kind, "SQLite rolled the transaction back"));
            }
            if verdict.is_err() {
                self.execute("ROLLBACK TO change")?;
            }
            self.execute("RELEASE change")?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Copies the log into the database when it has grown. A reader in the midst of a query can hold the end of the log
    /// up; then this waits for a quarter more before it tries again, and does not try after each commit.
    fn copy_log(&mut self, frames_max: u32) {
        let frames = LOG_FRAMES.get();
        if frames < self.retry_log_at {
            return;
        }
        let copied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok(row.get::<_, i64>(1)? == row.get::<_, i64>(2)?)
            });
        self.counters.log_copies.fetch_add(1, Ordering::Relaxed);
        self.retry_log_at = match &copied {
            Ok(true) => frames_max,
            Ok(false) => frames.saturating_add(frames_max / 4),
            Err(error) => {
                tracing::warn!(%error, frames, "can't copy the catalog's log into the database");
                frames.saturating_add(frames_max / 4)
            }
        };
        if matches!(copied, Ok(true)) {
            LOG_FRAMES.set(0);
        }
    }

    fn finish(self) {
        let done = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "can't empty the catalog's log on closing; the next start does it");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "closing the catalog");
        }
    }
}
