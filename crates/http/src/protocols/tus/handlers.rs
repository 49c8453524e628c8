//! tus 1.0.0, method by method: read the request (`wire`), call the engine, say what it said.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ddx_digest::Algorithm;
use ddx_engine::{
    Append, Error, Expected, FileRecord, Kind as UploadKind, NewUpload, Protocol,
    State as UploadState,
};
use ddx_id::{ShareKey, UploadKey};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use super::headers::{self, Concat, Length};
use crate::app::{App, Client, PublicBase, allow_length, allow_upload};
use crate::delivery::{Disposition, deliver};
use crate::server::RequestBody;
use crate::shared::engine_error::{Stays, body_problem, problem, upload_problem};
use crate::shared::fields;
use crate::shared::names;
use crate::shared::problem::{Kind, Problem};

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "tus",
    is_resumable: true,
};

/// `POST /files`, and what else comes there.
pub(super) async fn collection(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    request: Request<Body>,
) -> Response {
    let answer = match check(&request, "POST, OPTIONS") {
        Ok(Method::OPTIONS) => Ok(options(&app)),
        Ok(_) => Box::pin(create(&app, &base, client, request)).await,
        Err(problem) => Err(problem),
    };
    finish(answer)
}

/// `/files/{key}`.
pub(super) async fn upload(
    State(app): State<App>,
    client: Client,
    _: PublicBase,
    Path(key): Path<String>,
    request: Request<Body>,
) -> Response {
    let method = check(&request, "HEAD, PATCH, DELETE, GET, OPTIONS");
    if let Ok(Method::OPTIONS) = method {
        return finish(Ok(options(&app)));
    }
    let Ok(key) = key.parse::<UploadKey>() else {
        return finish(Err(Problem::new(Kind::UploadNotFound)));
    };
    let answer = match method {
        // Boxed, so that each holds what it needs and not what the largest does: a slow PATCH waits
        // here.
        Ok(Method::HEAD) => Box::pin(head(&app, key)).await,
        Ok(Method::PATCH) => Box::pin(patch(&app, client, key, request)).await,
        Ok(Method::DELETE) => Box::pin(terminate(&app, key)).await,
        // No other one is left.
        Ok(_) => Box::pin(bytes(&app, client, key, request)).await,
        Err(problem) => Err(problem),
    };
    finish(answer)
}

/// The method that is meant, one of those that the address takes. It is looked at before the
/// version: who speaks no tus at all is not to look for one.
fn check(request: &Request<Body>, taken: &'static str) -> Result<Method, Problem> {
    let method = headers::method(request.method(), request.headers())?;
    if !taken.split(", ").any(|taken| taken == method.as_str()) {
        let refused = Problem::new(Kind::MethodRefused).value(method.as_str());
        return Err(refused.field(header::ALLOW, HeaderValue::from_static(taken)));
    }
    headers::version(&method, request.headers())?;
    Ok(method)
}

/// Every answer tells the protocol's version.
fn finish(answer: Result<Response, Problem>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    let version = HeaderValue::from_static(headers::VERSION);
    response
        .headers_mut()
        .insert(headers::TUS_RESUMABLE, version);
    response
}

fn limits(app: &App) -> headers::Limits {
    headers::Limits {
        file_bytes_max: app.engine().config().file_bytes_max,
        metadata_bytes_max: app.config().metadata_bytes_max,
        ..headers::Limits::default()
    }
}

fn options(app: &App) -> Response {
    let capabilities = headers::Capabilities {
        file_bytes_max: app.engine().config().file_bytes_max,
    };
    (StatusCode::NO_CONTENT, headers::options(&capabilities)).into_response()
}

async fn create(
    app: &App,
    base: &PublicBase,
    client: Client,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let limits = limits(app);
    let creation = headers::creation(request.headers(), &base.path("/files"), &limits)?;
    let metadata = &creation.metadata;
    let limits = &app.config().names;
    let path = match (metadata.relative_path(), metadata.filename()) {
        (Some(path), _) if !path.is_empty() => names::relative_path(&path, limits)?,
        (_, Some(name)) if !name.is_empty() => names::name(&name, limits)?,
        _ => names::NAMELESS.to_owned(),
    };
    let share_key = match metadata.share() {
        None => None,
        Some(text) => Some(
            text.parse::<ShareKey>()
                .map_err(|_| Problem::new(Kind::ShareNotFound))?,
        ),
    };
    // HEAD tells it again, and the URLs in it let write to the parts.
    let concat_value = match &creation.concat {
        Some(Concat::Final(_)) => fields::single(request.headers(), &headers::UPLOAD_CONCAT)?,
        _ => None,
    };
    app.rate_limits().count_creation(client.address())?;
    let length_bytes = match creation.length {
        Length::Known(length) => Some(length),
        Length::Deferred | Length::OfParts => None,
    };
    allow_upload(app, client, length_bytes).await?;
    let new = NewUpload {
        owner: client.owner(),
        share_key,
        path,
        content_type: metadata.filetype(),
        metadata: metadata.without_share(),
        secret_metadata: concat_value.map(str::to_owned),
        is_part: creation.concat == Some(Concat::Partial),
        protocol: PROTOCOL,
        length_bytes,
        keep: None,
        max_downloads: None,
        with_sha256: false,
    };
    let share_missing = |error| match error {
        Error::NotFound => Problem::new(Kind::ShareNotFound),
        other => problem(other),
    };
    if let Some(Concat::Final(keys)) = &creation.concat {
        let keys: Result<Vec<UploadKey>, _> = keys.iter().map(|key| key.parse()).collect();
        let keys = keys.map_err(|_| Problem::new(Kind::ConcatPart))?;
        let joined = Box::pin(app.engine().join(new, &keys)).await;
        let created = joined.map_err(share_missing)?;
        return Ok(created_answer(app, base, &created, None));
    }
    if !creation.has_chunk {
        let created = Box::pin(app.engine().create(new)).await;
        let created = created.map_err(share_missing)?;
        return Ok(created_answer(app, base, &created, None));
    }
    let append = Append {
        offset: 0,
        announced_bytes: announced(&request),
        length_bytes: None,
        expected: expected(creation.checksum, creation.checksum_in_trailer),
        is_last: false,
        with_sha256: false,
    };
    let source = RequestBody::of(request).with_trailer(trailing_digest);
    let (mut created, outcome) = app
        .engine()
        .create_with(new, append, source)
        .await
        .map_err(share_missing)?;
    // The upload stands even where its first chunk was cut: the client must learn its URL, and asks
    // for the offset there.
    match outcome {
        Ok(record) => created.record = record,
        Err(Error::ClientGone | Error::Superseded | Error::Closing | Error::Stalled { .. }) => {
            created.record = app
                .engine()
                .upload(created.upload_key)
                .await
                .map_err(problem)?;
        }
        Err(error) => return Err(problem(error)),
    }
    let offset = created.record.offset_bytes;
    Ok(created_answer(app, base, &created, Some(offset)))
}

fn created_answer(
    app: &App,
    base: &PublicBase,
    created: &ddx_engine::Created,
    offset: Option<u64>,
) -> Response {
    let record = &created.record;
    let expires_at = record
        .expires_at
        .filter(|_| record.state != UploadState::Complete)
        .map(|at| app.engine().time_of_day(at));
    let location = base.location(&format!("/files/{}", created.upload_key.reveal()));
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    headers.extend(headers::created(&location, offset, expires_at));
    if record.kind != UploadKind::Partial {
        base.tell_created(headers, created);
    }
    response
}

async fn head(app: &App, key: UploadKey) -> Result<Response, Problem> {
    let record = app.engine().head(key).await.map_err(upload_problem)?;
    if record.state == UploadState::Failed {
        return Err(Problem::new(Kind::UploadFailed));
    }
    let sealed = record.sealed_metadata.as_deref();
    let concat = sealed.and_then(|sealed| ddx_engine::unseal(sealed, key));
    let state = headers::UploadState {
        offset: (record.state != UploadState::Joining).then_some(record.offset_bytes),
        length: record.length_bytes,
        length_deferred: record.length_bytes.is_none() && record.kind != UploadKind::Final,
        metadata: &record.metadata,
        concat: match record.kind {
            UploadKind::Partial => Some("partial"),
            UploadKind::Final | UploadKind::Whole => concat.as_deref(),
        },
        expires_at: record
            .expires_at
            .filter(|_| record.state != UploadState::Complete)
            .map(|at| app.engine().time_of_day(at)),
    };
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().extend(headers::head(&state));
    Ok(response)
}

async fn patch(
    app: &App,
    client: Client,
    key: UploadKey,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let given = headers::append(request.headers(), &limits(app))?;
    if let Some(length_bytes) = given.length {
        let record = app.engine().head(key).await.map_err(upload_problem)?;
        if record.length_bytes.is_none() {
            allow_length(app, client, length_bytes).await?;
        }
    }
    let append = Append {
        offset: given.offset,
        announced_bytes: announced(&request),
        length_bytes: given.length,
        expected: expected(given.checksum, given.checksum_in_trailer),
        is_last: false,
        with_sha256: false,
    };
    let stays = match append.expected {
        Some(_) => Stays::Upload,
        None => Stays::Bytes,
    };
    let source = RequestBody::of(request).with_trailer(trailing_digest);
    let record = app
        .engine()
        .append(key, append, source)
        .await
        .map_err(|error| body_problem(error, stays))?;
    Ok(patched(app, &record))
}

fn patched(app: &App, record: &FileRecord) -> Response {
    let expires_at = record
        .expires_at
        .filter(|_| record.state != UploadState::Complete)
        .map(|at| app.engine().time_of_day(at));
    let mut response = StatusCode::NO_CONTENT.into_response();
    response
        .headers_mut()
        .extend(headers::patched(record.offset_bytes, expires_at));
    response
}

async fn terminate(app: &App, key: UploadKey) -> Result<Response, Problem> {
    app.engine().cancel(key).await.map_err(upload_problem)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(headers::terminated());
    Ok(response)
}

/// The upload's own bytes, for who knows its URL.
async fn bytes(
    app: &App,
    client: Client,
    key: UploadKey,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let record = app.engine().upload(key).await.map_err(upload_problem)?;
    if record.state != UploadState::Complete {
        return Err(Problem::new(Kind::NotComplete));
    }
    deliver(
        app,
        record,
        &request.into_parts().0,
        Disposition::Attachment,
        &client.owner(),
    )
    .await
}

fn announced(request: &Request<Body>) -> Option<u64> {
    http_body::Body::size_hint(request.body()).exact()
}

fn expected(checksum: Option<headers::Checksum>, in_trailer: bool) -> Option<Expected> {
    match checksum {
        Some(checksum) => Some(Expected::Known(checksum.algorithm, checksum.expected)),
        None => in_trailer.then_some(Expected::Trailing),
    }
}

fn trailing_digest(trailers: &HeaderMap) -> Option<(Algorithm, Vec<u8>)> {
    let checksum = headers::trailing(Some(trailers), true, None).ok()??;
    Some((checksum.algorithm, checksum.expected))
}
