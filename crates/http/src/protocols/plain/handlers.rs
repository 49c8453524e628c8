//! A file in one request, by `PUT`, with its link as the answer; and the address that deletes a
//! file.
//!
//! Such a request can't be continued, so one that is cut leaves nothing (docs/decisions/0006).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::{Created, Expected, FileSummary, NewUpload, Protocol, Put};
use ddx_id::DeleteKey;
use http::{HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::headers;
use crate::app::{App, Client, PublicBase};
use crate::delivery;
use crate::listing::File;
use crate::server::RequestBody;
use crate::shared::accept::{Format, negotiate};
use crate::shared::digests;
use crate::shared::engine_error::{Stays, body_problem, problem};
use crate::shared::problem::{Kind, Problem};

/// A body that is cut leaves nothing: such a request can't be continued.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "plain",
    is_resumable: false,
};

/// What a sender may ask for; as the contract tells it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "`headers` reads them; this is their shape")]
struct Fields {
    /// How often it may be downloaded.
    #[param(
        rename = "Max-Downloads",
        nullable = false,
        minimum = 1,
        maximum = 1_000_000
    )]
    max_downloads: Option<u64>,
    /// For how many days it is kept.
    #[param(rename = "Max-Days", nullable = false, minimum = 1, maximum = 3_650)]
    max_days: Option<u64>,
}

/// Sends a file, and answers with its link.
///
/// The name may be a path, whose folders the receiver sees. A body that is cut leaves nothing. A
/// digest in `Repr-Digest` or `Content-Digest` (RFC 9530) is checked.
#[utoipa::path(
    put,
    path = "/{name}",
    operation_id = "send_file",
    tag = "plain uploads",
    params(
        ("name" = String, Path, description = "The file's name."),
        Fields,
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is stored; `X-Url-Delete` has the address that deletes it.", content(
        (String = "text/plain"),
        (UploadReceipt = "application/json"),
    ))),
)]
pub(super) async fn put(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let name = request.uri().path().to_owned();
    put_file(&app, &base, client, &name, request).await
}

/// `PUT /`, which names no file. Below a prefix its path is the prefix.
pub(super) async fn put_nameless(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    request: Request<Body>,
) -> Result<Response, Problem> {
    put_file(&app, &base, client, "/", request).await
}

/// Refuses a file that comes while the server stops; one that came before may end.
pub(super) fn takes_new_files(app: &App) -> Result<(), Problem> {
    match app.closing().is_cancelled() {
        true => Err(problem(ddx_engine::Error::Closing)),
        false => Ok(()),
    }
}

pub(super) fn limits(app: &App) -> headers::Limits {
    headers::Limits {
        names: app.config().names,
        file_bytes_max: app.engine().config().file_bytes_max,
        ..headers::Limits::default()
    }
}

async fn put_file(
    app: &App,
    base: &PublicBase,
    client: Client,
    path: &str,
    request: Request<Body>,
) -> Result<Response, Problem> {
    takes_new_files(app)?;
    let put = headers::put(path, request.headers(), &limits(app))?;
    let format = negotiate(request.headers(), &[Format::Text, Format::Json]);
    // The strongest that the server can check while the bytes come.
    let digest = put.digests.into_iter().next();
    let is_digest = digest.is_some();
    app.rate_limits().count_creation(client.address())?;
    let new = NewUpload {
        owner: client.owner(),
        share_key: None,
        path: put.path,
        content_type: put.content_type,
        metadata: String::new(),
        secret_metadata: None,
        is_part: false,
        protocol: PROTOCOL,
        length_bytes: put.length,
        keep: put.options.keep,
        max_downloads: put.options.max_downloads,
        with_sha256: digests::wanted(request.headers(), &digests::WANT_REPR_DIGEST)
            .contains(&ddx_engine::Algorithm::Sha256),
    };
    let expected = digest.map(|digest| Expected::Known(digest.algorithm, digest.value));
    let created = app
        .engine()
        .put(Put { new, expected }, RequestBody::of(request))
        .await
        .map_err(|error| match error {
            ddx_engine::Error::ChecksumMismatch { algorithm } if is_digest => {
                Problem::new(Kind::DigestMismatch).value(algorithm)
            }
            other => body_problem(other, Stays::Nothing),
        })?;
    Ok(answer(app, base, &created, format))
}

/// Deletes a file, at the secret address that the upload's answer told.
#[utoipa::path(
    delete,
    path = "/delete/{key}",
    operation_id = "delete_file",
    tag = "plain uploads",
    params(("key" = String, Path, description = "The secret.")),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let key: DeleteKey = key.parse().map_err(|_| Problem::new(Kind::NotFound))?;
    app.engine().delete(key).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Any other method there. Looking at the address must not delete: previews of links do that.
pub(super) async fn only_deletes() -> Problem {
    Problem::new(Kind::MethodRefused)
        .detail("This address only supports DELETE, which deletes the file.")
        .remedy("To delete the file: curl -X DELETE ADDRESS")
        .field(header::ALLOW, HeaderValue::from_static("DELETE"))
}

/// What was stored.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadReceipt {
    /// The link of the share.
    link: String,
    /// Each file, in the order in which they came.
    #[schema(value_type = Vec<UploadedFile>)]
    files: [UploadedFile; 1],
}

/// A file that was made, with the address that deletes it.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadedFile {
    #[serde(flatten)]
    file: File,
    /// The address that deletes it, for `DELETE`.
    delete_link: String,
}

impl UploadedFile {
    pub(super) fn new(
        app: &App,
        file: &FileSummary,
        delete_key: DeleteKey,
        base: &PublicBase,
    ) -> Self {
        Self {
            file: File::new(file, None, base, app.engine()),
            delete_link: base.delete(delete_key),
        }
    }
}

/// What is told of one file: its link, which is the share's.
pub(super) fn answer(app: &App, base: &PublicBase, created: &Created, format: Format) -> Response {
    let share = base.share(created.record.share_id);
    let mut response = match format {
        Format::Json => {
            let file = UploadedFile::new(
                app,
                &created.record.clone().into(),
                created.delete_key,
                base,
            );
            let told = UploadReceipt {
                link: share,
                files: [file],
            };
            (StatusCode::CREATED, axum::Json(told)).into_response()
        }
        Format::Text | Format::Html => {
            let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (StatusCode::CREATED, fields, share + "\n").into_response()
        }
    };
    base.tell_created(response.headers_mut(), created);
    response
        .headers_mut()
        .extend(delivery::digests(&created.record));
    response
}
