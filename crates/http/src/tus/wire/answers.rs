//! The header fields of answers, and the lists for browsers of other origins (CORS).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    ALGORITHMS, EXTENSIONS, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE,
    TUS_VERSION, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH,
    UPLOAD_METADATA, UPLOAD_OFFSET, VERSION,
};
use crate::fields;

/// The methods that a page of another origin may use.
pub const ALLOWED_METHODS: &str = "POST, PUT, HEAD, PATCH, OPTIONS, GET, DELETE";

/// The fields that a page of another origin may send: those of tus, of the IETF's resumable
/// uploads, of digests, and those that clients send besides.
pub const ALLOWED_HEADERS: &str = "Authorization, Origin, X-Requested-With, X-Request-ID, X-HTTP-Method-Override, Content-Type, Content-Disposition, Content-Digest, Repr-Digest, Want-Repr-Digest, Want-Content-Digest, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Defer-Length, Upload-Metadata, Upload-Checksum, Upload-Concat, Upload-Complete, Upload-Incomplete, Upload-Draft-Interop-Version, Max-Downloads, Max-Days, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range, Range";

/// The fields of answers that a page of another origin may read.
pub const EXPOSED_HEADERS: &str = "Location, Tus-Version, Tus-Resumable, Tus-Max-Size, Tus-Extension, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Concat, Upload-Expires, Upload-Complete, Upload-Incomplete, Upload-Limit, Upload-Draft-Interop-Version, X-Url-Share, X-Url-Delete, X-File-Id, X-Share-Id, X-Request-ID, Repr-Digest, Content-Digest, Content-Disposition, Content-Range, Accept-Ranges, ETag, Retry-After";

/// How long a browser may keep the answer to a preflight, in seconds: a day, which is the most that
/// Firefox takes.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");

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

/// The fields that an answer has besides if a browser asks for a page of another origin.
///
/// `preflight`: the request is an OPTIONS with `Access-Control-Request-Method`. Any origin may
/// upload, and none may send along cookies: what a request may do is decided by the keys in it,
/// which no browser adds by itself. So `*` is right, and the answer does not depend on the origin.
#[must_use]
pub fn preflight(preflight: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    if preflight {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(ALLOWED_METHODS),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    } else {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED_HEADERS),
        );
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
