//! The syntax that header fields share (RFC 9110 §5.6): one value, whole numbers, lists,
//! parameters, quoted strings, dates.
//!
//! Why one place: each protocol here reads such fields, and two readers that disagree about a comma
//! inside quotes or about a field sent twice are how requests get smuggled. The rule is strict
//! where a guess could do harm (a field that may come once and comes twice is refused, a number is
//! digits and nothing else) and lenient where it can't (white space, empty list members, letter
//! case of names).

mod disposition;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

pub use disposition::Disposition;

use crate::shared::problem::{Kind, Problem};

/// Largest whole number taken from a field: the catalog and every client language can hold it.
pub const NUMBER_MAX: u64 = i64::MAX as u64;

/// The link of a new share, for scripts.
pub const X_URL_SHARE: HeaderName = HeaderName::from_static("x-url-share");
/// The URL that deletes what was just sent. Who has it may delete.
pub const X_URL_DELETE: HeaderName = HeaderName::from_static("x-url-delete");
/// The file's id in the API.
pub const X_FILE_ID: HeaderName = HeaderName::from_static("x-file-id");
/// The share's id, as it stands in its link.
pub const X_SHARE_ID: HeaderName = HeaderName::from_static("x-share-id");

/// The value of a field that may come once.
///
/// # Errors
/// [`Kind::HeaderInvalid`] if it comes more than once or is not visible ASCII.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid(name, "sent more than once"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches(is_space))),
        Err(_) => Err(invalid(name, "has non-ASCII characters")),
    }
}

/// All lines of a list-valued field as one, in order; `None` if there is no such field.
///
/// # Errors
/// [`Kind::HeaderInvalid`] if it is not visible ASCII.
pub fn joined<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<Cow<'h, str>>, Problem> {
    let mut joined: Option<Cow<'h, str>> = None;
    for value in headers.get_all(name) {
        let Ok(text) = value.to_str() else {
            return Err(invalid(name, "has non-ASCII characters"));
        };
        joined = Some(match joined {
            None => Cow::Borrowed(text),
            Some(before) => Cow::Owned(format!("{before},{text}")),
        });
    }
    Ok(joined)
}

/// A refusal of this field.
#[must_use]
pub fn invalid(name: &HeaderName, why: &str) -> Problem {
    Problem::new(Kind::HeaderInvalid).detail(format!("{name}: {why}"))
}

/// A whole number up to [`NUMBER_MAX`]: one or more digits, nothing else. No sign: Go's parser
/// takes `+5`, and proxies may not.
#[must_use]
pub fn whole_number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= NUMBER_MAX)
}

/// A whole number in a field that may come once.
///
/// # Errors
/// [`Kind::HeaderInvalid`] if it is anything else.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    single(headers, name)?
        .map(|text| {
            whole_number(text).ok_or_else(|| {
                invalid(name, "not a whole number")
                    .limit(NUMBER_MAX)
                    .value(text)
            })
        })
        .transpose()
}

/// The pieces of `text` between separators, trimmed, without empty ones. A separator inside a
/// quoted string is text.
pub fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (piece, after) = cut_unquoted(text, separator);
            rest = after;
            let piece = piece.trim_matches(is_space);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    })
}

/// `text` before and after the first separator that is not inside a quoted string.
fn cut_unquoted(text: &str, separator: char) -> (&str, Option<&str>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if c == separator && !quoted {
            return (&text[..at], Some(&text[at + c.len_utf8()..]));
        }
    }
    (text, None)
}

/// `name=value` pairs separated by `;`. Names are given in lower case, values without their quotes.
/// A piece without `=` has an empty value.
pub fn parameters(text: &str) -> impl Iterator<Item = (String, Cow<'_, str>)> {
    split(text, ';').map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (
            name.trim_matches(is_space).to_ascii_lowercase(),
            unquote(value.trim_matches(is_space)),
        )
    })
}

/// The text of a quoted string; any other text as it is.
#[must_use]
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text
        .strip_prefix('"')
        .map(|rest| rest.strip_suffix('"').unwrap_or(rest))
    else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(c);
            escaped = false;
        }
    }
    Cow::Owned(plain)
}

/// A media type without its parameters, in lower case.
#[must_use]
pub fn media_type(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_matches(is_space)
        .to_ascii_lowercase()
}

/// Whether `text` is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A date as HTTP writes it; a fraction of a second is cut off. Times before 1970 or after 9999 are
/// moved to these ends.
#[must_use]
pub fn date(at_ms: i64) -> HeaderValue {
    /// 9999-12-31T23:59:59Z, the last second that the format can write.
    const SECONDS_MAX: u64 = 253_402_300_799;
    let seconds = u64::try_from(at_ms.div_euclid(1000))
        .unwrap_or(0)
        .min(SECONDS_MAX);
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// The seconds since 1970 that a date stands for; all three formats that RFC 9110 §5.6.7 asks
/// receivers to read.
#[must_use]
pub fn date_seconds(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Optional white space between parts of a field.
#[must_use]
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}
