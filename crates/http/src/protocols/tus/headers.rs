//! tus 1.0.0 as it stands on the wire: requests into typed values, answers into header fields. No
//! upload is touched here.
//!
//! The rule: what the protocol says, and where it is silent or real clients differ, what keeps
//! their bytes. The doubtful corners and how they are settled (tusd is the server that most clients
//! were tried against):
//!
//! - `Tus-Resumable` is asked for on every method but OPTIONS, HEAD and GET. A browser may open an
//!   upload's URL; tusd does the same. A HEAD that names another version is refused, as the text
//!   has it.
//! - `X-HTTP-Method-Override` counts on POST only, although the text says "the actual method MUST
//!   be ignored": a GET that deletes is a trap for caches and link previews. It may say PATCH,
//!   DELETE or HEAD.
//! - PATCH with another content type is 415 (text); tusd says 400. Parameters after the type are
//!   ignored: some HTTP libraries append a charset on their own.
//! - POST with another content type has no first chunk: its body, if any, is not looked at (tusd).
//!   Libraries put a default type on empty bodies, and a client that meant a chunk sees that the
//!   answer has no `Upload-Offset`.
//! - A final upload with a first chunk is 403 (tusd). Its `Upload-Length`, which a client must not
//!   send, is ignored (tusd).
//! - Metadata that is malformed is refused; tusd skips such pairs, and the file loses its name
//!   without a word. Padding may be missing. Empty pairs (a comma too many) are skipped. Several
//!   field lines are one list (RFC 9110).
//! - The value of `Upload-Checksum` is the raw digest; CRC-32 as four bytes, most significant
//!   first. The text of the digest in hexadecimal, which some clients encode, has the wrong size
//!   and is refused with that advice.
//! - A trailer that was announced and does not come fails the request: the bytes can't be verified,
//!   so they don't count.
//! - Whole numbers have digits only, up to 2^63 − 1. A field that comes twice is refused, even with
//!   equal values.

mod answers;
mod checksum;
mod concat;
mod limits;
mod metadata;
mod names;

use http::{HeaderMap, HeaderValue, Method, header};

pub use answers::{Capabilities, UploadState, created, head, options, patched, terminated};
pub use checksum::{ALGORITHMS, Checksum, trailing};
pub use concat::Concat;
pub use limits::Limits;
pub use metadata::Metadata;
pub use names::{
    CHUNK_TYPE, EXTENSIONS, METHOD_OVERRIDE, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE,
    TUS_RESUMABLE, TUS_VERSION, UPLOAD_CHECKSUM, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH,
    UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, VERSION,
};

use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// What a client says about an upload's length when it creates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This many bytes.
    Known(u64),
    /// Told later, with a PATCH.
    Deferred,
    /// The sum of the parts: the upload is a final one.
    OfParts,
}

/// A POST that creates an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Its length.
    pub length: Length,
    /// Its metadata.
    pub metadata: Metadata,
    /// Whether it is a part, or made of parts.
    pub concat: Option<Concat>,
    /// Whether the body is the upload's first chunk.
    pub has_chunk: bool,
    /// The checksum of that chunk.
    pub checksum: Option<Checksum>,
    /// The checksum of that chunk comes as a trailer.
    pub checksum_in_trailer: bool,
}

/// A PATCH that appends a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where the chunk begins, in bytes.
    pub offset: u64,
    /// The upload's length, if it was deferred and is told now.
    pub length: Option<u64>,
    /// The checksum of the chunk.
    pub checksum: Option<Checksum>,
    /// The checksum of the chunk comes as a trailer.
    pub checksum_in_trailer: bool,
}

/// The method that a request means.
///
/// # Errors
/// [`Kind::HeaderInvalid`] if the override names a method that it may not.
pub fn method(method: &Method, headers: &HeaderMap) -> Result<Method, Problem> {
    if method != Method::POST {
        return Ok(method.clone());
    }
    match fields::single(headers, &METHOD_OVERRIDE)? {
        None => Ok(Method::POST),
        // Methods are case-sensitive, but this is a header that scripts write by hand.
        Some(text) => match text.to_ascii_uppercase().as_str() {
            "" | "POST" => Ok(Method::POST),
            "PATCH" => Ok(Method::PATCH),
            "DELETE" => Ok(Method::DELETE),
            "HEAD" => Ok(Method::HEAD),
            "OPTIONS" => Ok(Method::OPTIONS),
            _ => Err(
                fields::invalid(&METHOD_OVERRIDE, "the method is not allowed here")
                    .limit("PATCH, DELETE, HEAD, OPTIONS")
                    .value(text),
            ),
        },
    }
}

/// Holds the request to version 1.0.0.
///
/// # Errors
/// [`Kind::TusVersion`], with the field `Tus-Version`.
pub fn version(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method == Method::OPTIONS || method == Method::GET {
        return Ok(());
    }
    let given = fields::single(headers, &TUS_RESUMABLE)?;
    match given {
        Some(VERSION) => Ok(()),
        None if method == Method::HEAD => Ok(()),
        _ => Err(Problem::new(Kind::TusVersion)
            .limit(VERSION)
            .value(given.unwrap_or("none"))
            .field(TUS_VERSION, HeaderValue::from_static(VERSION))),
    }
}

/// Reads a POST. `files_path` is the path that uploads live under, such as `/files`.
///
/// # Errors
/// The kinds of length, metadata, concatenation and checksum; [`Kind::TooLarge`];
/// [`Kind::FinalUpload`].
pub fn creation(
    headers: &HeaderMap,
    files_path: &str,
    limits: &Limits,
) -> Result<Creation, Problem> {
    let concat = concat::read(headers, files_path)?;
    let has_chunk = is_chunk(headers)?;
    let length = match concat {
        Some(Concat::Final(_)) if has_chunk => return Err(Kind::FinalUpload.into()),
        Some(Concat::Final(_)) => Length::OfParts,
        _ => length(headers, limits)?,
    };
    let (checksum, checksum_in_trailer) = if has_chunk {
        checksum::read(headers)?
    } else {
        (None, false)
    };
    Ok(Creation {
        length,
        metadata: Metadata::read(headers, limits)?,
        concat,
        has_chunk,
        checksum,
        checksum_in_trailer,
    })
}

/// Reads a PATCH.
///
/// # Errors
/// [`Kind::ContentTypeRefused`]; [`Kind::HeaderInvalid`] without an offset;
/// [`Kind::LengthInvalid`]; [`Kind::TooLarge`]; [`Kind::BeyondLength`] if the offset lies past the
/// length that is told with it; the kinds of checksums.
pub fn append(headers: &HeaderMap, limits: &Limits) -> Result<Append, Problem> {
    if !is_chunk(headers)? {
        let given = fields::single(headers, &header::CONTENT_TYPE)?.unwrap_or("none");
        return Err(Problem::new(Kind::ContentTypeRefused)
            .limit(CHUNK_TYPE)
            .value(given));
    }
    let Some(offset) = fields::number(headers, &UPLOAD_OFFSET)? else {
        return Err(fields::invalid(&UPLOAD_OFFSET, "it is missing"));
    };
    let length = known_length(headers, limits)?;
    if let Some(length) = length.filter(|length| *length < offset) {
        return Err(Problem::new(Kind::BeyondLength).limit(length).value(offset));
    }
    let (checksum, checksum_in_trailer) = checksum::read(headers)?;
    Ok(Append {
        offset,
        length,
        checksum,
        checksum_in_trailer,
    })
}

fn is_chunk(headers: &HeaderMap) -> Result<bool, Problem> {
    Ok(fields::single(headers, &header::CONTENT_TYPE)?
        .is_some_and(|text| fields::media_type(text) == CHUNK_TYPE))
}

fn known_length(headers: &HeaderMap, limits: &Limits) -> Result<Option<u64>, Problem> {
    let Some(text) = fields::single(headers, &UPLOAD_LENGTH)? else {
        return Ok(None);
    };
    let Some(length) = fields::whole_number(text) else {
        return Err(Problem::new(Kind::LengthInvalid)
            .detail("Upload-Length is not a whole number.")
            .limit(fields::NUMBER_MAX)
            .value(text));
    };
    match limits.file_bytes_max {
        Some(max) if length > max => Err(Problem::too_large(max).value(length)),
        _ => Ok(Some(length)),
    }
}

fn length(headers: &HeaderMap, limits: &Limits) -> Result<Length, Problem> {
    let deferred = match fields::single(headers, &UPLOAD_DEFER_LENGTH)? {
        None => false,
        Some("1") => true,
        Some(text) => {
            return Err(Problem::new(Kind::LengthInvalid)
                .detail("Upload-Defer-Length is not 1.")
                .limit(1_u64)
                .value(text));
        }
    };
    match (known_length(headers, limits)?, deferred) {
        (Some(length), false) => Ok(Length::Known(length)),
        (None, true) => Ok(Length::Deferred),
        (Some(_), true) => Err(Problem::new(Kind::LengthInvalid)
            .detail("Upload-Length and Upload-Defer-Length were sent together.")),
        (None, false) => Err(Problem::new(Kind::LengthInvalid)
            .detail("Upload-Length and Upload-Defer-Length are both missing.")),
    }
}
