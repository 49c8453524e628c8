//! The link: a page for people, bytes for programs, at the same address.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::{FileRecord, Id, Kind as UploadKind, State as FileState};
use http::request::Parts;
use http::{HeaderMap, Request, header};

use super::disposition::Disposition;
use crate::app::App;
use crate::links::Links;
use crate::names;
use crate::pages;
use crate::problem::{Kind, Problem};
use crate::refusal::problem;

/// Names of a listing for a terminal.
const LISTED_MAX: u32 = 1_000;

/// `/d/{share_id}`
pub(super) async fn share(
    State(app): State<App>,
    links: Links,
    Path(share_id): Path<String>,
    request: Request<Body>,
) -> Response {
    if wants_page(request.headers()) && pages::are_built() {
        return pages::index(&links.path(""), request.headers());
    }
    answer(bytes_or_list(&app, &links, &share_id, &request.into_parts().0).await)
}

/// `/d/{share_id}/{path}`
pub(super) async fn file(
    State(app): State<App>,
    links: Links,
    Path((share_id, _)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    answer(file_bytes(&app, &links, &share_id, &request.into_parts().0).await)
}

fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}

/// Only browsers that navigate name this type; `curl`, `wget` and scripts don't.
fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|item| item.trim_start().starts_with("text/html"))
        })
}

async fn bytes_or_list(
    app: &App,
    links: &Links,
    share_id: &str,
    request: &Parts,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::ShareNotFound);
    let share_id: Id = share_id.parse().map_err(|_| missing())?;
    let found = app.engine().share(share_id, None, LISTED_MAX).await;
    let (_, records) = found.map_err(|error| match error {
        ddx_engine::Error::NotFound => missing(),
        other => problem(other),
    })?;
    let mut files: Vec<FileRecord> = records.into_iter().filter(is_shown).collect();
    if files.len() > 1 {
        let list: String = files
            .iter()
            .map(|file| links.file(share_id, &file.path) + "\n")
            .collect();
        return Ok((
            [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            list,
        )
            .into_response());
    }
    let record = files.pop().ok_or_else(missing)?;
    app.deliver(record, request, Disposition::Attachment, &links.owner())
        .await
}

async fn file_bytes(
    app: &App,
    links: &Links,
    share_id: &str,
    request: &Parts,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::NotFound);
    let share_id: Id = share_id.parse().map_err(|_| missing())?;
    // The path as it came: what the router has decoded can't tell an encoded slash from a plain one.
    // The prefix before all of the server's paths is off already; a folder may be named `d` as well.
    let encoded = request
        .uri
        .path()
        .strip_prefix("/d/")
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, path)| path);
    let path = names::from_url_path(encoded, &app.config().names).map_err(|_| missing())?;
    let record = app
        .engine()
        .file_at(share_id, path)
        .await
        .map_err(problem)?;
    if !is_shown(&record) {
        return Err(missing());
    }
    let wanted = match request.uri.query() {
        Some(query) if query.split('&').any(|pair| pair == "download=1") => Disposition::Attachment,
        _ => Disposition::Inline,
    };
    app.deliver(record, request, wanted, &links.owner()).await
}

fn is_shown(record: &FileRecord) -> bool {
    record.kind != UploadKind::Partial && record.state != FileState::Failed
}
