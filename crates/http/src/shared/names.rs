//! Names and relative paths as people give them.
//!
//! A name is for showing, for the last part of a link, and for the receiver's "save as". It is
//! never a path on this server's disk: bytes are stored under random ids. So the rules here protect
//! the receiver and the page, not the store, and they are few: an upload must not fail because a
//! file is oddly named.
//!
//! - Shown as given: no Unicode normalization, no change of case, no trimming. Two names that
//!   differ only in their normalization are two files.
//! - Cleaned: control characters, line and paragraph separators, and the characters that turn the
//!   direction of the text around (they make `gpj.exe` look like `exe.jpg`) become `_`; macOS
//!   really makes files named `Icon\r`. `.` and empty parts of a path go.
//! - `\` separates like `/`. On Windows it does, and `..\..\x` would be dangerous there. A Unix
//!   file with a backslash in its name becomes a file in a folder; that loses nothing.
//! - Refused, never guessed: `..`, a path that begins with a drive (`C:\a`), nothing at all, and
//!   what is too long.
//! - Not refused: `CON`, `a.` and other names that Windows can't have. The receiver's browser
//!   renames them, and most receivers can have them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::shared::problem::{Kind, Problem};

/// The name of a file that came without one.
pub const NAMELESS: &str = "file";

/// Everything but the unreserved characters of RFC 3986: more than a path needs, so that chats and
/// mail programs, which end a link at a bracket or a quote, keep it whole.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long names may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of UTF-8 in a name or in one part of a path. Default 255, which is what most file
    /// systems hold.
    pub name_bytes_max: usize,
    /// Bytes of UTF-8 in a whole relative path. Default 1,024.
    pub path_bytes_max: usize,
    /// Parts of a relative path. Default 64.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 255,
            path_bytes_max: 1_024,
            depth_max: 64,
        }
    }
}

/// The name of one file: the last part of what was given, since some clients send the sender's
/// whole path (`C:\fakepath\a.txt`).
///
/// # Errors
/// [`Kind::NameRefused`] if nothing is left or the last part is `..`; [`Kind::NameTooLong`].
pub fn name(given: &str, limits: &Limits) -> Result<String, Problem> {
    let last = given
        .trim_end_matches(is_separator)
        .rsplit(is_separator)
        .next()
        .unwrap_or_default();
    if last == "." {
        return Err(refused("The name is a dot."));
    }
    segment(last, limits).map(Cow::into_owned)
}

/// A path inside a share, parts separated by `/`, without a leading one.
///
/// # Errors
/// [`Kind::NameRefused`] for `..`, a drive letter, or nothing at all; [`Kind::NameTooLong`].
pub fn relative_path(given: &str, limits: &Limits) -> Result<String, Problem> {
    if given.len() > limits.path_bytes_max {
        return Err(too_long("the path", given.len(), limits.path_bytes_max));
    }
    let mut path = String::with_capacity(given.len());
    let mut depth = 0;
    // A leading separator is not refused: `FileSystemEntry.fullPath` of browsers begins with one.
    for part in given
        .split(is_separator)
        .filter(|part| !matches!(*part, "" | "."))
    {
        if depth == 1 && is_drive(&path) {
            return Err(refused("The path starts with a drive letter."));
        }
        depth += 1;
        if depth > limits.depth_max {
            return Err(Problem::new(Kind::NameTooLong)
                .detail(format!(
                    "Too many nested folders (limit {}).",
                    limits.depth_max
                ))
                .limit(limits.depth_max)
                .remedy("Use fewer nested folders."));
        }
        let part = segment(part, limits)?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&part);
    }
    if path.is_empty() {
        return Err(refused("The name is empty."));
    }
    Ok(path)
}

/// A path inside a share out of a URL's path, percent-encoded.
///
/// `%2F` separates like `/`; bytes that are not UTF-8 become U+FFFD, so that a file with a name in
/// another encoding can be sent and found again under the link that was given for it.
///
/// # Errors
/// Those of [`relative_path`].
pub fn from_url_path(encoded: &str, limits: &Limits) -> Result<String, Problem> {
    relative_path(&decode(encoded), limits)
}

/// The text that a percent-encoded part of a URL stands for. A `%` without two digits stays as it
/// is.
#[must_use]
pub fn decode(encoded: &str) -> Cow<'_, str> {
    percent_decode_str(encoded).decode_utf8_lossy()
}

/// One part of a path, for a link.
#[must_use]
pub fn encode_segment(part: &str) -> String {
    utf8_percent_encode(part, SEGMENT).to_string()
}

/// A path inside a share, for a link: `/` stays.
#[must_use]
pub fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for (at, part) in path.split('/').enumerate() {
        if at > 0 {
            encoded.push('/');
        }
        encoded.extend(utf8_percent_encode(part, SEGMENT));
    }
    encoded
}

/// The last part of a path: what a receiver saves the file as.
#[must_use]
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The same text without the characters that a name can't have.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unshowable) {
        Cow::Owned(
            text.chars()
                .map(|c| if is_unshowable(c) { '_' } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

fn segment<'n>(part: &'n str, limits: &Limits) -> Result<Cow<'n, str>, Problem> {
    if part.trim().is_empty() {
        return Err(refused("The name is empty."));
    }
    if part == ".." {
        return Err(refused("The path leads out of its folder."));
    }
    // Cleaning never makes a name longer: `_` is one byte.
    if part.len() > limits.name_bytes_max {
        return Err(too_long("The name", part.len(), limits.name_bytes_max));
    }
    Ok(clean(part))
}

/// `C:` and no more: a file may well be called `a: notes.txt`.
fn is_drive(part: &str) -> bool {
    matches!(part.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | '\\')
}

/// Control characters (C0, DEL, C1), line and paragraph separator, and the embeddings, overrides
/// and isolates of the bidirectional algorithm. The marks U+200E and U+200F stay: they turn nothing
/// around.
fn is_unshowable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn refused(detail: &str) -> Problem {
    Problem::new(Kind::NameRefused).detail(detail)
}

fn too_long(what: &str, bytes: usize, limit: usize) -> Problem {
    Problem::new(Kind::NameTooLong)
        .detail(format!(
            "{what} is too long ({bytes} bytes, limit {limit})."
        ))
        .limit(limit)
        .value(bytes)
}
