//! Texts that operators read: log lines and errors. They must make sense to a person who has never
//! seen the code, so words that only the code gives a meaning to are refused in them, and old ones
//! too.
//!
//! Looked at are the string literals in the macros of `tracing` from `info` up and in those of
//! `anyhow`, in the `error` attributes of `thiserror`, and in contexts of errors; of log lines also
//! the names of their fields.

use std::path::Path;

use super::finding::Finding;
use super::source_file::SourceFile;

/// Words that are the code's own names for things, and what to write.
const PRIVATE: &[(&str, &str)] = &[
    ("ballast", "say what the space is kept for"),
    ("band", "say what it means for uploads"),
    ("blessed", "say which upload goes on"),
    ("books", "say: figures"),
    ("chore", "say: background task"),
    ("doomed", "say: deleted"),
    ("granule", "say: buffer"),
    ("house", "say: server"),
    ("lane", "say how bytes are written"),
    ("ledger", "say: memory"),
    ("life", "say what happens to the upload"),
    ("ration", "say: space that is reserved"),
    ("rung", "say what it means for uploads"),
    ("room", "say: space, or memory"),
    ("seat", "say: turn, or place"),
    ("tap", "say what was limited"),
    ("way", "say which protocol, or how"),
    ("anybody", "say who"),
    ("nobody", "say: no client, or no one else"),
    ("shall", "say: must, or will"),
    ("somebody", "say who"),
    ("thereof", "say: of it"),
    ("whoever", "say who"),
];

/// Macros whose texts are read.
const MACROS: &[&str] = &["info", "warn", "error", "bail", "anyhow", "ensure"];
/// Methods whose texts are read.
const METHODS: &[&str] = &["context", "with_context"];
/// Those of the log, which have fields.
const LOG_MACROS: &[&str] = &["info", "warn", "error"];

/// Programs of the project's own tests are read by those who know the code.
const NOT_FOR_OPERATORS: &[&str] = &["crates/testkit", "crates/sim"];

/// Checks every source of what is shipped.
pub(crate) fn check(files: &[SourceFile], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| is_shipped(file)) {
        let shipped = file.text.split("#[cfg(test)]\n").next().unwrap_or_default();
        for call in calls(shipped) {
            for text in &call.texts {
                refuse_words(file, text.line, &without_placeholders(&text.text), findings);
            }
            for (line, field) in &call.fields {
                refuse_words(file, *line, &field.replace('_', " "), findings);
            }
        }
    }
}

fn is_shipped(file: &SourceFile) -> bool {
    let is_source = file.path.starts_with("crates") && file.path.iter().any(|part| part == "src");
    file.is_rust()
        && is_source
        && !NOT_FOR_OPERATORS
            .iter()
            .any(|folder| file.path.starts_with(Path::new(folder)))
        && file.name() != "tests.rs"
}

fn refuse_words(file: &SourceFile, line: usize, text: &str, findings: &mut Vec<Finding>) {
    let lower = text.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphabetic()) {
        let found = PRIVATE
            .iter()
            .find(|(private, _)| word == *private || word.strip_suffix('s') == Some(private));
        if let Some((private, advice)) = found {
            let message =
                format!("operators read this, and `{private}` says nothing to them: {advice}");
            findings.push(Finding::error(file, line, message));
        }
    }
}

/// The text without what stands for values: `{lane}` is a name in the code and not read.
fn without_placeholders(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        kept.push_str(before);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    kept + rest
}

/// A literal with the line that it begins on.
struct Literal {
    text: String,
    line: usize,
}

/// What one macro, attribute or method is given.
#[derive(Default)]
struct Call {
    texts: Vec<Literal>,
    fields: Vec<(usize, String)>,
}

/// Every call whose texts are read.
fn calls(text: &str) -> Vec<Call> {
    let mut pieces = Pieces {
        text,
        at: 0,
        line: 1,
    };
    let mut found = Vec::new();
    let mut before: [Option<Piece>; 2] = [None, None];
    while let Some((piece, _)) = pieces.next() {
        let is_sign =
            |piece: &Option<Piece>, sign| matches!(piece, Some(Piece::Sign(is)) if *is == sign);
        let word = |piece: &Option<Piece>| match piece {
            Some(Piece::Word(word)) => word.clone(),
            _ => String::new(),
        };
        if piece == Piece::Sign('(') {
            let is_macro = is_sign(&before[1], '!') && MACROS.contains(&&*word(&before[0]));
            let is_attribute = is_sign(&before[0], '[') && word(&before[1]) == "error";
            let is_method = is_sign(&before[0], '.') && METHODS.contains(&&*word(&before[1]));
            if is_macro || is_attribute || is_method {
                let has_fields = is_macro && LOG_MACROS.contains(&&*word(&before[0]));
                found.push(arguments(&mut pieces, has_fields));
                before = [None, None];
                continue;
            }
        }
        before = [before[1].take(), Some(piece)];
    }
    found
}

/// Reads up to the closing parenthesis.
fn arguments(pieces: &mut Pieces<'_>, has_fields: bool) -> Call {
    let mut call = Call::default();
    let mut depth = 1;
    let (mut may_begin, mut name): (bool, Option<(usize, String)>) = (true, None);
    while let Some((piece, line)) = pieces.next() {
        match piece {
            Piece::Sign('(' | '[' | '{') => depth += 1,
            Piece::Sign(')' | ']' | '}') => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            Piece::Text(ref text) => call.texts.push(Literal {
                text: text.clone(),
                line,
            }),
            _ => {}
        }
        match piece_sign(&piece) {
            // `name = value`; `%name,` and `name,` are its short forms.
            Some('=' | ',') if depth == 1 && has_fields => call.fields.extend(name.take()),
            _ => name = None,
        }
        if let Piece::Word(word) = &piece
            && may_begin
        {
            name = Some((line, word.clone()));
        }
        // A field's name stands first, or after a comma and the sign of its form.
        may_begin = match piece_sign(&piece) {
            Some(',') => true,
            Some('%' | '?') => may_begin,
            _ => false,
        };
    }
    call
}

fn piece_sign(piece: &Piece) -> Option<char> {
    match piece {
        Piece::Sign(sign) => Some(*sign),
        _ => None,
    }
}

/// A word, a sign or a literal; comments give none.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Word(String),
    Sign(char),
    Text(String),
}

struct Pieces<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Pieces<'_> {
    fn take(&mut self, bytes: usize) -> String {
        let taken = self.text.get(self.at..self.at + bytes).unwrap_or_default();
        self.line += taken.matches('\n').count();
        self.at += bytes.max(1);
        taken.to_owned()
    }

    /// The next piece and its line.
    fn next(&mut self) -> Option<(Piece, usize)> {
        loop {
            let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let first = rest.chars().next()?;
            let line = self.line;
            if rest.starts_with("//") {
                self.take(rest.find('\n').unwrap_or(rest.len()));
            } else if first == '"' {
                let bytes = string_bytes(rest);
                let text = self.take(bytes);
                return Some((Piece::Text(text), line));
            } else if first.is_alphanumeric() || first == '_' {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let word = self.take(end.unwrap_or(rest.len()));
                return Some((Piece::Word(word), line));
            } else if let Some(bytes) = character_bytes(rest) {
                self.take(bytes);
            } else if first.is_whitespace() {
                self.take(first.len_utf8());
            } else {
                self.take(first.len_utf8());
                return Some((Piece::Sign(first), line));
            }
        }
    }
}

/// How long the string literal is that `rest` begins with, with its quotes.
fn string_bytes(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// How long the character literal is that `rest` begins with; `None` for a lifetime.
fn character_bytes(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    if first == '\\' {
        let end = inside.get(2..)?.find('\'')?;
        return Some(1 + 2 + end + 1);
    }
    inside[first.len_utf8()..]
        .starts_with('\'')
        .then(|| 2 + first.len_utf8())
}
