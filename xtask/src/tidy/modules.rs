//! The modules of one crate, each with the file it lies in, and the file that a path leads to.
//!
//! A name is looked up as the compiler does it, as far as words can tell: down the declared
//! modules, then through what a module imports or re-exports, to the file that defines it. What
//! only types can tell (methods, associated items) is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::paths::{NamedPath, Names, names};
use super::shipped::without_tests;
use super::source_file::SourceFile;
use super::tokens::tokens;

/// Imports that lead to imports that lead back are given up after so many.
const STEPS_MAX: usize = 16;

/// The modules below one root (`lib.rs` or `main.rs`), tests left out.
pub(crate) struct Modules<'a> {
    modules: BTreeMap<Vec<String>, Module<'a>>,
}

struct Module<'a> {
    file: &'a SourceFile,
    children: BTreeSet<String>,
    imports: Vec<NamedPath>,
}

/// Where a path leads.
pub(crate) struct Target<'a> {
    /// The file.
    pub(crate) file: &'a SourceFile,
    /// The module, from the crate's root.
    pub(crate) module: Vec<String>,
    /// The item; none if it is the module itself.
    pub(crate) item: Option<String>,
}

/// A file of the crate and what it says.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) module: Vec<String>,
    pub(crate) names: Names,
}

impl<'a> Modules<'a> {
    /// Reads the root and every file that is declared below it. `files` are those of the crate, by
    /// their paths in its `src`.
    pub(crate) fn read(
        files: &BTreeMap<&Path, &'a SourceFile>,
        root: &Path,
    ) -> (Self, Vec<Source<'a>>) {
        let mut modules = BTreeMap::new();
        let mut sources = Vec::new();
        let mut waiting: Vec<_> = files
            .get(root)
            .map(|root| (Vec::new(), *root))
            .into_iter()
            .collect();
        while let Some((module, file)) = waiting.pop() {
            let names = names(&without_tests(&tokens(&file.text)), &module);
            let new = || Module {
                file,
                children: BTreeSet::new(),
                imports: Vec::new(),
            };
            modules.entry(module.clone()).or_insert_with(new);
            for declared in &names.modules {
                let (parent, name) = declared.module.split_at(declared.module.len() - 1);
                let parent = modules.entry(parent.to_vec()).or_insert_with(new);
                parent.children.extend(name.iter().cloned());
                if declared.is_inline {
                    modules.entry(declared.module.clone()).or_insert_with(new);
                } else if let Some(child) = file_of(files, &declared.module) {
                    waiting.push((declared.module.clone(), child));
                }
            }
            for path in names.paths.iter().filter(|path| path.import.is_some()) {
                let module = modules.entry(path.module.clone()).or_insert_with(new);
                module.imports.push(path.clone());
            }
            sources.push(Source {
                file,
                module,
                names,
            });
        }
        (Self { modules }, sources)
    }

    /// Where a path leads that is named somewhere in the crate; none if it leads out of it.
    pub(crate) fn target(&self, path: &NamedPath) -> Option<Target<'a>> {
        self.follow(path, STEPS_MAX)
    }

    fn follow(&self, path: &NamedPath, steps: usize) -> Option<Target<'a>> {
        let steps = steps.checked_sub(1)?;
        let (first, rest) = path.segments.split_first()?;
        if first == "crate" {
            return self.walk(rest, steps);
        }
        let module = self.modules.get(&path.module)?;
        if module.children.contains(first) {
            return self.walk(&[&path.module, &path.segments[..]].concat(), steps);
        }
        let import = module
            .imports
            .iter()
            .find(|import| import.brings(first) && *import != path)?;
        self.follow(&import.with(rest), steps)
    }

    /// Goes down from the crate's root.
    fn walk(&self, path: &[String], steps: usize) -> Option<Target<'a>> {
        let path: Vec<String> = path
            .iter()
            .filter(|part| *part != "self")
            .cloned()
            .collect();
        for at in 0..path.len() {
            let module = self.modules.get(&path[..at])?;
            let (name, rest) = (&path[at], &path[at + 1..]);
            let is_module = module.children.contains(name);
            if is_module && !rest.is_empty() {
                continue;
            }
            let mut imports = module.imports.iter();
            if let Some(import) = imports.find(|import| import.brings(name)) {
                if let Some(target) = self.follow(&import.with(rest), steps) {
                    return Some(target);
                }
            } else if is_module {
                continue;
            } else if let Some(target) = self.through_globs(module, &path[at..], steps) {
                return Some(target);
            }
            return Some(Target {
                file: module.file,
                module: path[..at].to_vec(),
                item: Some(name.clone()),
            });
        }
        let file = self.modules.get(&path)?.file;
        Some(Target {
            file,
            module: path,
            item: None,
        })
    }

    /// Where the name is found among those that the module imports with `*`.
    fn through_globs(
        &self,
        module: &Module<'a>,
        path: &[String],
        steps: usize,
    ) -> Option<Target<'a>> {
        let mut globs = module.imports.iter().filter(|import| import.brings("*"));
        globs.find_map(|glob| {
            let target = self.follow(&glob.with(path), steps)?;
            let item = target.item.as_ref()?;
            // An item of that name is also found where there is none: look whether it is defined.
            let text = tokens(&target.file.text);
            let defined = names(&text, &target.module).items.contains(item);
            defined.then_some(target)
        })
    }
}

/// The file that a `mod name;` means.
fn file_of<'a>(
    files: &BTreeMap<&Path, &'a SourceFile>,
    module: &[String],
) -> Option<&'a SourceFile> {
    let path: std::path::PathBuf = module.iter().collect();
    let found = files.get(&*path.with_extension("rs"));
    found.or_else(|| files.get(&*path.join("mod.rs"))).copied()
}

impl NamedPath {
    fn brings(&self, name: &str) -> bool {
        self.import
            .as_ref()
            .is_some_and(|import| import.name == name)
    }

    /// The same path, gone on with.
    fn with(&self, rest: &[String]) -> Self {
        let mut longer = self.clone();
        longer.segments.extend_from_slice(rest);
        longer
    }
}
