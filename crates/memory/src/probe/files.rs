//! Small files of `/proc` and `/sys`, and the three shapes their contents have.

use std::fs;
use std::io;
use std::path::Path;

use crate::ProbeError;

/// The text of a file.
pub(super) fn text(path: &Path) -> Result<String, ProbeError> {
    fs::read_to_string(path).map_err(|source| ProbeError::Io {
        path: path.to_owned(),
        source,
    })
}

/// The text of a file; `None` if it is not there. A controller that is switched off, or removed
/// while we read, shows itself as a missing file or as ENODEV.
pub(super) fn text_if_there(path: &Path) -> Result<Option<String>, ProbeError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(ProbeError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// A file that holds one number.
pub(super) fn number(path: &Path, text: &str) -> Result<u64, ProbeError> {
    text.trim().parse().map_err(|_| {
        malformed(
            path,
            format!("expected a number, found {:?}", clipped(text)),
        )
    })
}

/// A limit of version 2: a number, or `max` for none.
pub(super) fn number_or_max(path: &Path, text: &str) -> Result<Option<u64>, ProbeError> {
    match text.trim() {
        "max" => Ok(None),
        other => number(path, other).map(Some),
    }
}

/// Lines of `key value`, such as `memory.stat` and `memory.events`.
pub(super) struct Pairs<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The value of a key; `None` if the kernel does not have it.
    pub(super) fn get(&self, key: &str) -> Result<Option<u64>, ProbeError> {
        for line in self.text.lines() {
            let Some(rest) = line.strip_prefix(key) else {
                continue;
            };
            let Some(value) = rest.strip_prefix(' ') else {
                continue;
            };
            return value
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| malformed(self.path, format!("{key} is {:?}", clipped(value))));
        }
        Ok(None)
    }

    /// The value of a key that a kernel without the feature leaves out.
    pub(super) fn or_zero(&self, key: &str) -> Result<u64, ProbeError> {
        Ok(self.get(key)?.unwrap_or(0))
    }

    /// The value of a key without which no figure can be made.
    pub(super) fn need(&self, key: &str) -> Result<u64, ProbeError> {
        self.get(key)?
            .ok_or_else(|| malformed(self.path, format!("there is no {key}")))
    }
}

pub(super) fn malformed(path: &Path, detail: String) -> ProbeError {
    ProbeError::Malformed {
        path: path.to_owned(),
        detail,
    }
}

/// At most 60 characters of what was found, for an error message.
pub(super) fn clipped(text: &str) -> String {
    text.trim().chars().take(60).collect()
}
