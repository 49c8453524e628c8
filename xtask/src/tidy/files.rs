//! Single files: their length, their head comment, their name, and leftovers that must not be
//! committed.
//!
//! Length because a file that can't be read in one sitting is not reviewed; the head comment
//! because the reason of a module is the one thing that its code can't tell. A module called
//! `utils` is where things go without a thought; give it the name of what it does.

use super::finding::Finding;
use super::source_file::SourceFile;
use super::tokens::{Token, tokens};

/// Above this a file is questioned.
const LINES_WARN: usize = 600;
/// Above this it is refused.
const LINES_MAX: usize = 1_000;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["common", "util", "utils", "helper", "helpers", "misc"];

/// Macros that mark unfinished work.
const LEFTOVERS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Ends of the names of files with tests in TypeScript or JavaScript, and what skips a test there.
const SCRIPT_TESTS: &[&str] = &[
    ".test.ts",
    ".test.tsx",
    ".spec.ts",
    ".test.js",
    ".spec.js",
    ".test.mjs",
    ".spec.mjs",
];
const SCRIPT_SKIPS: &[&str] = &[
    "it.skip(",
    "test.skip(",
    "describe.skip(",
    "it.only(",
    "test.only(",
    "describe.only(",
    "test.fixme(",
    "it.todo(",
];

/// Checks every file by itself.
pub(crate) fn check(files: &[SourceFile], findings: &mut Vec<Finding>) {
    for file in files {
        name(file, findings);
        length(file, findings);
        if file.is_rust() {
            head_comment(file, findings);
            leftovers(file, &tokens(&file.text), findings);
        }
        if SCRIPT_TESTS.iter().any(|end| file.name().ends_with(end)) {
            script_skips(file, findings);
        }
    }
}

fn name(file: &SourceFile, findings: &mut Vec<Finding>) {
    let is_module = matches!(
        file.extension(),
        "rs" | "ts" | "tsx" | "js" | "mjs" | "svelte" | "py"
    );
    let is_crate = file.name() == "Cargo.toml";
    if !is_module && !is_crate {
        return;
    }
    let without_ending = file.path.with_extension("");
    if let Some(part) = without_ending
        .iter()
        .filter_map(|part| part.to_str())
        .find(|part| EMPTY_NAMES.contains(part))
    {
        findings.push(Finding::error(
            file,
            0,
            format!("`{part}` is no name: call it after what it does"),
        ));
    }
}

fn length(file: &SourceFile, findings: &mut Vec<Finding>) {
    if matches!(file.extension(), "json" | "lock" | "txt" | "yaml" | "toml") {
        return;
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::error(
            file,
            0,
            format!("{lines} lines; {LINES_MAX} is the most: split it by what it knows"),
        ));
    } else if lines > LINES_WARN {
        findings.push(Finding::warning(
            file,
            0,
            format!("{lines} lines; is it one thing? (asked above {LINES_WARN})"),
        ));
    }
}

/// The first thing in a module, after attributes of the module itself, is its `//!` comment.
fn head_comment(file: &SourceFile, findings: &mut Vec<Finding>) {
    let mut inside_attribute = false;
    for line in file.text.lines().map(str::trim) {
        if inside_attribute || line.starts_with("#![") {
            inside_attribute = !line.ends_with(']');
        } else if !line.is_empty() && !line.starts_with("#!/") {
            if !line.starts_with("//!") {
                break;
            }
            return;
        }
    }
    findings.push(Finding::error(
        file,
        1,
        "begins with no `//!` comment: say why this module is as it is",
    ));
}

fn leftovers(file: &SourceFile, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |next| next.text);
        if LEFTOVERS.contains(&token.text) && next == "!" {
            let message = format!(
                "`{}!` marks unfinished work: finish it, or return an error",
                token.text
            );
            findings.push(Finding::error(file, token.line, message));
        }
        if token.text == "[" && next == "ignore" && at > 0 && tokens[at - 1].text == "#" {
            let advice = "make it run everywhere, or take it out";
            findings.push(Finding::error(
                file,
                token.line,
                format!("an ignored test proves nothing: {advice}"),
            ));
        }
    }
}

fn script_skips(file: &SourceFile, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        if let Some(skip) = SCRIPT_SKIPS.iter().find(|skip| line.contains(*skip)) {
            let message = format!("`{skip}…)` leaves tests out: make them run, or take them out");
            findings.push(Finding::error(file, at + 1, message));
        }
    }
}
