//! A file's bytes as an answer: whole, one range, several, or while it still arrives.
//!
//! What a stranger sent is never run in the site's origin: its type is checked and its document
//! fenced (`disposition`).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ddx_engine::{FileRecord, State};
use futures_util::{Stream, StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::byteranges::Byteranges;
use super::disposition::{self, Disposition};
use super::headers::{self, Answer, ETag, RangeLimits, Validators};
use super::one_time;
use crate::app::App;
use crate::metrics::Metric;
use crate::server::{FileBody, Piece, Pieces, SendsFiles, Span};
use crate::shared::engine_error::problem;
use crate::shared::names;
use crate::shared::problem::{Kind, Problem};

/// Has nginx pass a file on as its client takes it. Left alone it fetches up to a gigabyte into a
/// file of its own, and reads nothing more until the client has taken all of that.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// BLAKE3 of the file in hex. RFC 9530 has no name for it in `Repr-Digest`.
const X_BLAKE3: HeaderName = HeaderName::from_static("x-blake3");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Answers a GET or HEAD for this file's bytes. `reader` is who asks, for fairness.
pub(crate) async fn deliver(
    app: &App,
    record: FileRecord,
    request: &Parts,
    wanted: Disposition,
    reader: &str,
) -> Result<Response, Problem> {
    let (method, headers) = (&request.method, &request.headers);
    if *method != Method::GET && *method != Method::HEAD {
        return Err(Problem::new(Kind::MethodRefused));
    }
    if record.state != State::Complete {
        return deliver_arriving(app, record, method, wanted, reader).await;
    }
    let validators = Validators {
        etag: ETag::strong(&record.file_id.to_string()),
        modified_at: app
            .engine()
            .time_of_day(record.completed_at.unwrap_or(record.created_at)),
    };
    let limits = RangeLimits {
        sent_max: app.config().ranges_max,
        ..RangeLimits::default()
    };
    let length = record.offset_bytes;
    let answer = headers::select(method, headers, &validators, length, &limits)?;
    let mut fields = headers::validator_fields(&validators, record.max_downloads.is_some());
    fields.extend(digests(&record));
    let kind = match &answer {
        Answer::Whole => "whole",
        Answer::Part(_) => "range",
        Answer::Parts(_) => "ranges",
        Answer::NotModified => "not_modified",
    };
    app.metrics().add(Metric::Downloads, &[kind], 1);
    if answer == Answer::NotModified {
        return Ok((StatusCode::NOT_MODIFIED, fields).into_response());
    }
    let content_type = describe(&record, wanted, &mut fields);
    let mut download = app
        .engine()
        .open(record.clone(), reader)
        .await
        .map_err(problem)?;
    if *method == Method::GET {
        match record.max_downloads {
            Some(limit) if length > 0 => {
                let who = one_time::reader(request, record.file_id, reader);
                let is_whole = asked_bytes(&answer, length) >= length;
                let reading = app.engine().read_limited(&record, limit, &who, is_whole);
                let reading = reading.await.map_err(problem)?;
                let lasts = app.engine().config().download_lease;
                one_time::tell_lease(&mut fields, record.file_id, &who, reading.lease(), lasts);
                download.noted_by(reading);
            }
            _ => app
                .engine()
                .count_download(&record)
                .await
                .map_err(problem)?,
        }
    }
    let (status, length_bytes, pieces) = lay_out(answer, length, &content_type, &mut fields);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length_bytes));
    if *method == Method::HEAD {
        return Ok((status, fields).into_response());
    }
    if request.extensions.get::<SendsFiles>().is_some() && download.is_in_files() {
        let mut response = (status, fields).into_response();
        response.extensions_mut().insert(FileBody::new(Pieces {
            download,
            length_bytes,
            pieces,
        }));
        return Ok(response);
    }
    let bytes = stream::iter(pieces).flat_map(move |piece| match piece {
        Piece::Frame(frame) => stream::once(std::future::ready(Ok(frame))).boxed(),
        Piece::File(span) => download
            .clone()
            .stream(span.first, Some(span.last + 1))
            .boxed(),
    });
    Ok((status, fields, body(bytes)).into_response())
}

/// What has arrived, then the rest as it comes. Nothing of it may be kept by caches, and ranges
/// have to wait until it is whole.
async fn deliver_arriving(
    app: &App,
    record: FileRecord,
    method: &Method,
    wanted: Disposition,
    reader: &str,
) -> Result<Response, Problem> {
    if record.max_downloads.is_some() {
        return Err(Problem::new(Kind::NotComplete));
    }
    let mut fields = HeaderMap::new();
    describe(&record, wanted, &mut fields);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    if let Some(length) = record.length_bytes {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let length = record.length_bytes;
    let download = app.engine().open(record, reader).await.map_err(problem)?;
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        body(download.stream(0, length))
    };
    Ok((StatusCode::OK, fields, body).into_response())
}

fn asked_bytes(answer: &Answer, length: u64) -> u64 {
    match answer {
        Answer::Whole | Answer::NotModified => length,
        Answer::Part(span) => span.bytes(),
        Answer::Parts(spans) => spans.iter().map(|span| span.bytes()).sum(),
    }
}

/// What the body consists of, with its status and its length; the fields that go with it are added.
fn lay_out(
    answer: Answer,
    length: u64,
    content_type: &HeaderValue,
    fields: &mut HeaderMap,
) -> (StatusCode, u64, Vec<Piece>) {
    match answer {
        Answer::Whole | Answer::NotModified => {
            let whole = length.checked_sub(1).map(|last| {
                let span = Span { first: 0, last };
                Piece::File(span)
            });
            (StatusCode::OK, length, whole.into_iter().collect())
        }
        Answer::Part(span) => {
            fields.insert(header::CONTENT_RANGE, headers::content_range(span, length));
            let status = StatusCode::PARTIAL_CONTENT;
            (status, span.bytes(), vec![Piece::File(span)])
        }
        Answer::Parts(spans) => {
            let boundary = ddx_id::random_text();
            let parts = Byteranges::new(&spans, length, content_type, &boundary);
            fields.insert(header::CONTENT_TYPE, parts.content_type());
            let length_bytes = parts.content_length();
            (
                StatusCode::PARTIAL_CONTENT,
                length_bytes,
                parts.into_pieces(),
            )
        }
    }
}

fn body(bytes: impl Stream<Item = Result<Bytes, ddx_engine::Error>> + Send + 'static) -> Body {
    let request = tracing::Span::current();
    Body::from_stream(bytes.inspect(move |chunk| {
        if let Err(error) = chunk {
            // The answer's head is gone already: all that is left is to break off, so that it is
            // not taken for whole.
            tracing::warn!(parent: &request, %error, "a download was cut off by an error of the server; its client can go on where it was cut");
        }
    }))
}

/// Type, name and fences; the type goes into each part of a multipart answer as well.
fn describe(record: &FileRecord, wanted: Disposition, fields: &mut HeaderMap) -> HeaderValue {
    let name = names::file_name(&record.path);
    let served = disposition::serve(record.content_type.as_deref(), name, wanted);
    fields.extend(disposition::fences(&served.content_type));
    fields.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    fields.insert(header::CONTENT_TYPE, served.content_type.clone());
    fields.insert(
        header::CONTENT_DISPOSITION,
        disposition::content_disposition(served.disposition, name),
    );
    served.content_type
}

pub(crate) fn digests(record: &FileRecord) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if let Some(blake3) = record.blake3
        && let Ok(value) = HeaderValue::try_from(data_encoding::HEXLOWER.encode(&blake3))
    {
        fields.insert(X_BLAKE3, value);
    }
    if let Some(sha256) = record.sha256
        && let Ok(value) = HeaderValue::try_from(format!(
            "sha-256=:{}:",
            data_encoding::BASE64.encode(&sha256)
        ))
    {
        fields.insert(REPR_DIGEST, value);
    }
    fields
}
