//! Comments on lines of their own: no wider than what fits beside a diff, and in words of today.
//!
//! Code is kept within its width by rustfmt, which leaves comments alone.

use super::finding::Finding;
use super::source_file::SourceFile;

/// The widest line of a comment, in characters.
const COLUMNS_MAX: usize = 100;

/// Words that make a sentence about a program read like a charter. Say which client, task or
/// program is meant.
const STIFF: &[&str] = &[
    "anybody", "nobody", "shall", "somebody", "thereof", "whoever",
];

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
            if !is_comment {
                continue;
            }
            if can_break && columns > COLUMNS_MAX {
                let message = format!("a comment of {columns} columns; {COLUMNS_MAX} is the most");
                findings.push(Finding::error(file, at + 1, message));
            }
            let mut words = text.split(|c: char| !c.is_alphabetic());
            if let Some(word) = words.find(|word| STIFF.contains(&word.to_lowercase().as_str())) {
                let message = format!("`{word}`: say which client, task or program is meant");
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
