//! Files of a crate that import each other in a circle, and names that are re-exported sideways.
//!
//! Files in a circle can only be read, tested and moved together: they are one file in several
//! pieces. A re-export of a neighbour's name hides from whom it is taken, and so the next circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::finding::Finding;
use super::manifests::Member;
use super::modules::{Modules, Source};
use super::paths::NamedPath;
use super::source_file::SourceFile;

/// What one file takes from another.
#[derive(Debug, Default)]
struct Arrow {
    names: BTreeSet<String>,
    /// The line of the first of them.
    line: usize,
}

/// From each file to the files it takes names from.
type Arrows<'a> = BTreeMap<&'a Path, BTreeMap<&'a Path, Arrow>>;

/// Checks every crate.
pub(crate) fn check(files: &[SourceFile], members: &[Member], findings: &mut Vec<Finding>) {
    for member in members {
        findings.append(&mut of_crate(files, member));
    }
}

/// Files that begin a crate.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// The sources of a crate, by their paths in its `src`.
fn inside<'a>(files: &'a [SourceFile], member: &Member) -> BTreeMap<&'a Path, &'a SourceFile> {
    let folder = member.folder.join("src");
    files
        .iter()
        .filter(|file| file.is_rust())
        .filter_map(|file| Some((file.path.strip_prefix(&folder).ok()?, file)))
        .collect()
}

fn of_crate(files: &[SourceFile], member: &Member) -> Vec<Finding> {
    let inside = inside(files, member);
    let mut findings = Vec::new();
    for root in ROOTS {
        let (modules, sources) = Modules::read(&inside, Path::new(root));
        let mut arrows = Arrows::new();
        for source in &sources {
            for path in &source.names.paths {
                note(&mut arrows, &modules, source, path);
                sideways(&modules, source, path, &mut findings);
            }
        }
        for circle in circles(&arrows) {
            findings.extend(refusal(files, &arrows, &circle));
        }
    }
    findings
}

/// Notes the arrow of one path, if it leads to another file.
fn note<'a>(arrows: &mut Arrows<'a>, modules: &Modules<'a>, source: &Source<'a>, path: &NamedPath) {
    let Some(target) = modules.target(path) else {
        return;
    };
    let name = match &path.import {
        // A re-export hands on; the file itself takes the name if its own code says it.
        Some(import) if import.is_public && !source.names.words.contains(&import.name) => return,
        Some(import) if import.name == "*" => "*".to_owned(),
        // A module under its own or another name: what is taken through it is seen where it is.
        _ => match target.item {
            Some(item) => item,
            None => return,
        },
    };
    if target.file.path == source.file.path {
        return;
    }
    let from = arrows.entry(&source.file.path).or_default();
    let arrow = from.entry(&target.file.path).or_insert_with(|| Arrow {
        line: path.line,
        ..Arrow::default()
    });
    arrow.names.insert(name);
}

/// Refuses a `pub use` of what lies neither in the file nor below it, but in a crate's root.
fn sideways(
    modules: &Modules<'_>,
    source: &Source<'_>,
    path: &NamedPath,
    findings: &mut Vec<Finding>,
) {
    let is_public = path.import.as_ref().is_some_and(|import| import.is_public);
    if !is_public || source.file.name() == "lib.rs" {
        return;
    }
    if let Some(target) = modules.target(path)
        && !target.module.starts_with(&source.module)
    {
        let advice = "let its users import it from where it is, or move it";
        let message = format!(
            "re-exports `{}`, which is not below this module: {advice}",
            path.segments.join("::")
        );
        findings.push(Finding::error(source.file, path.line, message));
    }
}

/// The circles, each with its files in the order of their paths.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a Path>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = arrows
        .keys()
        .map(|&from| (from, reached(arrows, from)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (&file, reached) in &reach {
        if !reached.contains(file) || seen.contains(file) {
            continue;
        }
        let returns = |other: &&Path| reach.get(other).is_some_and(|back| back.contains(file));
        let circle: Vec<&Path> = reached.iter().copied().filter(returns).collect();
        seen.extend(circle.iter().copied());
        found.push(circle);
    }
    found
}

/// All files to which a way leads.
fn reached<'a>(arrows: &Arrows<'a>, from: &Path) -> BTreeSet<&'a Path> {
    let next = |file: &Path| {
        arrows
            .get(file)
            .into_iter()
            .flat_map(|to| to.keys().copied())
    };
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&Path> = next(from).collect();
    while let Some(file) = waiting.pop() {
        if reached.insert(file) {
            waiting.extend(next(file));
        }
    }
    reached
}

/// Names each file of the circle with the arrow of fewest names, the one that is cut most easily.
fn refusal(files: &[SourceFile], arrows: &Arrows<'_>, circle: &[&Path]) -> Option<Finding> {
    let mut lines = Vec::new();
    let mut place = None;
    for &from in circle {
        let inside = arrows
            .get(from)?
            .iter()
            .filter(|(to, _)| circle.contains(*to));
        let (to, arrow) = inside.min_by_key(|(_, arrow)| arrow.names.len())?;
        let names: Vec<&str> = arrow.names.iter().map(String::as_str).collect();
        lines.push(format!(
            "\n    {} -> {}: {}",
            from.display(),
            to.display(),
            names.join(", ")
        ));
        place = place.or(Some((from, arrow.line)));
    }
    let (path, line) = place?;
    let file = files.iter().find(|file| file.path == path)?;
    let message = format!(
        "a circle of {} files: move what ties them to where it is looked for{}",
        circle.len(),
        lines.concat()
    );
    Some(Finding::error(file, line, message))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::manifests::{self, Member};
    use super::super::source_file::{SourceFile, read_folder};
    use super::{Modules, ROOTS, inside};

    fn workspace() -> anyhow::Result<(Vec<SourceFile>, Vec<Member>)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = Vec::new();
        read_folder(&root, Path::new(""), &mut files)?;
        let members = manifests::check(&files, &mut Vec::new())?;
        Ok((files, members))
    }

    /// A file that no declaration leads to would be in no circle.
    #[test]
    fn every_file_but_those_of_tests_is_read() -> anyhow::Result<()> {
        let (files, members) = workspace()?;
        for member in &members {
            let mut left = inside(&files, member);
            for root in ROOTS {
                let (_, sources) = Modules::read(&inside(&files, member), Path::new(root));
                left.retain(|_, file| sources.iter().all(|source| source.file.path != file.path));
            }
            // Those of tests are told by their names, or by those of their folders.
            let is_test = |path: &Path| {
                path.iter()
                    .any(|part| part.to_string_lossy().starts_with("test"))
            };
            left.retain(|path, _| !is_test(path));
            let left: Vec<_> = left.keys().collect();
            assert!(left.is_empty(), "{}: {left:?}", member.name);
        }
        assert!(
            members.len() > 10,
            "the workspace has more crates than {}",
            members.len()
        );
        Ok(())
    }
}
