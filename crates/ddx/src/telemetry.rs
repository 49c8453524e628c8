//! Log lines: for eyes, or one JSON object a line for collectors; always on standard error.
//!
//! Standard output stays free for what a caller reads: the address the server listens on, a plan, settings.
//!
//! A line is handed to a thread that writes it. Where nobody reads standard error, or it is gone, lines are lost and the server
//! goes on.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
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

/// Starts logging for the whole process.
///
/// # Errors
/// The filter can't be read, or logging was started before.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<Lines> {
    let filter =
        EnvFilter::try_new(&settings.log).context("the setting `log` is no filter of log lines")?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
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
    started.map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))?;
    Ok(Lines(Some(worker)))
}

/// Colours only where somebody looks, and not where `NO_COLOR` asks for none.
fn colours() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
