//! `Upload-Concat`.
//!
//! Of a part's URL only the path's end counts: `files` and the upload's key. Scheme and host are
//! not compared, since behind a proxy the client may know this server under another name, and
//! neither is a path prefix, since some proxies take it away. Nothing is lost by it: the key is a
//! secret of 128 bits that means one upload, wherever it stands.

use http::HeaderMap;

use super::names::UPLOAD_CONCAT;
use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// Letters of an id: 128 bits in Base32.
const KEY_LETTERS: usize = 26;

/// An upload's place in a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concat {
    /// It is a part of a file.
    Partial,
    /// It is made of these, in order: the keys of the uploads' URLs. One key may come several
    /// times.
    Final(Vec<String>),
}

/// Reads the field.
pub(super) fn read(headers: &HeaderMap, files_path: &str) -> Result<Option<Concat>, Problem> {
    match fields::single(headers, &UPLOAD_CONCAT)? {
        None | Some("") => Ok(None),
        Some(text) => Concat::parse(text, files_path).map(Some),
    }
}

impl Concat {
    /// Reads `partial` or `final;` and URLs. How many there are is bounded by the length of the
    /// field. `files_path` is the path that uploads live under, such as `/files`.
    ///
    /// # Errors
    /// [`Kind::ConcatInvalid`].
    pub fn parse(text: &str, files_path: &str) -> Result<Self, Problem> {
        let text = text.trim_matches(fields::is_space);
        if text.eq_ignore_ascii_case("partial") {
            return Ok(Self::Partial);
        }
        let (word, urls) = text.split_once(';').ok_or_else(|| {
            refused("Upload-Concat must be \"partial\", or \"final;\" with the parts.")
        })?;
        if !word
            .trim_matches(fields::is_space)
            .eq_ignore_ascii_case("final")
        {
            return Err(refused(
                "Upload-Concat must be \"partial\", or \"final;\" with the parts.",
            ));
        }
        let mut keys = Vec::new();
        for url in urls.split(fields::is_space).filter(|url| !url.is_empty()) {
            match key_of(url, files_path) {
                Some(key) => keys.push(key.to_owned()),
                // The URL is not quoted: were it nearly right, it would be a secret.
                None => {
                    return Err(refused("A URL is not an upload on this server.")
                        .value(keys.len() + 1)
                        .remedy("List each part by the URL in the Location header of its creation. The value is the position of the wrong URL."));
                }
            }
        }
        if keys.is_empty() {
            return Err(refused("Upload-Concat lists no parts."));
        }
        Ok(Self::Final(keys))
    }
}

/// The key in an upload's URL: absolute, absolute path, or relative; with any host and any prefix
/// before `files_path`.
fn key_of<'u>(url: &'u str, files_path: &str) -> Option<&'u str> {
    let path = match url.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/')?.1,
        None => url,
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let (before, key) = path.rsplit_once('/').unwrap_or(("", path));
    let is_key =
        key.len() == KEY_LETTERS && key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    let files_path = files_path.trim_matches('/');
    let is_under_files = before.is_empty()
        || before
            .strip_suffix(files_path)
            .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'));
    (is_key && is_under_files).then_some(key)
}

fn refused(detail: &str) -> Problem {
    Problem::new(Kind::ConcatInvalid).detail(detail)
}
