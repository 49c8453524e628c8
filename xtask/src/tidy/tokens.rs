//! Rust text as a row of words and signs, without comments and literals.
//!
//! A full parser would refuse a file that does not compile yet and would pull a parser crate into
//! every build of the chores; plain text search would take the word in a comment for the thing. The
//! rules need only words in order, so this is a lexer of the parts that can hide or fake them.

/// A word (identifier or keyword) or a sign, with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The text: a whole word, `::`, or one character.
    pub(crate) text: &'a str,
    /// Line from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    /// Whether this is an identifier or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Cuts `text` into tokens. Comments, strings, characters and numbers give none; a lifetime gives
/// its tick's word away as nothing, too.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner {
        text,
        at: 0,
        line: 1,
    };
    let mut found = Vec::new();
    while let Some(token) = scanner.next_token() {
        found.push(token);
    }
    found
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        self.line += self.text[self.at..end].matches('\n').count();
        self.at = end;
    }

    /// Skips up to and with the first `end`, from `from` bytes on; to the end of the text if there
    /// is none.
    fn skip_past(&mut self, from: usize, end: &str) {
        let rest = self.rest();
        let bytes = rest
            .get(from..)
            .and_then(|tail| tail.find(end))
            .map_or(rest.len(), |at| from + at + end.len());
        self.skip(bytes);
    }

    fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            let first = rest.chars().next()?;
            if rest.starts_with("//") {
                self.skip_past(0, "\n");
            } else if rest.starts_with("/*") {
                self.skip_block_comment();
            } else if let Some(hashes) = raw_string(rest) {
                self.skip_past(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
            } else if first == '"' || rest.starts_with("b\"") || rest.starts_with("c\"") {
                self.skip_string();
            } else if first == '\'' || rest.starts_with("b'") {
                self.skip_character_or_lifetime();
            } else if first.is_alphabetic() || first == '_' {
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                return Some(self.take(end));
            } else if first.is_ascii_digit() {
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                self.skip(end);
            } else if rest.starts_with("::") {
                return Some(self.take(2));
            } else if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else {
                return Some(self.take(first.len_utf8()));
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Token<'a> {
        let token = Token {
            text: &self.rest()[..bytes],
            line: self.line,
        };
        self.skip(bytes);
        token
    }

    /// Block comments nest in Rust.
    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return;
            }
            if rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(rest.chars().next().map_or(1, char::len_utf8));
            }
        }
    }

    fn skip_string(&mut self) {
        let rest = self.rest();
        let start = rest.find('"').map_or(0, |at| at + 1);
        let mut escaped = false;
        for (at, c) in rest[start..].char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == '"' {
                return self.skip(start + at + 1);
            }
        }
        self.skip(rest.len());
    }

    /// `'a'`, `'\n'`, `b'"'` are literals; `'a` without a closing tick is a lifetime.
    fn skip_character_or_lifetime(&mut self) {
        let rest = self.rest();
        let tick = rest.find('\'').map_or(0, |at| at + 1);
        let body = &rest[tick..];
        let mut characters = body.char_indices();
        match (characters.next(), characters.next()) {
            (Some((_, '\\')), Some((_, escape))) => {
                self.skip_past(tick + 1 + escape.len_utf8(), "'")
            }
            (Some(_), Some((at, '\''))) => self.skip(tick + at + 1),
            _ => {
                let end = body
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(body.len());
                self.skip(tick + end);
            }
        }
    }
}

/// The number of `#` of a raw string that starts here (`r"`, `r#"`, `br##"`), if one does.
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest
        .strip_prefix("br")
        .or_else(|| rest.strip_prefix("cr"))
        .or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    body[hashes..].starts_with('"').then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_hide_nothing_and_fake_nothing() {
        let text = r####"a /* tokio /* nested */ todo!() */ b // axum
            "x \" tokio::" c r#"hyper " "# d 'y' '\'' b'"' e 0x_ffu8 f"####;
        assert_eq!(words(text), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn lifetimes_are_no_open_literals() {
        assert_eq!(
            words("fn x<'a>(y: &'a str) { z }"),
            "fn x < > ( y : & str ) { z }"
                .split(' ')
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("\"a\nb\"\n/* \n */ x\n  y::z");
        let places: Vec<_> = found.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(places, [("x", 4), ("y", 5), ("::", 5), ("z", 5)]);
    }

    #[test]
    fn an_unfinished_literal_ends_the_file_and_no_more() {
        assert_eq!(words("a \"never closed"), ["a"]);
        assert_eq!(words("a r#\"never closed"), ["a"]);
        assert_eq!(words("a '"), ["a"]);
        assert_eq!(words("a /* never closed"), ["a"]);
    }
}
