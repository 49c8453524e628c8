//! The paths that a source file names, in full: `use std::{env, io}` names `std::env` and
//! `std::io`.
//!
//! Relative paths (`super::`, `self::`, `crate::`) are resolved against the file's own module and
//! the inline modules around them, so that `super::super::plain` can't slip past a rule that says
//! `crate::plain`.

use std::path::Path;

use super::tokens::{Token, tokens};

/// A path named in a file; paths into the file's own crate start with `crate`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// Its segments.
    pub(crate) segments: Vec<String>,
    /// Line from 1.
    pub(crate) line: usize,
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
    let tokens = tokens(text);
    let mut walk = Walk {
        tokens: &tokens,
        at: 0,
        module: module.to_vec(),
        braces: Vec::new(),
        in_use: false,
    };
    let mut found = Vec::new();
    while walk.at < tokens.len() {
        if let Some(path) = walk.step() {
            found.push(path);
        }
    }
    found
}

struct Walk<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    module: Vec<String>,
    braces: Vec<Brace>,
    in_use: bool,
}

impl Walk<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Looks at the token at hand and goes on; gives the path that starts there, if one does.
    fn step(&mut self) -> Option<NamedPath> {
        let token = self.tokens[self.at];
        match token.text {
            // `impl Trait + use<..>` is no import.
            "use" => self.in_use = self.text(self.at + 1) != "<",
            "extern" if self.text(self.at + 1) == "crate" => {
                self.in_use = true;
                self.at += 1;
            }
            ";" => self.in_use = false,
            "mod" if self.text(self.at + 2) == "{" => {
                self.module.push(self.text(self.at + 1).to_owned());
                self.braces.push(Brace::Module);
                self.at += 2;
            }
            "{" if self.in_use => self.braces.push(Brace::Group(self.prefix())),
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
        None
    }

    fn prefix(&self) -> Vec<String> {
        match self.braces.last() {
            Some(Brace::Group(prefix)) => prefix.clone(),
            _ => Vec::new(),
        }
    }

    /// Reads the path whose first word is at hand. A `{` right after it opens a group with it as
    /// prefix.
    fn path(&mut self) -> Option<NamedPath> {
        let line = self.tokens[self.at].line;
        let after_dot = self.at > 0 && self.text(self.at - 1) == ".";
        let mut segments = self.prefix();
        segments.push(self.text(self.at).to_owned());
        self.at += 1;
        while self.text(self.at) == "::" {
            self.at += 1;
            let next = self.tokens.get(self.at).copied();
            match next {
                Some(word) if word.is_word() => segments.push(word.text.to_owned()),
                Some(open) if open.text == "{" && self.in_use => {
                    self.braces.push(Brace::Group(segments));
                    self.at += 1;
                    return None;
                }
                _ => break,
            }
            self.at += 1;
        }
        let counts = !after_dot && (self.in_use || segments.len() > 1);
        counts.then(|| NamedPath {
            segments: self.resolve(segments),
            line,
        })
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
