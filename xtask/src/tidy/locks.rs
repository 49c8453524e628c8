//! Lock files name packages and hashes, never the host they came from: the same lock then works
//! behind any mirror, and a host that is typed in by accident can't become the one that is trusted.
//!
//! Cargo writes one canonical index into every lock file, which stands for "the registry" whatever
//! mirror answers; that one line is the exception.

use super::finding::Finding;
use super::source_file::SourceFile;

/// What Cargo itself writes for its default registry.
const CARGO_REGISTRY: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

/// Options of pip that name a host.
const PIP_OPTIONS: &[&str] = &[
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "-i ",
    "-f ",
];

/// Checks every lock file, requirements file and .npmrc.
pub(crate) fn check(files: &[SourceFile], findings: &mut Vec<Finding>) {
    for file in files {
        let names_host: fn(&str) -> bool = match (file.name(), file.extension()) {
            ("package-lock.json" | "npm-shrinkwrap.json", _) => {
                |line| line.contains("\"resolved\": \"http")
            }
            ("pnpm-lock.yaml" | "yarn.lock" | "uv.lock" | "poetry.lock", _) => {
                |line| line.contains("://")
            }
            ("Cargo.lock", _) => {
                |line| line.trim_start().starts_with("source = ") && !line.contains(CARGO_REGISTRY)
            }
            (".npmrc", _) => |line| line.contains("registry=") && line.contains("://"),
            (_, "txt") => |line| {
                PIP_OPTIONS.iter().any(|option| line.starts_with(option))
                    || line.contains(" @ http")
            },
            _ => continue,
        };
        for (at, line) in file.text.lines().enumerate() {
            if names_host(line) {
                let message = "names the host that a package came from: leave that to each machine's own settings";
                findings.push(Finding::error(file, at + 1, message));
            }
        }
    }
}
