//! A file's bytes as an answer: whole, one range, several, or while it still arrives.
//!
//! What a stranger sent is never run in the site's origin: its type is checked and its document fenced (`download/disposition.rs`).

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ddx_engine::{Download, FileRecord, Id, Span, State};
use futures_util::{Stream, StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::app::App;
use crate::download::byteranges::{Byteranges, Piece};
use crate::download::disposition;
pub(crate) use crate::download::disposition::Disposition;
use crate::download::wire::{self, Answer, ETag, RangeLimits, Validators};
use crate::metrics::Metric;
use crate::names;
use crate::problem::{Kind, Problem};
use crate::refusal::problem;

/// BLAKE3 of the file in hex. RFC 9530 has no name for it in `Repr-Digest`.
const X_BLAKE3: HeaderName = HeaderName::from_static("x-blake3");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// In the extensions of a request: its connection can let the kernel send files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendsFiles;

/// In the extensions of an answer to such a request: the body, in place of the one that is there.
#[derive(Debug, Clone)]
pub(crate) struct FileBody(Arc<Mutex<Option<Span>>>);

impl FileBody {
    fn new(span: Span) -> Self {
        Self(Arc::new(Mutex::new(Some(span))))
    }

    /// Takes it out.
    pub(crate) fn take(&self) -> Option<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl App {
    /// Answers a GET or HEAD for this file's bytes. `reader` is who asks, for fairness.
    pub(crate) async fn deliver(
        &self,
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
            return self.deliver_arriving(record, method, wanted, reader).await;
        }
        let validators = Validators {
            etag: ETag::strong(&Id(record.file_id).to_string()),
            modified_at: record.completed_at.unwrap_or(record.created_at),
        };
        let limits = RangeLimits {
            sent_max: self.config().ranges_max,
            ..RangeLimits::default()
        };
        let length = record.offset_bytes;
        let answer = wire::select(method, headers, &validators, length, &limits)?;
        let mut fields = wire::validator_fields(&validators, record.max_downloads.is_some());
        fields.extend(digests(&record));
        let kind = match &answer {
            Answer::Whole => "whole",
            Answer::Part(_) => "range",
            Answer::Parts(_) => "ranges",
            Answer::NotModified => "not_modified",
        };
        self.metrics().add(Metric::Downloads, &[kind], 1);
        if answer == Answer::NotModified {
            return Ok((StatusCode::NOT_MODIFIED, fields).into_response());
        }
        let content_type = describe(&record, wanted, &mut fields);
        let download = self
            .engine()
            .open(record.clone(), reader)
            .await
            .map_err(problem)?;
        if *method == Method::GET {
            self.engine()
                .count_download(&record)
                .await
                .map_err(problem)?;
        }
        let sends_files =
            *method == Method::GET && request.extensions.get::<SendsFiles>().is_some();
        let span = sends_files.then(|| span(&answer, &download, length));
        if let Some(span) = span.flatten() {
            let status = match answer {
                Answer::Part(part) => {
                    fields.insert(header::CONTENT_RANGE, wire::content_range(part, length));
                    StatusCode::PARTIAL_CONTENT
                }
                _ => StatusCode::OK,
            };
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(span.left_bytes()));
            let mut response = (status, fields).into_response();
            response.extensions_mut().insert(FileBody::new(span));
            return Ok(response);
        }
        let (status, length, body) =
            self.select(answer, download, length, &content_type, &mut fields);
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let body = if *method == Method::HEAD {
            Body::empty()
        } else {
            body
        };
        Ok((status, fields, body).into_response())
    }

    fn select(
        &self,
        answer: Answer,
        download: Download,
        length: u64,
        content_type: &HeaderValue,
        fields: &mut HeaderMap,
    ) -> (StatusCode, u64, Body) {
        match answer {
            Answer::Whole | Answer::NotModified => (
                StatusCode::OK,
                length,
                body(download.stream(0, Some(length))),
            ),
            Answer::Part(span) => {
                fields.insert(header::CONTENT_RANGE, wire::content_range(span, length));
                let bytes = download.stream(span.first, Some(span.last + 1));
                (StatusCode::PARTIAL_CONTENT, span.bytes(), body(bytes))
            }
            Answer::Parts(spans) => {
                let parts =
                    Byteranges::new(&spans, length, content_type, &Id::random().to_string());
                fields.insert(header::CONTENT_TYPE, parts.content_type());
                let total = parts.content_length();
                let pieces = stream::iter(parts.into_pieces()).flat_map(move |piece| match piece {
                    Piece::Frame(frame) => stream::once(std::future::ready(Ok(frame))).boxed(),
                    Piece::File(span) => download
                        .clone()
                        .stream(span.first, Some(span.last + 1))
                        .boxed(),
                });
                (StatusCode::PARTIAL_CONTENT, total, body(pieces))
            }
        }
    }

    /// What has arrived, then the rest as it comes. Nothing of it may be kept by caches, and ranges have to wait until it is whole.
    async fn deliver_arriving(
        &self,
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
        let download = self.engine().open(record, reader).await.map_err(problem)?;
        let body = if *method == Method::HEAD {
            Body::empty()
        } else {
            body(download.stream(0, length))
        };
        Ok((StatusCode::OK, fields, body).into_response())
    }
}

/// One stretch of the file, as the kernel can send it.
fn span(answer: &Answer, download: &Download, length: u64) -> Option<Span> {
    match answer {
        Answer::Whole => download.span(0, length),
        Answer::Part(span) => download.span(span.first, span.last + 1),
        Answer::Parts(_) | Answer::NotModified => None,
    }
}

fn body(bytes: impl Stream<Item = Result<Bytes, ddx_engine::Error>> + Send + 'static) -> Body {
    Body::from_stream(bytes.inspect(|chunk| {
        if let Err(error) = chunk {
            // The answer's head is gone already: all that is left is to break off, so that nobody takes it for whole.
            tracing::warn!(%error, "a download was broken off");
        }
    }))
}

/// Type, name and fences; the type goes into each part of a multipart answer as well.
fn describe(record: &FileRecord, wanted: Disposition, fields: &mut HeaderMap) -> HeaderValue {
    let name = names::file_name(&record.path);
    let served = disposition::serve(record.content_type.as_deref(), name, wanted);
    fields.extend(disposition::fences(&served.content_type));
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
