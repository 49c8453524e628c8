//! The rules of the project that no compiler checks, each in a module of its own.
//!
//! They are checked by a program because the shape of the workspace is what keeps it honest: the
//! ledger is testable because it knows no runtime, crash safety can be reasoned about because only
//! the engine orders the two writes. One convenient import undoes that, and reviews miss it.

use std::path::Path;

pub(crate) use finding::Finding;
use source_file::read_folder;

mod circles;
mod comments;
mod files;
mod finding;
mod layers;
mod locks;
mod manifests;
mod modules;
mod paths;
mod shipped;
mod source_file;
mod tokens;
mod words;

/// Checks everything below `root`; findings come sorted by place.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut files = Vec::new();
    read_folder(root, Path::new(""), &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings = Vec::new();
    let members = manifests::check(&files, &mut findings)?;
    layers::check(&files, &members, &mut findings);
    circles::check(&files, &members, &mut findings);
    files::check(&files, &mut findings);
    comments::check(&files, &mut findings);
    locks::check(&files, &mut findings);
    words::check(&files, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}
