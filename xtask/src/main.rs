//! Chores of the project: `cargo xtask tidy` checks the project's rules, `cargo xtask docs`
//! writes the documents that come from tables in the code.
//!
//! They are a program and not shell scripts because the rules are about Rust sources and manifests,
//! and because a rule that is not tested stops working without a sign: `tests/tidy`
//! breaks each one.

#![allow(
    clippy::print_stdout,
    reason = "a chore reports to whoever started it, on its standard output"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

mod docs;
mod tidy;

const USAGE: &str = "cargo xtask <chore>

  tidy [ROOT]      check the project's rules (layers, circles, names, sizes, versions, comments)
  docs [--check]   write the generated documents, or fail if they differ from what is there";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => report(&tidy::check(&root()?)?),
        ["tidy", root] => report(&tidy::check(Path::new(root))?),
        ["docs"] => docs::write(&root()?).map(|()| ExitCode::SUCCESS),
        ["docs", "--check"] => docs::check(&root()?).map(|()| ExitCode::SUCCESS),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("unknown chore `{}`\n\n{USAGE}", words.join(" ")),
    }
}

/// The workspace's root: the folder above this crate.
fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here
        .parent()
        .context("xtask lies in no folder")?
        .to_path_buf())
}

fn report(findings: &[tidy::Finding]) -> anyhow::Result<ExitCode> {
    for finding in findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    if errors == 0 {
        println!("tidy: {} warnings, nothing refused", findings.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "tidy: {errors} refused, {} warnings",
        findings.len() - errors
    );
    Ok(ExitCode::FAILURE)
}
