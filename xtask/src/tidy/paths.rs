//! The paths that a source file names, in full: `use std::{env, io}` names `std::env` and
//! `std::io`.
//!
//! Relative paths (`super::`, `self::`, `crate::`) are resolved against the file's own module and
//! the inline modules around them, so that `super::super::plain` can't slip past a rule that says
//! `crate::plain`.

use std::collections::BTreeSet;
use std::path::Path;

use super::tokens::{Token, tokens};

/// A path named in a file; paths into the file's own crate start with `crate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// Its segments.
    pub(crate) segments: Vec<String>,
    /// Line from 1.
    pub(crate) line: usize,
    /// The module that names it: the file's own, or an inline one.
    pub(crate) module: Vec<String>,
    /// What it brings into that module, if it stands in a `use`.
    pub(crate) import: Option<Import>,
}

/// What a path in a `use` brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The name under which it is known there; `*` for all names.
    pub(crate) name: String,
    /// Whether others may import it from there.
    pub(crate) is_public: bool,
}

/// A module that a file declares.
#[derive(Debug)]
pub(crate) struct Declaration {
    /// The whole path of the module.
    pub(crate) module: Vec<String>,
    /// Whether its text follows in braces.
    pub(crate) is_inline: bool,
}

/// All that a file says of names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Paths of two segments or more, and every path in a `use`.
    pub(crate) paths: Vec<NamedPath>,
    /// The modules that it declares.
    pub(crate) modules: Vec<Declaration>,
    /// The items that it defines, at any depth.
    pub(crate) items: BTreeSet<String>,
    /// First words of paths in its code, those of one word included.
    pub(crate) words: BTreeSet<String>,
}

impl NamedPath {
    /// Whether this path is `prefix` or lies below it.
    pub(crate) fn starts_with(&self, prefix: &[&str]) -> bool {
        self.segments.len() >= prefix.len() && self.segments.iter().zip(prefix).all(|(a, b)| a == b)
    }
}

/// The module path of a file, given relative to its crate's `src`: `tus/wire.rs` is `[tus, wire]`.
pub(crate) fn module_of(file: &Path) -> Vec<String> {
    let mut modules: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if matches!(
        modules.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        modules.pop();
    }
    modules
}

/// The modules that a file declares: a path that begins with one of them is no crate's.
pub(crate) fn declared_modules(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let after_mod = |pair: &[Token<'_>]| {
        (pair[0].text == "mod" && pair[1].is_word()).then(|| pair[1].text.to_owned())
    };
    tokens.windows(2).filter_map(after_mod).collect()
}

/// What an open brace belongs to.
enum Brace {
    Block,
    Module,
    /// A group inside a `use`, with the path before it.
    Group(Vec<String>),
}

/// All paths of two segments or more, and every path in a `use`, of a file that is `module` of its
/// crate.
pub(crate) fn named_paths(text: &str, module: &[String]) -> Vec<NamedPath> {
    names(&tokens(text), module).paths
}

/// All that the text of a file says of names, where the file is `module` of its crate.
pub(crate) fn names(tokens: &[Token<'_>], module: &[String]) -> Names {
    let mut walk = Walk {
        tokens,
        at: 0,
        module: module.to_vec(),
        braces: Vec::new(),
        in_use: None,
        found: Names::default(),
    };
    while walk.at < tokens.len() {
        walk.step();
    }
    walk.found
}

/// The `use` that is being read.
#[derive(Clone, Copy)]
struct Use {
    is_public: bool,
}

struct Walk<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    module: Vec<String>,
    braces: Vec<Brace>,
    in_use: Option<Use>,
    found: Names,
}

/// Keywords before the name of an item.
const DEFINE: &[&str] = &[
    "const", "enum", "fn", "static", "struct", "trait", "type", "union",
];

impl Walk<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Looks at the token at hand, notes what starts there, and goes on.
    fn step(&mut self) {
        let token = self.tokens[self.at];
        match token.text {
            // `impl Trait + use<..>` is no import.
            "use" => self.in_use = (self.text(self.at + 1) != "<").then(|| self.begin_use()),
            "extern" if self.text(self.at + 1) == "crate" => {
                self.in_use = Some(self.begin_use());
                self.at += 1;
            }
            ";" => self.in_use = None,
            "mod" if self.text(self.at + 2) == "{" => {
                self.module.push(self.text(self.at + 1).to_owned());
                self.braces.push(Brace::Module);
                self.declare(self.module.clone(), true);
                self.at += 2;
            }
            "mod" if self.text(self.at + 2) == ";" => {
                let mut module = self.module.clone();
                module.push(self.text(self.at + 1).to_owned());
                self.declare(module, false);
                self.at += 1;
            }
            "{" if self.in_use.is_some() => self.braces.push(Brace::Group(self.prefix())),
            "{" => self.braces.push(Brace::Block),
            "}" => {
                if matches!(self.braces.pop(), Some(Brace::Module)) {
                    self.module.pop();
                }
            }
            _ if token.is_word() => return self.path(),
            _ => {}
        }
        self.at += 1;
    }

    fn begin_use(&self) -> Use {
        let mut before = self.tokens[..self.at].iter().rev().map(|token| token.text);
        let is_public = match before.next() {
            Some("pub") => true,
            Some(")") => before.find(|&text| text == "(").is_some() && before.next() == Some("pub"),
            _ => false,
        };
        Use { is_public }
    }

    fn declare(&mut self, module: Vec<String>, is_inline: bool) {
        self.found.modules.push(Declaration { module, is_inline });
    }

    fn prefix(&self) -> Vec<String> {
        match self.braces.last() {
            Some(Brace::Group(prefix)) => prefix.clone(),
            _ => Vec::new(),
        }
    }

    /// Reads the path whose first word is at hand. A `{` right after it opens a group with it as
    /// prefix.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        let before = self.at.checked_sub(1).map_or("", |at| self.text(at));
        let after_dot = before == ".";
        let word = self.text(self.at).to_owned();
        if self.in_use.is_none() && !after_dot {
            let known = if DEFINE.contains(&before) {
                &mut self.found.items
            } else {
                &mut self.found.words
            };
            known.insert(word.clone());
        }
        let mut segments = self.prefix();
        segments.push(word);
        self.at += 1;
        let mut is_glob = false;
        while self.text(self.at) == "::" {
            self.at += 1;
            let next = self.tokens.get(self.at).copied();
            match next {
                Some(word) if word.is_word() => segments.push(word.text.to_owned()),
                Some(open) if open.text == "{" && self.in_use.is_some() => {
                    self.braces.push(Brace::Group(segments));
                    self.at += 1;
                    return;
                }
                Some(star) => {
                    is_glob = star.text == "*";
                    break;
                }
                None => break,
            }
            self.at += 1;
        }
        let import = self
            .in_use
            .map(|in_use| self.import(&segments, is_glob, in_use));
        if !after_dot && (import.is_some() || segments.len() > 1) {
            self.found.paths.push(NamedPath {
                segments: self.resolve(segments),
                line,
                module: self.module.clone(),
                import,
            });
        }
    }

    /// What a path in a `use` brings; reads over `as name`.
    fn import(&mut self, segments: &[String], is_glob: bool, in_use: Use) -> Import {
        let name = if is_glob {
            "*".to_owned()
        } else if self.text(self.at) == "as" {
            self.at += 2;
            self.text(self.at - 1).to_owned()
        } else {
            let is_self = |segment: &&String| *segment == "self";
            let mut own = segments.iter().rev().skip_while(is_self);
            own.next().cloned().unwrap_or_default()
        };
        Import {
            name,
            is_public: in_use.is_public,
        }
    }

    /// Turns `self`, `super` and `crate` into a path from `crate`; others stay as they are.
    fn resolve(&self, segments: Vec<String>) -> Vec<String> {
        let relative = segments
            .iter()
            .take_while(|segment| matches!(segment.as_str(), "self" | "super"))
            .count();
        if relative == 0 {
            return segments;
        }
        let up = segments[..relative]
            .iter()
            .filter(|segment| *segment == "super")
            .count();
        let kept = self.module.len().saturating_sub(up);
        let mut full = vec!["crate".to_owned()];
        full.extend_from_slice(&self.module[..kept]);
        full.extend_from_slice(&segments[relative..]);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::{module_of, named_paths};
    use std::path::Path;

    fn paths(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|&part| part.to_owned()).collect();
        named_paths(text, &module)
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn groups_are_flattened() {
        assert_eq!(
            paths("use std::{env, io::{self, Read}};", &[]),
            ["std::env", "std::io::self", "std::io::Read"]
        );
        assert_eq!(
            paths("use {tokio::net, axum};", &[]),
            ["tokio::net", "axum"]
        );
        assert_eq!(
            paths("pub use axum; extern crate tokio;", &[]),
            ["axum", "tokio"]
        );
        assert_eq!(
            paths("use std::io as files; use a::{b as c, d::*};", &[]),
            ["std::io", "a::b", "a::d"]
        );
    }

    #[test]
    fn paths_in_code_count_and_fields_do_not() {
        assert_eq!(
            paths("fn f() { std::env::var(x.tokio); y.axum::<u8>() }", &[]),
            ["std::env::var"]
        );
        assert_eq!(paths("let x = Vec::<tokio::A>::new();", &[]), ["tokio::A"]);
    }

    #[test]
    fn relative_paths_are_resolved_through_inline_modules() {
        assert_eq!(
            paths("use super::plain::Form;", &["tus"]),
            ["crate::plain::Form"]
        );
        assert_eq!(
            paths("use self::wire::Head;", &["tus"]),
            ["crate::tus::wire::Head"]
        );
        assert_eq!(
            paths(
                "mod tests { use super::super::plain::X; } use super::Y;",
                &["tus"]
            ),
            ["crate::plain::X", "crate::Y"]
        );
    }

    #[test]
    fn a_file_is_the_module_that_its_place_says() {
        assert_eq!(module_of(Path::new("tus/wire.rs")), ["tus", "wire"]);
        assert_eq!(module_of(Path::new("tus/mod.rs")), ["tus"]);
        assert!(module_of(Path::new("lib.rs")).is_empty());
    }
}
