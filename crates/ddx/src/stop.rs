//! The signals that stop the server.
//!
//! Until a handler is installed the kernel ends the process at once, without a checkpoint. So the
//! handlers come before everything else: whoever can see that the server is there can stop it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment that this is made.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// # Errors
    /// The handlers can't be installed.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them. One that came before this was called counts.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// From now on the next one ends the process: a second signal asks not to wait.
    pub(crate) fn end_at_once_on_the_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopped at once; uploads continue from their last checkpoint");
            std::process::exit(1);
        });
    }
}
