//! `ddx`: the command line, the settings, and the putting together of the parts. It holds no rule
//! of its own: what an upload may do is the engine's, what memory allows the ledger's.
//!
//! Exit codes: 0 all is well; 1 what was asked for failed; 2 the command line or the settings are
//! wrong, and nothing was started.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use crate::cli::Action;
use crate::settings::Problems;

mod allocator;
mod cli;
mod clock;
mod doctor;
mod healthcheck;
mod limits;
mod plan;
mod serve;
mod settings;
mod start_errors;
mod stop;
mod telemetry;

fn main() -> ExitCode {
    let action = match cli::parse(std::env::args_os()) {
        Ok(action) => action,
        Err(error) => error.exit(),
    };
    match run(action) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone: that must not change how it ends.
            let _ = writeln!(std::io::stderr(), "ddx: {error:#}");
            if error.is::<Problems>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(action: Action) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match action {
        Action::Serve(sources) => {
            let loaded = sources.load()?;
            drop(out);
            // Before any thread: each would have the allocator reserve 64 MiB of addresses for it.
            allocator::tune();
            limits::check_open_files()?;
            limits::try_threads(serve::threads_min(&loaded.settings))?;
            let (_lines, lost) = telemetry::start(&loaded.settings)?;
            serve::run(loaded.settings, lost)?;
        }
        Action::Plan(sources, format) => plan::print(&sources.load()?.settings, format, &mut out)?,
        Action::ConfigPrint(sources) => {
            out.write_all(settings::document::in_force(&sources.load()?).as_bytes())?
        }
        Action::ConfigCheck(sources) => {
            let loaded = sources.load()?;
            match &loaded.file {
                Some(path) => writeln!(
                    out,
                    "the settings are valid ({}, environment, flags)",
                    path.display()
                )?,
                None => writeln!(
                    out,
                    "the settings are valid (environment and flags; no config file)"
                )?,
            }
        }
        Action::Healthcheck(sources) => {
            writeln!(out, "{}", healthcheck::ask(&sources.load()?.settings)?)?
        }
        Action::Doctor(sources) => {
            if !doctor::examine(&sources.load()?, &mut out)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Action::Completions(shell) => {
            clap_complete::generate(shell, &mut cli::command(), "ddx", &mut out)
        }
        Action::Document(name) => match name.as_str() {
            "configuration" => out.write_all(settings::document::markdown().as_bytes())?,
            "errors" => out.write_all(ddx_http::shared::problem::markdown().as_bytes())?,
            "metrics" => out.write_all(ddx_http::metrics::table::markdown().as_bytes())?,
            "openapi" => out.write_all(ddx_http::openapi().as_bytes())?,
            _ => bail!("there is no generated document `{name}`"),
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// The reader of our output has enough of it (`ddx config print | head`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
