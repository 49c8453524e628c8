//! Threads that read, each with a connection of its own.
//!
//! Reads don't go through the writer: a listing must not wait for a flush, and SQLite lets any
//! number read beside one that writes. They share one bounded queue, so a long read holds up one
//! thread and not every second caller. Each read is a transaction, so a record and its segments are
//! of one moment.

use crate::{Error, ErrorKind};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// A read that waits; it answers its caller itself.
pub(super) type Query = Box<dyn FnOnce(&Connection) + Send>;

/// A read and the place where its answer comes.
pub(super) fn query<T: Send + 'static>(
    read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
) -> (Query, oneshot::Receiver<Result<T, Error>>) {
    let (caller, answer) = oneshot::channel();
    let query = move |connection: &Connection| {
        if caller.is_closed() {
            return; // its caller has gone
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| in_transaction(connection, read)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Other, "a read panicked")));
        let _ = caller.send(outcome); // the caller may have gone
    };
    (Box::new(query), answer)
}

fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let moment = connection.unchecked_transaction()?; // rolled back when dropped: there is nothing to commit
    let outcome = read(&moment);
    drop(moment);
    outcome
}

/// A reader's loop; ends when all senders are gone and the queue is empty.
pub(super) fn run(connection: &Connection, queue: &Mutex<mpsc::Receiver<Query>>) {
    loop {
        // The lock is held while waiting: the thread that has it takes the next read and passes the
        // lock on.
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(query) = next else { return };
        query(connection);
    }
}

/// The queue's receiving end, shared by the readers.
pub(super) type SharedQueue = Arc<Mutex<mpsc::Receiver<Query>>>;
