//! Copying the write-ahead log into the database.
//!
//! Commits append to the log; from time to time its pages must be copied to where they belong,
//! which takes tens of milliseconds. Where the writer does that (SQLite's default), everybody waits
//! for it. Where only another thread does it, the log never ends: it starts over only if a commit
//! finds all of it copied, and under load there is always one more commit. So a thread of its own
//! copies the bulk while the writer goes on, again what was added meanwhile, and when that has
//! become little, the writer copies the rest after it has answered its callers.
//!
//! When the thread can't keep up with the disk and the log has grown fourfold, the writer waits for
//! it: a bound on disk space, and back-pressure that callers feel as a full queue.

use super::deaths::Deaths;
use super::schema;
use super::threads::STACK_BYTES;
use crate::Error;
use rusqlite::Connection;
use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

thread_local! {
    /// Frames in the log after this thread's last commit. SQLite calls the hook on the committing
    /// thread.
    static FRAMES: Cell<u32> = const { Cell::new(0) };
    /// How many commits of this thread have written to the log.
    static WRITTEN: Cell<u64> = const { Cell::new(0) };
}

/// What is left for the writer itself: this part of `frames_max`.
const REST: u32 = 8;

/// The writer's side.
#[derive(Debug)]
pub(super) struct LogCopy {
    frames_max: u32,
    /// Frames from which on a copy is begun; above `frames_max` after a copy that a reader held up.
    begin_at: u32,
    /// Frames in the log when the thread was told to copy, while it does.
    copying: Option<u32>,
    /// `None` only while it is dropped.
    orders: Option<SyncSender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl LogCopy {
    /// Starts the thread that copies over `connection`.
    pub(super) fn start(
        connection: Connection,
        frames_max: u32,
        deaths: &Deaths,
    ) -> Result<Self, Error> {
        let watched = deaths.watch("catalog-copy");
        let (orders, ordered) = sync_channel::<()>(1);
        let (finished, done) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("catalog-copy".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _watched = watched;
                while ordered.recv().is_ok() {
                    copy(&connection);
                    if finished.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| Error::of_file("can't start a thread", error))?;
        let frames_max = frames_max.max(1);
        Ok(Self {
            frames_max,
            begin_at: frames_max,
            copying: None,
            orders: Some(orders),
            done,
            thread: Some(thread),
        })
    }

    /// Counts the log's frames from now on. To be called on the writer's thread.
    pub(super) fn watch(&self, connection: &Connection) {
        connection.wal_hook(Some(|_, frames| {
            FRAMES.set(u32::try_from(frames).unwrap_or(0));
            WRITTEN.set(WRITTEN.get() + 1);
            Ok(())
        }));
    }

    /// Frames in the log after this thread's last commit.
    pub(super) fn frames() -> u32 {
        FRAMES.get()
    }

    /// How many commits of this thread have written to the log.
    pub(super) fn written() -> u64 {
        WRITTEN.get()
    }

    /// To be called after each commit, on the writer's thread. `true` if the log was copied to its
    /// end.
    pub(super) fn committed(&mut self, connection: &Connection) -> bool {
        let frames = FRAMES.get();
        let Some(copied) = self.copying else {
            if frames >= self.begin_at {
                self.order(frames);
            }
            return false;
        };
        let full = frames
            >= self
                .begin_at
                .saturating_add(self.frames_max.saturating_mul(3));
        let finished = if full {
            self.done.recv().is_ok()
        } else {
            self.done.try_recv().is_ok()
        };
        if !finished {
            return false;
        }
        self.copying = None;
        if !full && frames.saturating_sub(copied) > self.frames_max / REST {
            self.order(frames);
            return false;
        }
        let all = copy(connection);
        if all {
            FRAMES.set(0);
        }
        // A reader in the midst of a query can hold the end of the log up: then not again after
        // each commit.
        self.begin_at = if all {
            self.frames_max
        } else {
            frames.saturating_add(self.frames_max / 4)
        };
        all
    }

    fn order(&mut self, frames: u32) {
        let taken = self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.try_send(()).is_ok());
        self.copying = taken.then_some(frames);
    }
}

impl Drop for LogCopy {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic was reported when it happened
        }
    }
}

/// Copies as much as it can without waiting for anyone; whether that was all.
fn copy(connection: &Connection) -> bool {
    let copied = connection.query_row(schema::COPY_LOG, [], |row| {
        let (busy, frames, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(!busy && frames == copied)
    });
    copied.unwrap_or_else(|error| {
        tracing::warn!(%error, "the catalog's -wal file can't be merged into it now and grows; it is tried again; uploads go on; if this repeats, see to the disk");
        false
    })
}
