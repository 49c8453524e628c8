//! `Content-Disposition` as clients send it: in the parts of a form (RFC 7578), and with a file of
//! its own (RFC 6266).
//!
//! Clients do not agree on how a quote stands in a name, so this is not
//! [`parameters`](super::parameters):
//!
//! - `\"` and `\\` are unescaped, any other backslash stays: old browsers send `C:\dir\file` as it
//!   is.
//! - `%22`, `%0D` and `%0A` are decoded in `filename`, since browsers encode just these; any other
//!   `%` stays.
//! - `filename*` (RFC 8187) wins. RFC 7578 forbids it in forms, and Python's clients send it
//!   nevertheless.
//! - A name in another encoding than UTF-8 is kept as far as it can be read.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// One field, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disposition {
    /// `form-data`, `attachment`, … in lower case.
    pub kind: String,
    /// The form field's name.
    pub name: Option<String>,
    /// The file's name, as given: not cleaned, and possibly a path.
    pub filename: Option<String>,
}

impl Disposition {
    /// Reads the field's value. Whatever it is, there is a result; what can't be read is absent.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let (kind, mut rest) = text.split_once(';').unwrap_or((&text, ""));
        let mut read = Self {
            kind: kind.trim().to_ascii_lowercase(),
            ..Self::default()
        };
        let mut extended = None;
        while let Some((key, value, after)) = parameter(rest) {
            rest = after;
            // The first of a kind counts, as in browsers.
            match key.as_str() {
                "name" => {
                    read.name = read
                        .name
                        .or_else(|| Some(decode_quotes(value).into_owned()))
                }
                "filename" => {
                    read.filename = read
                        .filename
                        .or_else(|| Some(decode_quotes(value).into_owned()));
                }
                "filename*" => extended = extended.or_else(|| extended_value(&value)),
                _ => {}
            }
        }
        read.filename = extended.or(read.filename);
        read
    }
}

/// The next `key=value`, the key in lower case, and what follows it.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let text = text.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
    if text.is_empty() {
        return None;
    }
    let end = text.find(['=', ';']).unwrap_or(text.len());
    let key = text[..end].trim().to_ascii_lowercase();
    let Some(value) = text[end..].strip_prefix('=').map(str::trim_start) else {
        return Some((key, String::new(), &text[end..]));
    };
    if let Some(quoted) = value.strip_prefix('"') {
        let (value, after) = quoted_value(quoted);
        // Between the closing quote and the next `;` there is nothing to read.
        let next = after.find(';').unwrap_or(after.len());
        return Some((key, value, &after[next..]));
    }
    let end = value.find(';').unwrap_or(value.len());
    Some((key, value[..end].trim_end().to_owned(), &value[end..]))
}

fn quoted_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.peek() {
                Some((_, next @ ('"' | '\\'))) => {
                    value.push(*next);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            _ => value.push(c),
        }
    }
    (value, "")
}

fn decode_quotes(value: String) -> Cow<'static, str> {
    if !value.contains('%') {
        return Cow::Owned(value);
    }
    Cow::Owned(
        value
            .replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0A", "\n"),
    )
}

/// `UTF-8'en'%C3%BC.txt`; ISO-8859-1 is read as well, any other charset is not.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let bytes = percent_decode_str(encoded);
    if charset.eq_ignore_ascii_case("utf-8") {
        Some(bytes.decode_utf8_lossy().into_owned())
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.map(char::from).collect())
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filename(value: &str) -> Option<String> {
        Disposition::parse(value.as_bytes()).filename
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (value, expected) in [
            (r#"form-data; name="f"; filename="a.txt""#, "a.txt"),
            (r#"form-data; filename=a.txt; name=f"#, "a.txt"),
            (r#"form-data; filename="a;b\"c\\d.txt""#, r#"a;b"c\d.txt"#),
            (r#"form-data; filename="a%22b%41.txt""#, "a\"b%41.txt"),
            (r#"form-data; filename="C:\dir\file""#, r"C:\dir\file"),
            (r#"form-data; filename="ü.txt""#, "ü.txt"),
            (
                r#"form-data; filename="x"; filename*=utf-8''%C3%BC.txt"#,
                "ü.txt",
            ),
            (
                r#"form-data; filename*=UTF-8'de'%C3%BC"; filename="x""#,
                "ü\"",
            ),
            (r#"attachment; FILENAME = "a b" ; x"#, "a b"),
            (r#"attachment; filename*=iso-8859-1''%fc; filename=x"#, "ü"),
            (r#"attachment; filename*=koi8-r''%fc; filename=x"#, "x"),
            (r#"attachment; filename="not closed"#, "not closed"),
            (
                r#"attachment; filename="first"; filename="second""#,
                "first",
            ),
        ] {
            assert_eq!(filename(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(filename("attachment"), None);
        assert_eq!(
            Disposition::parse(b"Form-Data ; name=\"a\"").kind,
            "form-data"
        );
        assert_eq!(
            Disposition::parse(b"form-data; filename=\"a\xff\"")
                .filename
                .unwrap(),
            "a\u{fffd}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Disposition::parse(&value);
        }

        #[test]
        fn odd_texts_are_read(value in "[a;=\"\\\\ '*%]{0,30}") {
            let _ = Disposition::parse(value.as_bytes());
            let _ = Disposition::parse(format!("form-data; filename={value}").as_bytes());
        }

        #[test]
        fn an_escaped_name_comes_back(name in "[^%\r\n]{0,40}") {
            let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(filename(&format!("form-data; filename=\"{escaped}\"; name=\"x\"")), Some(name.clone()));
            let encoded = crate::shared::names::encode_segment(&name);
            prop_assert_eq!(filename(&format!("form-data; filename=\"x\"; filename*=UTF-8''{encoded}")), Some(name));
        }
    }
}
