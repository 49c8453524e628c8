//! What a rule found to be broken, and where.

use std::fmt;
use std::path::PathBuf;

use super::source_file::SourceFile;

/// One broken rule, at a place.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Path from the workspace's root.
    pub(crate) path: PathBuf,
    /// Line from 1, or 0 for the whole file.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// Errors fail the check, warnings are only printed.
    pub(crate) is_error: bool,
}

impl Finding {
    /// A finding that fails the check.
    pub(crate) fn error(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            message: message.into(),
            is_error: true,
        }
    }

    /// A finding that is only printed.
    pub(crate) fn warning(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
        Self {
            is_error: false,
            ..Self::error(file, line, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "error" } else { "warning" };
        write!(
            f,
            "{}:{}: {kind}: {}",
            self.path.display(),
            self.line,
            self.message
        )
    }
}
