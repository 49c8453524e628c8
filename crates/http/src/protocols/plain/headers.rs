//! Plain HTTP as it stands on the wire: `PUT /{name}` and the options that any plain upload may
//! carry.
//!
//! - A PUT names the file by the rest of the path; it may be nested, and
//!   `curl -T f http://host/dir/` sends it so.
//! - A PUT with `Content-Range` is refused: RFC 9110 §14.5 asks it of servers that would store the
//!   part as the whole.
//! - A PUT with `Content-Encoding` is refused: the bytes would be stored packed, under a name that
//!   says otherwise.
//! - Limits that a sender sets (`Max-Downloads`, `Max-Days`) are refused if they can't be
//!   kept, never bent: who asks for ten years and gets ten days learns it too late.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use crate::shared::digests::{self, CONTENT_DIGEST, Digest, REPR_DIGEST};
use crate::shared::fields::{self, Disposition};
use crate::shared::names;
use crate::shared::problem::{Kind, Problem};

/// `Max-Downloads`: how often the file may be downloaded.
pub const MAX_DOWNLOADS: HeaderName = HeaderName::from_static("max-downloads");
/// `Max-Days`: for how many days the file is kept.
pub const MAX_DAYS: HeaderName = HeaderName::from_static("max-days");

const DAY_SECONDS: u64 = 86_400;

/// Longest content type that is kept, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// What a plain upload may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lengths of names.
    pub names: names::Limits,
    /// Largest file, in bytes; `None`: as large as the disk holds. Default `None`.
    pub file_bytes_max: Option<u64>,
    /// Largest `Max-Downloads`. Default 1,000,000.
    pub downloads_max: u64,
    /// Largest `Max-Days`. Default 3,650; the operator's own limit on how long files are kept goes
    /// here.
    pub days_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: names::Limits::default(),
            file_bytes_max: None,
            downloads_max: 1_000_000,
            days_max: 3_650,
        }
    }
}

/// What the sender asks for besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// How often the file may be downloaded.
    pub max_downloads: Option<u64>,
    /// How long the file is kept, counted from its completion.
    pub keep: Option<Duration>,
}

impl Options {
    /// Reads the header fields.
    ///
    /// # Errors
    /// [`Kind::OptionInvalid`]; [`Kind::HeaderInvalid`] if one comes twice.
    pub fn read(headers: &HeaderMap, limits: &Limits) -> Result<Self, Problem> {
        let mut options = Self::default();
        for name in [MAX_DOWNLOADS, MAX_DAYS] {
            if let Some(text) = fields::single(headers, &name)? {
                options.set(name.as_str(), text, limits)?;
            }
        }
        Ok(options)
    }

    /// Sets one option by its name, such as a form's text field; a name that is none is not an
    /// error. `_` and `-` are the same, and so are the cases. Answers whether the name is an
    /// option's.
    ///
    /// # Errors
    /// [`Kind::OptionInvalid`].
    pub fn set(&mut self, name: &str, text: &str, limits: &Limits) -> Result<bool, Problem> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        if name == MAX_DOWNLOADS.as_str() {
            self.max_downloads = Some(option(&MAX_DOWNLOADS, text, limits.downloads_max)?);
        } else if name == MAX_DAYS.as_str() {
            let days = option(&MAX_DAYS, text, limits.days_max)?;
            self.keep = Some(Duration::from_secs(days.saturating_mul(DAY_SECONDS)));
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

fn option(name: &HeaderName, text: &str, max: u64) -> Result<u64, Problem> {
    fields::whole_number(text.trim())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| {
            Problem::new(Kind::OptionInvalid)
                .detail(format!("{name} must be a whole number from 1 to {max}."))
                .limit(max)
                .value(text)
        })
}

/// A PUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The file's path inside its new share, cleaned.
    pub path: String,
    /// The file's media type, if the client named one that says something.
    pub content_type: Option<String>,
    /// Its length, if it is told beforehand.
    pub length: Option<u64>,
    /// What the sender asks for besides.
    pub options: Options,
    /// What the file's digest must be; the strongest first.
    pub digests: Vec<Digest>,
}

/// Reads a PUT. `url_path` is the request's path after the server's own prefix, percent-encoded,
/// with or without the leading `/`. Without a name in it, `Content-Disposition` may give one; else
/// the file is called [`NAMELESS`](names::NAMELESS).
///
/// # Errors
/// The kinds of names, options and digests; [`Kind::HeaderInvalid`]; [`Kind::ContentTypeRefused`];
/// [`Kind::TooLarge`].
pub fn put(url_path: &str, headers: &HeaderMap, limits: &Limits) -> Result<Put, Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(
            fields::invalid(&header::CONTENT_RANGE, "not supported for PUT")
                .remedy("Send the whole file, or use a resumable (tus) upload at /files."),
        );
    }
    if let Some(coding) = fields::single(headers, &header::CONTENT_ENCODING)?
        && !matches!(coding.to_ascii_lowercase().as_str(), "" | "identity")
    {
        return Err(Problem::new(Kind::ContentTypeRefused)
            .detail("Content-Encoding is not supported for uploads.")
            .limit("identity")
            .value(coding)
            .remedy("Send the file without Content-Encoding."));
    }
    let length = fields::number(headers, &header::CONTENT_LENGTH)?;
    if let (Some(length), Some(max)) = (length, limits.file_bytes_max)
        && length > max
    {
        return Err(Problem::too_large(max).value(length));
    }
    let mut digests = digests::read(headers, &REPR_DIGEST)?;
    // The body is the whole file, so both fields speak of the same bytes.
    digests.extend(digests::read(headers, &CONTENT_DIGEST)?);
    Ok(Put {
        path: path(url_path, headers, limits)?,
        content_type: content_type(headers)?,
        length,
        options: Options::read(headers, limits)?,
        digests,
    })
}

fn path(url_path: &str, headers: &HeaderMap, limits: &Limits) -> Result<String, Problem> {
    if !url_path.trim_matches('/').is_empty() {
        return names::from_url_path(url_path, &limits.names);
    }
    let given = headers
        .get(header::CONTENT_DISPOSITION)
        .and_then(|value| Disposition::parse(value.as_bytes()).filename);
    match given {
        Some(name) => names::name(&name, &limits.names),
        None => Ok(names::NAMELESS.to_owned()),
    }
}

/// The media type without parameters. What clients send when they do not know is no type:
/// `application/octet-stream`, and the form type that curl's `--data-binary` sets.
///
/// # Errors
/// [`Kind::HeaderInvalid`] if the field comes twice or is not ASCII.
pub fn content_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    Ok(fields::single(headers, &header::CONTENT_TYPE)?
        .filter(|text| text.len() <= CONTENT_TYPE_BYTES_MAX)
        .map(fields::media_type)
        .filter(|text| {
            !matches!(
                text.as_str(),
                "application/octet-stream" | "application/x-www-form-urlencoded"
            ) && text
                .split_once('/')
                .is_some_and(|(top, sub)| fields::is_token(top) && fields::is_token(sub))
        }))
}
