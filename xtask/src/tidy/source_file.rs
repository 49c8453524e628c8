//! The files that rules are about: sources, manifests and locks, read as text.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file of the project with its text.
pub(crate) struct SourceFile {
    /// Path from the workspace's root.
    pub(crate) path: PathBuf,
    /// The whole text.
    pub(crate) text: String,
}

impl SourceFile {
    /// What its name ends with, without the dot.
    pub(crate) fn extension(&self) -> &str {
        self.path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default()
    }

    /// Its name without its folder.
    pub(crate) fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Whether it is a source of Rust.
    pub(crate) fn is_rust(&self) -> bool {
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

/// Files that a program writes, which has a style of its own.
const GENERATED: &[&str] = &["web/src/lib/api-types.d.ts"];

/// Reads the sources in `folder` and below it.
pub(crate) fn read_folder(
    root: &Path,
    folder: &Path,
    files: &mut Vec<SourceFile>,
) -> anyhow::Result<()> {
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
    let is_read = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| READ.contains(&extension));
    is_read
        && !GENERATED
            .iter()
            .any(|generated| path == Path::new(generated))
}
