//! Comments on lines of their own: no wider than what fits beside a diff.
//!
//! Code is kept within its width by rustfmt, which leaves comments alone.

use super::{Finding, SourceFile};

/// The widest line of a comment, in characters.
const COLUMNS_MAX: usize = 100;

/// Checks every source.
pub(crate) fn check(files: &[SourceFile], findings: &mut Vec<Finding>) {
    for file in files {
        let Some(signs) = signs(file) else { continue };
        for (at, line) in file.text.lines().enumerate() {
            let text = line.trim_start();
            let is_comment = signs.iter().any(|sign| text.starts_with(sign));
            // A long address can't be broken.
            let can_break = text.split_whitespace().count() > 2;
            let columns = line.chars().count();
            if is_comment && can_break && columns > COLUMNS_MAX {
                let message = format!("a comment of {columns} columns; {COLUMNS_MAX} is the most");
                findings.push(Finding::error(file, at + 1, message));
            }
        }
    }
}

/// What a comment begins with there.
fn signs(file: &SourceFile) -> Option<&'static [&'static str]> {
    match file.extension() {
        "rs" | "ts" | "tsx" | "js" | "mjs" | "svelte" => Some(&["//", "/*", "* "]),
        "py" | "sh" => Some(&["#"]),
        _ => None,
    }
}
