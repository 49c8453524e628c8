//! Threads of the catalog: how they are started, and what tells their end.

use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use super::deaths::Deaths;
use crate::Error;

/// Threads of the catalog run SQLite, which needs little stack.
pub(super) const STACK_BYTES: usize = 512 << 10;

/// A thread, and what tells that it has ended to one who can't block.
pub(super) type Ending = (JoinHandle<()>, oneshot::Receiver<()>);

/// Starts a thread whose crash is told to `deaths`.
pub(super) fn spawn(
    name: &'static str,
    deaths: &Deaths,
    run: impl FnOnce() + Send + 'static,
) -> Result<Ending, Error> {
    let watched = deaths.watch(name);
    let (ending, ended) = oneshot::channel::<()>();
    let thread = Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let _watched = watched;
            run();
            drop(ending);
        })
        .map_err(|error| Error::of_file("can't start a thread", error))?;
    Ok((thread, ended))
}
