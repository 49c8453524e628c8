//! The rules of the house that no compiler checks, each in a module of its own.
//!
//! They are checked by a program because the shape of the workspace is what keeps it honest: the
//! ledger is testable because it knows no runtime, crash safety can be reasoned about because only
//! the engine orders the two writes. One convenient import undoes that, and reviews miss it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;

mod comments;
mod files;
mod locks;
mod manifests;
mod paths;
mod rooms;
mod tokens;
mod words;

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
    fn error(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            message: message.into(),
            is_error: true,
        }
    }

    fn warning(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
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

/// A file of the project with its text.
pub(crate) struct SourceFile {
    /// Path from the workspace's root.
    pub(crate) path: PathBuf,
    /// The whole text.
    pub(crate) text: String,
}

impl SourceFile {
    fn extension(&self) -> &str {
        self.path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }
}

/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &[
    "target",
    "node_modules",
    "dist",
    "data",
    "coverage",
    "test-results",
    "playwright-report",
];

/// Endings of files that are read. Everything else (pictures, fixtures) is left alone.
const READ: &[&str] = &[
    "rs", "toml", "lock", "json", "py", "sh", "ts", "tsx", "js", "mjs", "svelte", "css", "html",
    "txt", "yaml",
];

/// Checks everything below `root`; findings come sorted by place.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut files = Vec::new();
    read_folder(root, Path::new(""), &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings = Vec::new();
    let members = manifests::check(&files, &mut findings)?;
    rooms::check(&files, &members, &mut findings);
    files::check(&files, &mut findings);
    comments::check(&files, &mut findings);
    locks::check(&files, &mut findings);
    words::check(&files, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    let here = root.join(folder);
    for entry in
        std::fs::read_dir(&here).with_context(|| format!("cannot read {}", here.display()))?
    {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = folder.join(&*name);
        let kind = entry.file_type()?;
        let hidden = name.starts_with('.') && name != ".npmrc" && name != ".cargo";
        if kind.is_dir() && !hidden && !SKIPPED.contains(&&*name) {
            read_folder(root, &path, files)?;
        } else if kind.is_file() && (name == ".npmrc" || !hidden && wanted(&path)) {
            // A file that is not UTF-8 is no source, whatever its ending says.
            if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
                files.push(SourceFile { path, text });
            }
        }
    }
    Ok(())
}

fn wanted(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| READ.contains(&extension))
}
