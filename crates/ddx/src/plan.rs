//! `ddx plan`: what this machine can hold, before the first upload comes.
//!
//! It is the ledger's own plan, opened with the same settings as the server's ledger: a second
//! calculation here would be a second truth.

use std::io::Write;

use ddx_memory::Ledger;

use crate::cli::Format;
use crate::settings::Settings;

/// Writes the plan to `out`.
///
/// # Errors
/// The machine's memory can't be read, or `out` can't be written.
pub(crate) fn print(
    settings: &Settings,
    format: Format,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let ledger = Ledger::on_this_machine(settings.memory())
        .map_err(|error| crate::start_errors::memory(&error))?;
    let plan = ledger.plan();
    match format {
        Format::Text => write!(out, "{plan}")?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &plan)?;
            writeln!(out)?;
        }
    }
    Ok(())
}
