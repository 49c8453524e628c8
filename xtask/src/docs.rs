//! Documents that are written from tables in the code, so that they can't say anything else than
//! the code.
//!
//! The binary itself prints each one (a hidden `docs` subcommand): it owns the tables, and a second
//! program that linked them would be a second truth. `DDX_BIN` names a binary that is built
//! already.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// A generated document and its name for `ddx docs NAME`.
const DOCUMENTS: &[(&str, &str)] = &[
    ("docs/CONFIGURATION.md", "configuration"),
    ("docs/ERRORS.md", "errors"),
    ("docs/METRICS.md", "metrics"),
    ("docs/openapi.json", "openapi"),
];

/// Writes every generated document.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for (path, name) in DOCUMENTS {
        let text = print(root, name)?;
        std::fs::write(root.join(path), text).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails, with the first line that differs, if a document is not what the code says today.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    for (path, name) in DOCUMENTS {
        let wanted = print(root, name)?;
        let found = std::fs::read_to_string(root.join(path))
            .with_context(|| format!("cannot read {path}"))?;
        if let Some(line) = first_difference(&found, &wanted) {
            bail!(
                "{path} differs from the code at line {line}: run `cargo xtask docs` and commit it"
            );
        }
        println!("{path} is what the code says");
    }
    Ok(())
}

fn print(root: &Path, name: &str) -> anyhow::Result<String> {
    let mut command = match std::env::var_os("DDX_BIN") {
        Some(binary) => Command::new(binary),
        None => {
            let mut cargo =
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["run", "--quiet", "--locked", "--package", "ddx", "--"]);
            cargo
        }
    };
    let output = command
        .args(["docs", name])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start the binary that prints the documents")?;
    if !output.status.success() {
        bail!("`ddx docs {name}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).context("a document is not UTF-8")
}

/// The number (from 1) of the first line that is not the same in both texts.
fn first_difference(found: &str, wanted: &str) -> Option<usize> {
    if found == wanted {
        return None;
    }
    let same = found
        .split('\n')
        .zip(wanted.split('\n'))
        .take_while(|(a, b)| a == b)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn drift_is_found_on_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(
            first_difference("a\n", "a\nb\n"),
            Some(2),
            "a missing line counts"
        );
        assert_eq!(
            first_difference("a\nb", "a\nb\n"),
            Some(3),
            "so does a missing end of line"
        );
    }
}
