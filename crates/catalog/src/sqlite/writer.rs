//! The one thread that writes: group commit.
//!
//! A flush of the disk takes a tenth of a millisecond to some milliseconds, however much it
//! flushes. So while one transaction commits, further changes wait in a bounded queue, and the next
//! transaction takes all of them: ten thousand checkpoints become some dozens of flushes, and a
//! lone change does not wait at all. No timer gathers changes: it would make a lone one slow, and
//! under load the flush itself is the gathering.
//!
//! A change that fails leaves the others alone. Most that fail do so before they have changed
//! anything, and so a transaction first runs without savepoints, each of which costs copies of the
//! pages that are changed in it; if one fails half done, the transaction runs again with a
//! savepoint for each. One that fails as a whole (disk full, I/O error) is tried again change by
//! change: with a full disk, a new file must not keep an old one from being deleted. Hence a change
//! is a function that can run twice. All are answered after the commit.
//!
//! How the log is copied into the database: see [`super::log_copy`].

use super::ballast::Ballast;
use super::generation::Generation;
use super::log_copy::LogCopy;
use super::space;
use crate::{Error, ErrorKind};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// What the writer has done so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) operations: AtomicU64,
    pub(super) log_copies: AtomicU64,
    pub(super) second_runs: AtomicU64,
    /// A commit failed, and none that wrote to the log has succeeded since: its pages may be where
    /// the next one will be.
    pub(super) in_doubt: AtomicBool,
    /// Frames in the log after the last commit.
    pub(super) log_frames: AtomicU64,
}

/// A change that waits.
pub(super) trait Job: Send {
    /// Runs it and keeps its outcome until it is answered. May be called again, after the
    /// transaction was lost.
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

/// What belongs to the writer alone.
pub(super) struct Own {
    pub(super) connection: Connection,
    pub(super) log: LogCopy,
    pub(super) generation: Generation,
    pub(super) ballast: Ballast,
}

/// The writer's loop; ends when all senders are gone and the queue is empty.
pub(super) fn run(
    own: Own,
    mut queue: mpsc::Receiver<BoxedJob>,
    counters: &Counters,
    batch_ops_max: usize,
) {
    let Own {
        connection,
        mut log,
        mut generation,
        ballast,
    } = own;
    log.watch(&connection);
    let mut writer = Writer {
        connection,
        counters,
        ballast,
    };
    let mut batch: Vec<BoxedJob> = Vec::new();
    while queue.blocking_recv_many(&mut batch, batch_ops_max.max(1)) > 0 {
        writer.commit(&mut batch);
        let frames = u64::from(LogCopy::frames());
        counters.log_frames.store(frames, Ordering::Relaxed);
        for job in batch.drain(..) {
            job.answer();
        }
        batch.shrink_to(64);
        loop {
            if log.committed(&writer.connection) {
                counters.log_copies.fetch_add(1, Ordering::Relaxed);
                writer.ballast.make();
                generation.raise(&writer.connection); // the first in the log that begins now
                let frames = u64::from(LogCopy::frames());
                counters.log_frames.store(frames, Ordering::Relaxed);
            }
            let idle = queue.is_empty() && queue.sender_strong_count() > 0;
            if !idle || !space::give_back(&writer.connection) {
                break;
            }
        }
    }
    drop(log);
    writer.finish();
}

/// How a transaction keeps a change that fails from undoing, or staining, the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Not at all: it gives up when one fails half done.
    None,
    /// With a savepoint for each.
    Savepoints,
}

/// Why a transaction kept nothing.
enum Lost {
    /// A change failed half done and there was no savepoint.
    HalfDone,
    To(Error),
}

impl From<rusqlite::Error> for Lost {
    fn from(error: rusqlite::Error) -> Self {
        Self::To(error.into())
    }
}

struct Writer<'a> {
    connection: Connection,
    counters: &'a Counters,
    ballast: Ballast,
}

impl Writer<'_> {
    /// Runs all jobs so that each has its outcome, and what succeeded is durable.
    fn commit(&mut self, batch: &mut [BoxedJob]) {
        let mut attempt = self.attempt(batch);
        let is_full = matches!(&attempt, Err(error) if error.kind() == ErrorKind::Full);
        if is_full && self.ballast.give_up() {
            attempt = self.attempt(batch);
        }
        let Err(mut lost) = attempt else {
            return;
        };
        tracing::warn!(changes = batch.len(), error = %lost, "changes could not be saved in the catalog together; those that can't be saved one by one are refused and can be sent again; if this repeats, see to the disk");
        let alone = batch.len() == 1;
        for job in batch {
            // One that can't begin, or reads garbage, fails for each change in the same way, and
            // slowly.
            if alone || matches!(lost.kind(), ErrorKind::Busy | ErrorKind::Corrupt) {
                job.overrule(lost.again());
            } else if let Err(error) = self.attempt(std::slice::from_mut(job)) {
                job.overrule(error.again());
                lost = error;
            }
        }
    }

    /// One transaction, run again with savepoints where that helps. An error means that nothing of
    /// it was kept.
    fn attempt(&self, batch: &mut [BoxedJob]) -> Result<(), Error> {
        let written = LogCopy::written();
        let result = self
            .transact(batch, Guard::None)
            .or_else(|lost| match lost {
                Lost::To(error) => Err(Lost::To(error)),
                Lost::HalfDone => {
                    self.counters.second_runs.fetch_add(1, Ordering::Relaxed);
                    self.transact(batch, Guard::Savepoints)
                }
            });
        if result.is_err() {
            self.counters.in_doubt.store(true, Ordering::Release);
        } else if LogCopy::written() > written {
            self.counters.in_doubt.store(false, Ordering::Release);
        }
        match result {
            Ok(()) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters
                    .operations
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(Lost::To(error)) => Err(error),
            Err(Lost::HalfDone) => Err(Error::new(
                ErrorKind::Other,
                "a change was half done in spite of a savepoint",
            )),
        }
    }

    fn transact(&self, batch: &mut [BoxedJob], guard: Guard) -> Result<(), Lost> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self
            .run_all(batch, guard)
            .and_then(|()| Ok(self.execute("COMMIT")?));
        if result.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        result
    }

    fn run_all(&self, batch: &mut [BoxedJob], guard: Guard) -> Result<(), Lost> {
        for job in batch {
            if guard == Guard::Savepoints {
                self.execute("SAVEPOINT change")?;
            }
            let before = self.connection.total_changes();
            let verdict = job.run(&self.connection);
            if self.connection.is_autocommit() {
                // SQLite gave up the whole transaction: disk full, I/O error, out of memory.
                let kind = verdict.err().unwrap_or(ErrorKind::Other);
                return Err(Lost::To(Error::new(
                    kind,
                    "SQLite rolled the transaction back",
                )));
            }
            match (guard, verdict) {
                (Guard::None, Ok(())) => {}
                (Guard::None, Err(_)) if self.connection.total_changes() == before => {}
                (Guard::None, Err(_)) => return Err(Lost::HalfDone),
                (Guard::Savepoints, Ok(())) => self.execute("RELEASE change")?,
                (Guard::Savepoints, Err(_)) => {
                    self.execute("ROLLBACK TO change")?;
                    self.execute("RELEASE change")?;
                }
            }
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn finish(self) {
        let done = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "the catalog's -wal file could not be merged at the stop; the next start does it; nothing is lost");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the catalog could not be closed cleanly; the next start checks it; nothing is lost");
        }
    }
}
