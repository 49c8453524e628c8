//! How a stranger's file is handed to a browser: under which type, shown or saved, and with which
//! fences.
//!
//! The files lie on the same origin as the pages, so a file that a browser would run could act as
//! the receiver. Three fences, each enough alone:
//!
//! - A list of types that are shown: pictures, sound, film, PDF, and text as plain text. All else
//!   is saved. A list of what is dangerous was rejected: it would have to grow with every browser.
//! - A type goes out only if no browser runs it, in a frame, as a script, as a style sheet or as a
//!   worker. Anything else is called `application/octet-stream`, and `nosniff` holds browsers to
//!   it. Saving alone would not do: `<script src>` does not ask for the disposition.
//! - A policy that lets the document do nothing (`sandbox`). Not for PDF: Chrome's viewer does not
//!   start in a sandbox; a PDF's scripts never touch the page's origin.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::shared::fields;

/// What RFC 8187 lets stand as it is (`attr-char`), less the characters that old receivers stumble
/// over.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The type of a file that has none, or none that can be told.
pub const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Longest media type that is looked at, in bytes. RFC 6838 has 127 for each half.
const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// Media types that browsers show without running anything.
const SHOWN: &[&str] = &[
    "application/pdf",
    "audio/aac",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/wav",
    "audio/webm",
    "audio/x-m4a",
    "audio/x-wav",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/vnd.microsoft.icon",
    "image/webp",
    "image/x-icon",
    "video/mp4",
    "video/ogg",
    "video/quicktime",
    "video/webm",
];

/// Media types that are shown as plain text.
const SHOWN_AS_TEXT: &[&str] = &[
    "application/json",
    "text/csv",
    "text/markdown",
    "text/plain",
    "text/tab-separated-values",
];

/// Types under `application/` that go out by their name, to be saved. Those that begin with `vnd.`
/// do as well.
const SAVED_APPLICATIONS: &[&str] = &[
    "epub+zip",
    "gzip",
    "json",
    "msword",
    "pdf",
    "rtf",
    "x-7z-compressed",
    "x-bzip2",
    "x-gzip",
    "x-iso9660-image",
    "x-rar-compressed",
    "x-tar",
    "x-xz",
    "zip",
    "zstd",
];

/// Whether a browser shows a file or saves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It shows it.
    Inline,
    /// It saves it.
    Attachment,
}

/// How one file is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its `Content-Type`.
    pub content_type: HeaderValue,
    /// Shown or saved.
    pub disposition: Disposition,
}

/// Decides. `declared` is the type that the sender gave; without one, the name's ending tells.
/// `wanted`: what the receiver asks for; showing is granted only to types that are safe to show.
#[must_use]
pub fn serve(declared: Option<&str>, name: &str, wanted: Disposition) -> Served {
    let media_type = effective_type(declared, name);
    if SHOWN_AS_TEXT.contains(&media_type.as_str()) && wanted == Disposition::Inline {
        return Served {
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
            disposition: Disposition::Inline,
        };
    }
    let disposition = if SHOWN.contains(&media_type.as_str()) {
        wanted
    } else {
        Disposition::Attachment
    };
    let content_type = if is_inert(&media_type) {
        HeaderValue::try_from(media_type).unwrap_or(OCTET_STREAM)
    } else {
        OCTET_STREAM
    };
    Served {
        content_type,
        disposition,
    }
}

/// The type in lower case without parameters; empty if there is none.
fn effective_type(declared: Option<&str>, name: &str) -> String {
    let declared = declared
        .filter(|text| text.len() <= MEDIA_TYPE_BYTES_MAX)
        .map(fields::media_type)
        .filter(|text| is_media_type(text));
    match declared {
        // Programs that do not know say octet-stream; then the name knows better.
        Some(text) if text != "application/octet-stream" => text,
        _ => mime_guess::from_path(name)
            .first_raw()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn is_media_type(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(top, sub)| fields::is_token(top) && fields::is_token(sub))
}

/// Whether no browser runs this type, however it is embedded.
fn is_inert(media_type: &str) -> bool {
    if SHOWN.contains(&media_type) || SHOWN_AS_TEXT.contains(&media_type) {
        return true;
    }
    let Some((top, sub)) = media_type.split_once('/') else {
        return false;
    };
    // SVG, XHTML and their kin.
    if sub.ends_with("+xml") || sub.ends_with("xml") {
        return false;
    }
    match top {
        "image" | "audio" | "video" | "font" => true,
        "application" => sub.starts_with("vnd.") || SAVED_APPLICATIONS.contains(&sub),
        _ => false,
    }
}

/// `Content-Disposition` (RFC 6266) for a name in any script: an ASCII stand-in for old receivers,
/// and the name itself (RFC 8187) wherever these differ.
#[must_use]
pub fn content_disposition(disposition: Disposition, name: &str) -> HeaderValue {
    let word = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    // Quotes and backslashes are unescaped differently by different receivers, and some decode
    // `%41` in the plain form.
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' | '/' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut text = format!("{word}; filename=\"{plain}\"");
    if plain != name {
        let _ = write!(
            text,
            "; filename*=UTF-8''{}",
            utf8_percent_encode(name, EXTENDED)
        );
    }
    // Visible ASCII only, by the two lines above.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// The fields that fence a stranger's file in.
#[must_use]
pub fn fences(content_type: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(if content_type == "application/pdf" {
            "frame-ancestors 'self'"
        } else {
            "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
        }),
    );
    // The link is the key to the file: it goes neither to the sites that a file points at, nor into
    // a search engine.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        http::HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow"),
    );
    headers
}
