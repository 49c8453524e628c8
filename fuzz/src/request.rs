//! The form in which a request stands in the corpus: a first line, then `name: value` lines.
//!
//! Text, so that a seed can be written and read by people, and so that mutations of a text are
//! mostly requests again. A line that is no field is left out, as a server would have refused it
//! before any of the code under test.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A request out of the corpus.
pub(crate) struct Request {
    /// The first line, which each target reads as it needs.
    pub(crate) first: String,
    /// The fields.
    pub(crate) headers: HeaderMap,
}

/// A server takes no more fields than this, so a target needs no more.
const FIELDS_MAX: usize = 100;

impl Request {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (first, mut rest) = line(bytes);
        let mut headers = HeaderMap::new();
        while !rest.is_empty() && headers.len() < FIELDS_MAX {
            let (field, after) = line(rest);
            rest = after;
            let Some(colon) = field.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let name = HeaderName::from_bytes(field[..colon].trim_ascii());
            let value = HeaderValue::from_bytes(field[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        Self {
            first: String::from_utf8_lossy(first).into_owned(),
            headers,
        }
    }

    /// The same request without some fields.
    pub(crate) fn without(&self, names: &[&str]) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in names {
            headers.remove(*name);
        }
        headers
    }
}

/// A line without its end, and what follows it.
pub(crate) fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}
