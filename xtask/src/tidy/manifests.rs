//! Manifests: versions stand in the root's table only, every crate takes the common lints and
//! edition, and nothing but tests depends on the test kit.
//!
//! One table because two versions of one crate are two copies in the binary, and because a reviewer
//! of dependencies has to look at one place only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use toml::{Table, Value};

use super::finding::Finding;
use super::source_file::SourceFile;

/// How a crate is depended upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Linked into what the crate builds.
    Normal,
    /// For tests, examples and benchmarks.
    Dev,
    /// For a build script.
    Build,
}

const SECTIONS: &[(&str, Kind)] = &[
    ("dependencies", Kind::Normal),
    ("dev-dependencies", Kind::Dev),
    ("build-dependencies", Kind::Build),
];

/// A crate of the workspace and what it depends on.
pub(crate) struct Member {
    /// The package's name.
    pub(crate) name: String,
    /// Its folder, from the workspace's root.
    pub(crate) folder: PathBuf,
    /// Packages it names as dependencies (renames resolved).
    pub(crate) dependencies: Vec<(String, Kind)>,
    /// Names under which its sources see those packages, where renamed: alias to package.
    pub(crate) aliases: BTreeMap<String, String>,
}

/// Reads every manifest, notes what breaks a rule, and gives the workspace's members.
pub(crate) fn check(
    files: &[SourceFile],
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    let root = files
        .iter()
        .find(|file| file.path.as_os_str() == "Cargo.toml")
        .context("there is no Cargo.toml")?;
    let root: Table = root
        .text
        .parse()
        .context("the root's Cargo.toml is no TOML")?;
    let versions = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table)
        .context("the root's Cargo.toml has no [workspace.dependencies]")?;
    for file in files.iter().filter(|file| file.name() == "Cargo.toml") {
        let manifest: Table = file
            .text
            .parse()
            .with_context(|| format!("{} is no TOML", file.path.display()))?;
        let Some(name) = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(Value::as_str)
        else {
            continue;
        };
        inherits(file, &manifest, findings);
        members.push(member(file, name, &manifest, versions, findings));
    }
    Ok(members)
}

/// Keys that every crate takes from the workspace.
fn inherits(file: &SourceFile, manifest: &Table, findings: &mut Vec<Finding>) {
    let inherited = |value: Option<&Value>| {
        value
            .and_then(|value| value.get("workspace"))
            .and_then(Value::as_bool)
            == Some(true)
    };
    for key in ["version", "edition", "rust-version", "license"] {
        if !inherited(manifest.get("package").and_then(|package| package.get(key))) {
            findings.push(Finding::error(
                file,
                0,
                format!("write `{key}.workspace = true` in [package]"),
            ));
        }
    }
    if !inherited(manifest.get("lints")) {
        findings.push(Finding::error(
            file,
            0,
            "take the workspace's lints: [lints] workspace = true",
        ));
    }
}

fn member(
    file: &SourceFile,
    name: &str,
    manifest: &Table,
    versions: &Table,
    findings: &mut Vec<Finding>,
) -> Member {
    let mut member = Member {
        name: name.to_owned(),
        folder: file.path.parent().map(PathBuf::from).unwrap_or_default(),
        dependencies: Vec::new(),
        aliases: BTreeMap::new(),
    };
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest).chain(
        targets
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table),
    );
    for table in tables {
        for (section, kind) in SECTIONS {
            for (alias, entry) in table
                .get(*section)
                .and_then(Value::as_table)
                .into_iter()
                .flatten()
            {
                if entry.get("workspace").and_then(Value::as_bool) != Some(true) {
                    let line = line_of(&file.text, alias);
                    let advice = "give its version in the root's [workspace.dependencies] and `workspace = true` here";
                    findings.push(Finding::error(
                        file,
                        line,
                        format!("`{alias}` has a version of its own: {advice}"),
                    ));
                }
                let package =
                    package_name(entry).or_else(|| versions.get(alias).and_then(package_name));
                let package = package.unwrap_or(alias).to_owned();
                if package == "ddx-testkit" && *kind != Kind::Dev {
                    let line = line_of(&file.text, alias);
                    findings.push(Finding::error(
                        file,
                        line,
                        "ddx-testkit is for tests: make it a dev-dependency",
                    ));
                }
                if package != *alias {
                    member
                        .aliases
                        .insert(alias.replace('-', "_"), package.clone());
                }
                member.dependencies.push((package, *kind));
            }
        }
    }
    member
}

fn package_name(entry: &Value) -> Option<&str> {
    entry.get("package").and_then(Value::as_str)
}

/// The first line that starts with the key, or 0.
pub(crate) fn line_of(text: &str, key: &str) -> usize {
    text.lines()
        .position(|line| line.trim_start().trim_start_matches('"').starts_with(key))
        .map_or(0, |at| at + 1)
}
