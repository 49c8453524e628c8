//! Entity tags (RFC 9110 §8.8.3).

use http::HeaderValue;

use crate::shared::fields;

/// An entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag {
    weak: bool,
    opaque: String,
}

impl ETag {
    /// A strong tag. Characters that a tag can't have are left out, so give it an id or a digest in
    /// letters and digits.
    #[must_use]
    pub fn strong(opaque: &str) -> Self {
        Self {
            weak: false,
            opaque: opaque.chars().filter(|c| is_etag_char(*c)).collect(),
        }
    }

    /// Reads one tag.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(fields::is_space);
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
        opaque.chars().all(is_etag_char).then(|| Self {
            weak,
            opaque: opaque.to_owned(),
        })
    }

    /// Reads a list of tags; what is none is skipped. There is no escape in a tag, and a comma may
    /// stand in one.
    pub fn list(text: &str) -> impl Iterator<Item = Self> {
        let mut rest = text;
        std::iter::from_fn(move || {
            loop {
                rest = rest.trim_start_matches(|c| fields::is_space(c) || c == ',');
                if rest.is_empty() {
                    return None;
                }
                let open = rest.find(['"', ',']).unwrap_or(rest.len());
                let end = if rest[open..].starts_with('"') {
                    let close = rest[open + 1..].find('"').map(|at| open + 1 + at + 1);
                    close.unwrap_or(rest.len())
                } else {
                    open
                };
                let (tag, after) = rest.split_at(end);
                rest = after;
                if let Some(tag) = Self::parse(tag) {
                    return Some(tag);
                }
            }
        })
    }

    /// Both strong and equal: the same bytes.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Equal but for strength: as good as the same.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The tag as a field's value.
    #[must_use]
    pub fn to_value(&self) -> HeaderValue {
        let weak = if self.weak { "W/" } else { "" };
        // `parse` and `strong` leave only characters that a field can have.
        HeaderValue::try_from(format!("{weak}\"{}\"", self.opaque))
            .unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Visible ASCII without the quote. The grammar's other bytes (obs-text) never come from this
/// server.
fn is_etag_char(c: char) -> bool {
    matches!(c, '!' | '#'..='~')
}
