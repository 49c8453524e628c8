//! The header fields of answers.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::checksum::ALGORITHMS;
use super::names::{
    EXTENSIONS, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION,
    UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA,
    UPLOAD_OFFSET, VERSION,
};
use crate::shared::fields;

/// What OPTIONS tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Largest upload, in bytes, if there is a limit.
    pub file_bytes_max: Option<u64>,
}

/// What HEAD tells of an upload.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadState<'u> {
    /// Bytes that the server holds. `None` for a final upload that is not joined yet.
    pub offset: Option<u64>,
    /// Its length; `None` if it is not known yet.
    pub length: Option<u64>,
    /// The length was deferred and is still to come from the client.
    pub length_deferred: bool,
    /// `Upload-Metadata` as it came, without the share's key.
    pub metadata: &'u str,
    /// `Upload-Concat`: `partial`, or the value that a final upload was made with.
    pub concat: Option<&'u str>,
    /// When the unfinished upload is removed, in milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// Every answer has at least these.
fn base() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
}

/// The fields of the answer to OPTIONS (204).
#[must_use]
pub fn options(capabilities: &Capabilities) -> HeaderMap {
    let mut headers = base();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    headers.insert(TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS));
    if let Some(max) = capabilities.file_bytes_max {
        headers.insert(TUS_MAX_SIZE, HeaderValue::from(max));
    }
    headers
}

/// The fields of the answer to HEAD (200).
#[must_use]
pub fn head(upload: &UploadState<'_>) -> HeaderMap {
    let mut headers = base();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(offset) = upload.offset {
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    }
    match upload.length {
        Some(length) => {
            headers.insert(UPLOAD_LENGTH, HeaderValue::from(length));
        }
        None if upload.length_deferred => {
            headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1"));
        }
        None => {}
    }
    if !upload.metadata.is_empty() {
        text(&mut headers, UPLOAD_METADATA, upload.metadata);
    }
    if let Some(concat) = upload.concat {
        text(&mut headers, UPLOAD_CONCAT, concat);
    }
    expires(&mut headers, upload.expires_at);
    headers
}

/// The fields of the answer to a POST that created an upload (201). `offset`: only if the request
/// brought a first chunk.
#[must_use]
pub fn created(location: &str, offset: Option<u64>, expires_at: Option<i64>) -> HeaderMap {
    let mut headers = base();
    text(&mut headers, header::LOCATION, location);
    if let Some(offset) = offset {
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    }
    expires(&mut headers, expires_at);
    headers
}

/// The fields of the answer to a PATCH (204).
#[must_use]
pub fn patched(offset: u64, expires_at: Option<i64>) -> HeaderMap {
    let mut headers = base();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    expires(&mut headers, expires_at);
    headers
}

/// The fields of the answer to a DELETE (204), and of every refusal.
#[must_use]
pub fn terminated() -> HeaderMap {
    base()
}

fn expires(headers: &mut HeaderMap, at_ms: Option<i64>) {
    if let Some(at_ms) = at_ms {
        headers.insert(UPLOAD_EXPIRES, fields::date(at_ms));
    }
}

/// Text that was checked where it came in. Should it still not be a field's value, the field is
/// left out: better than an answer that fails.
fn text(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
