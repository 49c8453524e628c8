//! The signals that stop the server, and those that must not.
//!
//! Until a handler is installed the kernel ends the process at once, without a checkpoint. So the
//! handlers come before everything else: once the server can be seen, it can be stopped.
//!
//! A terminal that is closed sends SIGHUP: it stops the server in order, unless it was started to
//! outlive its terminal (`nohup`). A file that grows beyond `ulimit -f` sends SIGXFSZ: with a
//! handler, which need do nothing, the write fails instead.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP, caught from the moment that this is made.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl StopSignals {
    /// # Errors
    /// The handlers can't be installed.
    pub(crate) fn catch() -> std::io::Result<Self> {
        // It stays installed when this is dropped.
        drop(signal(SignalKind::from_raw(libc::SIGXFSZ))?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: match is_ignored(libc::SIGHUP) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for one of them. One that came before this was called counts.
    pub(crate) async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }

    /// From now on the next one ends the process: a second signal asks not to wait.
    pub(crate) fn end_at_once_on_the_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!(
                "stopped at once by a second signal; resumable uploads continue from their last checkpoint, other uploads have to be sent again"
            );
            std::process::exit(1);
        });
    }
}

/// Whether this process was started with the signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set >> (signal - 1) & 1 == 1)
}
