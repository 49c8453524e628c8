//! Limits that the shell, or whatever else starts the server, sets for it.
//!
//! That of open files is raised to what the system allows, since each upload is a connection and a
//! file. The default soft limit of 1,024 is for programs that use `select`; this one does not.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::start_errors::{self, StartError};

/// Files that the server has open before the first client comes: those of the catalog, of the
/// runtime, the sockets.
const FILES_MIN: u64 = 32;

/// Stacks of the runtime's threads. Only what is touched is memory; this bounds a recursion gone
/// wrong.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// Raises the limit of open files, and refuses to start with fewer than [`FILES_MIN`]: libraries
/// panic where they meet that limit.
///
/// # Errors
/// The limit is lower, or can't be raised.
pub(crate) fn check_open_files() -> anyhow::Result<()> {
    let limit = raise_open_files()?;
    if limit < FILES_MIN {
        return Err(start_errors::open_files(limit, FILES_MIN).into());
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one, and returns that.
///
/// # Errors
/// The system refuses what it says that it allows.
pub(crate) fn raise_open_files() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)
        .context("the limit of open files can't be raised to the most that is allowed")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The largest file that may be written (`ulimit -f`, `LimitFSIZE=`); `None` without such a limit.
/// Uploads are held to it as well, so that a client is refused before it sends too much.
pub(crate) fn largest_file() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Starts so many threads and ends them again. Libraries that get no thread panic or wait for ever;
/// here it is an error in words.
///
/// # Errors
/// The system allows fewer.
pub(crate) fn try_threads(count: usize) -> Result<(), StartError> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        // All must exist at the same time: each waits here until the last has started.
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for started in 0..count {
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || drop(gate.lock()))
                .map_err(|error| {
                    let what = format!(
                        "the server needs at least {count} threads, and only {started} can be started: {error}"
                    );
                    StartError::new(what, start_errors::MORE_THREADS)
                })?;
        }
        drop(closed);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn threads_that_can_be_had_are_ended_again() {
        for count in [0, 1, 2, 7] {
            super::try_threads(count).expect("so few can be had");
        }
    }
}
