//! Putting the server together: ledger, store, catalog, engine and the ways in.

use crate::settings::Settings;

/// Runs the server until it is told to stop.
///
/// # Errors
/// A part can't be opened.
pub(crate) fn run(_settings: Settings) -> anyhow::Result<()> {
    anyhow::bail!("the ways in are not put together yet")
}
