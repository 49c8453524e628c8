//! Settings: one table, read from flags over environment over file over defaults.
//!
//! Every value keeps its origin, every problem is collected before anything is refused (an operator
//! who made three mistakes should not start the server four times), and every refusal says what to
//! write instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod checks;
mod configs;
mod definition;
pub(crate) mod document;
mod kinds;
mod nearest;
mod sources;
mod table;
pub(crate) mod units;

#[cfg(test)]
mod tests;

pub(crate) use definition::{Definition, Origin, Problem, Resolved};
pub(crate) use kinds::LogFormat;
pub(crate) use sources::CONFIG_ENV;
pub(crate) use table::{SETTINGS, Settings};

/// Settings with the origin of each value.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) settings: Settings,
    /// What was given, and where.
    pub(crate) resolved: Resolved,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// All that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

/// A value from the command line: the setting's key and the text.
pub(crate) type FlagValue = (&'static str, String);

/// Puts the sources together.
///
/// # Errors
/// Everything that is wrong in any of them, at once.
pub(crate) fn load(
    flags: &[FlagValue],
    config_flag: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, Problems> {
    let variables: Vec<_> = variables.into_iter().collect();
    let file = sources::file_named(config_flag, &variables);
    let mut resolved = Resolved::default();
    let mut problems = file
        .as_deref()
        .map(|path| sources::read_file(path, &mut resolved))
        .unwrap_or_default();
    problems.extend(sources::read_environment(variables, &mut resolved));
    for (key, text) in flags {
        if let Some(known) = table::definition(key) {
            resolved.set(known, text.clone(), Origin::Flag(key.replace('_', "-")));
        }
    }
    problems.extend(resolved.problems());
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let settings = Settings::from_resolved(&resolved).map_err(|problem| Problems(vec![problem]))?;
    let conflicts = checks::conflicts(&settings);
    if conflicts.is_empty() {
        Ok(Loaded {
            settings,
            resolved,
            file,
        })
    } else {
        Err(Problems(conflicts))
    }
}
