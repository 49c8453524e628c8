//! What a source says without its tests.
//!
//! Tests may know more of their neighbours than the code does, so rules about who knows whom leave
//! out every item under `#[cfg(test)]`, in the middle of a file too.

use super::tokens::Token;

/// Keywords of items that end with `;` only: a brace in them is a value or a group of names.
const END_AT_SEMICOLON: &[&str] = &["const", "let", "static", "type", "use"];
/// Keywords of items that end with `;` or with their braces.
const END_AT_BRACE: &[&str] = &[
    "enum",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "struct",
    "trait",
    "union",
];

/// The tokens that do not lie in an item for tests only.
pub(crate) fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_for_tests(&tokens[at..], true) {
            // `#![cfg(test)]` at its head: the whole file.
            return kept;
        }
        if is_for_tests(&tokens[at..], false) {
            at = end_of_item(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Whether an attribute that leaves something to tests begins there. What is also there under
/// another condition (`any`) is shipped.
fn is_for_tests(tokens: &[Token<'_>], of_file: bool) -> bool {
    let hash: &[&str] = if of_file { &["#", "!"] } else { &["#"] };
    [
        &["[", "cfg", "(", "test", ")"][..],
        &["[", "cfg", "(", "all", "(", "test"][..],
    ]
    .iter()
    .any(|cfg| {
        let wanted = hash.iter().chain(*cfg);
        tokens.len() >= hash.len() + cfg.len()
            && wanted.zip(tokens).all(|(text, token)| *text == token.text)
    })
}

/// Where the item whose attributes begin at `at` has ended.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while text(tokens, at) == "#" {
        at = past_brackets(tokens, at + 1);
    }
    let is_keyword = |token: &&Token<'_>| {
        END_AT_SEMICOLON.contains(&token.text) || END_AT_BRACE.contains(&token.text)
    };
    // Words that may stand before the keyword: `pub(in a::b)`, `unsafe`, `async`, `extern`.
    let is_before = |token: &&Token<'_>| token.is_word() || ["(", ")", "::"].contains(&token.text);
    let mut head = tokens.iter().skip(at).take_while(is_before);
    let keyword = head.find(is_keyword).map(|token| token.text);
    let is_function = keyword == Some("const") && head.next().is_some_and(|next| next.text == "fn");
    let at_brace = keyword.is_none_or(|word| is_function || END_AT_BRACE.contains(&word));
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            // A field, a variant, or an arm of a match.
            "," if keyword.is_none() => return at + 1,
            "}" => return at,
            "{" if at_brace => return past_brackets(tokens, at),
            "(" | "[" | "{" => at = past_brackets(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Where the brackets that open at `at` are closed.
fn past_brackets(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn text<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::without_tests;

    fn shipped(text: &str) -> String {
        let kept = without_tests(&tokens(text));
        let words: Vec<_> = kept.iter().map(|token| token.text).collect();
        words.join(" ")
    }

    #[test]
    fn items_for_tests_are_left_out_to_their_end() {
        for item in [
            "mod tests { fn f() { {} } }",
            "mod tests;",
            "use crate::{a, b};",
            "pub(in crate::a) fn f<A, B>(a: A) -> [u8; 2] { a; }",
            "const fn f() -> u8 { 1 }",
            "const A: Cup = Cup { a: [1; 2], b };",
            "struct Cup;",
            "struct Cup { a: u8, b: u8 }",
            "struct Cup(u8, u8);",
            "#[allow(unused)] impl Cup { fn f() {} }",
            "field: Vec<u8>,",
            "Cup::Full => { fill(a, b) }",
            "Cup::Full => fill(a, b),",
        ] {
            let text = format!("before #[cfg(test)] {item} after");
            assert_eq!(shipped(&text), "before after", "{item}");
            let text = format!("x {{ #[cfg(all(test, unix))] {item} }} after");
            assert_eq!(shipped(&text), "x { } after", "{item}");
        }
        assert_eq!(shipped("a { #[cfg(test)] last: u8 } b"), "a { } b");
    }

    #[test]
    fn a_file_for_tests_is_left_out_whole() {
        assert_eq!(shipped("#![cfg(test)] fn f() {}"), "");
    }

    #[test]
    fn what_is_shipped_stays() {
        for text in [
            "# [ cfg ( unix ) ] fn f ( ) { }",
            "# [ cfg ( any ( test , unix ) ) ] fn f ( ) { }",
            "# [ cfg ( not ( test ) ) ] fn f ( ) { }",
            "fn f ( ) { test ( ) }",
        ] {
            assert_eq!(shipped(text), text);
        }
    }
}
