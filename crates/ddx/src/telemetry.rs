//! Log lines: for eyes, or one JSON object a line for collectors; always on standard error.
//!
//! Standard output stays free for what a caller reads: the address the server listens on, a plan,
//! settings.
//!
//! A line is handed to a thread that writes it. Where standard error is not read, or is gone,
//! lines are lost, and counted, and the server goes on.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::settings::{LogFormat, Settings};

/// Lines that wait to be written, at most: under 1 MB.
const LINES_MAX: usize = 4_096;

/// How long the end of the process waits for lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Writes lines until it is dropped, at the end of the process.
pub(crate) struct Lines(Option<WorkerGuard>);

impl Drop for Lines {
    fn drop(&mut self) {
        let worker = self.0.take();
        let (done, is_done) = mpsc::channel();
        // The worker complains on standard error, which may take nothing.
        thread::spawn(move || {
            drop(worker);
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(FLUSH_WITHIN);
    }
}

/// Lines that could not be written, or not even wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    unwritten: Arc<AtomicU64>,
    unqueued: ErrorCounter,
}

impl Lost {
    /// How many so far.
    pub(crate) fn count(&self) -> u64 {
        let unqueued = u64::try_from(self.unqueued.dropped_lines()).unwrap_or(u64::MAX);
        self.unwritten
            .load(Ordering::Relaxed)
            .saturating_add(unqueued)
    }
}

/// Writes what can be written, and counts the rest. Logging is no reason for anything to fail.
struct BestEffort<W> {
    to: W,
    unwritten: Arc<AtomicU64>,
}

impl<W: Write> Write for BestEffort<W> {
    /// Takes a line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.to.write_all(line).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.to.flush();
        Ok(())
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// The filter can't be read, or logging was started before.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<(Lines, Lost)> {
    let filter =
        EnvFilter::try_new(&settings.log).context("log is no list of levels; write a level, as info, or levels by part, as info,ddx_engine=debug")?;
    let unwritten = Arc::<AtomicU64>::default();
    let to = BestEffort {
        to: io::stderr(),
        unwritten: unwritten.clone(),
    };
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(to);
    let lost = Lost {
        unwritten,
        unqueued: writer.error_counter(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_span_events(FmtSpan::NONE);
    let started = match settings.log_format {
        LogFormat::Human => lines.with_ansi(colours()).try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))?;
    Ok((Lines(Some(worker)), lost))
}

/// Colours only on a terminal, and not where `NO_COLOR` asks for none.
fn colours() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_no_error() {
        let unwritten = Arc::<AtomicU64>::default();
        let mut to = BestEffort {
            to: Full,
            unwritten: unwritten.clone(),
        };
        for _ in 0..3 {
            assert!(to.write_all(b"a line\n").is_ok() && to.flush().is_ok());
        }
        assert_eq!(unwritten.load(Ordering::Relaxed), 3);
    }
}
