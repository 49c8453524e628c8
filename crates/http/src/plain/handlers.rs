//! A file in one request, by `PUT`, with its link as the answer; and the address that deletes a
//! file.
//!
//! Such a request can't be continued, so one that is cut leaves nothing (docs/decisions/0006).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::{Created, Expected, FileSummary, Id, NewUpload, PROTOCOL_PLAIN, Put};
use http::{HeaderValue, Request, StatusCode, header};
use serde::Serialize;

use super::wire;
use crate::app::App;
use crate::body::Intake;
use crate::digests;
use crate::links::Links;
use crate::negotiate::{Format, negotiate};
use crate::problem::{Kind, Problem};
use crate::refusal::{Stays, body_problem, problem};
use crate::view::File;

/// `PUT /{name}`. The router has taken the prefix off.
pub(crate) async fn put(State(app): State<App>, links: Links, request: Request<Body>) -> Response {
    let name = request.uri().path().to_owned();
    answered(put_file(&app, &links, &name, request).await)
}

/// `PUT /`, which names no file. Below a prefix its path is the prefix.
pub(super) async fn put_nameless(
    State(app): State<App>,
    links: Links,
    request: Request<Body>,
) -> Response {
    answered(put_file(&app, &links, "/", request).await)
}

fn answered(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}

async fn put_file(
    app: &App,
    links: &Links,
    path: &str,
    request: Request<Body>,
) -> Result<Response, Problem> {
    app.takes_new_files()?;
    let put = wire::put(path, request.headers(), &app.config().plain)?;
    let format = negotiate(request.headers(), &[Format::Text, Format::Json]);
    // The strongest that the server can check while the bytes come.
    let digest = put.digests.into_iter().next();
    let is_digest = digest.is_some();
    app.paces().count_creation(links.client())?;
    let new = NewUpload {
        owner: links.owner(),
        share_key: None,
        path: put.path,
        content_type: put.content_type,
        metadata: String::new(),
        secret_metadata: None,
        is_part: false,
        protocol: PROTOCOL_PLAIN,
        length_bytes: put.length,
        keep: put.options.keep,
        max_downloads: put.options.max_downloads,
        with_sha256: digests::wanted(request.headers(), &digests::WANT_REPR_DIGEST)
            .contains(&ddx_engine::Algorithm::Sha256),
    };
    let expected = digest.map(|digest| Expected::Known(digest.algorithm, digest.value));
    let created = app
        .engine()
        .put(Put { new, expected }, Intake::of(request))
        .await
        .map_err(|error| match error {
            ddx_engine::Error::ChecksumMismatch { algorithm } if is_digest => {
                Problem::new(Kind::DigestMismatch).value(algorithm)
            }
            other => body_problem(other, Stays::Nothing),
        })?;
    Ok(answer(app, links, &created, format))
}

/// `DELETE /delete/{key}`, the secret address that the upload's answer told.
pub(super) async fn delete(State(app): State<App>, Path(key): Path<String>) -> Response {
    let Ok(key) = key.parse::<Id>() else {
        return Problem::new(Kind::NotFound).into_response();
    };
    match app.engine().delete(key).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => problem(error).into_response(),
    }
}

/// Any other method there. Looking at the address must not delete: previews of links do that.
pub(super) async fn only_deletes() -> Response {
    Problem::new(Kind::MethodRefused)
        .detail("This address only supports DELETE, which deletes the file.")
        .remedy("To delete the file: curl -X DELETE ADDRESS")
        .field(header::ALLOW, HeaderValue::from_static("DELETE"))
        .into_response()
}

#[derive(Serialize)]
struct Told {
    link: String,
    files: [ToldFile; 1],
}

/// A file that was made, with the address that deletes it.
#[derive(Serialize)]
pub(super) struct ToldFile {
    #[serde(flatten)]
    file: File,
    delete_link: String,
}

impl ToldFile {
    pub(super) fn new(app: &App, file: &FileSummary, delete_key: Id, links: &Links) -> Self {
        Self {
            file: File::new(file, None, links, app.engine()),
            delete_link: links.delete(delete_key),
        }
    }
}

/// What is told of one file: its link, which is the share's.
pub(super) fn answer(app: &App, links: &Links, created: &Created, format: Format) -> Response {
    let share = links.share(Id(created.record.share_id));
    let mut response = match format {
        Format::Json => {
            let file = ToldFile::new(
                app,
                &created.record.clone().into(),
                created.delete_key,
                links,
            );
            let told = Told {
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
    links.tell_created(response.headers_mut(), created);
    response
        .headers_mut()
        .extend(crate::deliver::digests(&created.record));
    response
}
