//! The link: a page for people, bytes for programs, at the same address.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::{FileSummary, Id, Kind as UploadKind, State as FileState};
use http::request::Parts;
use http::{HeaderMap, Request, header};

use super::disposition::Disposition;
use super::one_time;
use crate::app::App;
use crate::links::Links;
use crate::listing::{self, Draw, Listing};
use crate::names;
use crate::negotiate::takes_coding;
use crate::pages;
use crate::problem::{Kind, Problem};
use crate::refusal::{problem, share_problem};

/// `/d/{share_id}`
pub(super) async fn share(
    State(app): State<App>,
    links: Links,
    Path(share_id): Path<String>,
    request: Request<Body>,
) -> Response {
    if one_time::only_looks(request.headers())
        || wants_page(request.headers()) && pages::are_built()
    {
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

/// The bytes of a share's only file, or the links of all.
async fn bytes_or_list(
    app: &App,
    links: &Links,
    share_id: &str,
    request: &Parts,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::ShareNotFound);
    let share_id: Id = share_id.parse().map_err(|_| missing())?;
    // Most shares are one file, which is not to wait for the memory of a list.
    let mut listing = Listing::glance_at(share_id);
    let mut shown = Vec::with_capacity(2);
    while shown.len() < 2
        && let Some(file) = listing.next(app.engine()).await.map_err(problem)?
    {
        shown.extend(is_shown(&file).then_some(file));
    }
    if let [_, _] = shown.as_slice() {
        listing.go_on(app.charge_answer(listing::PAGE_BYTES)?);
        let mut lines = Lines(links.clone());
        let mut head = Vec::new();
        shown
            .iter()
            .for_each(|file| _ = lines.file(file, &mut head));
        let media_type = "text/plain; charset=utf-8";
        let is_packed = takes_coding(&request.headers, "gzip");
        return listing::answer(app.engine(), listing, is_packed, media_type, head, lines)
            .await
            .map_err(problem);
    }
    let only = shown.pop().ok_or_else(missing)?;
    let record = app.engine().file(Id(only.file_id)).await;
    let record = record.map_err(share_problem)?;
    app.deliver(record, request, Disposition::Attachment, &links.owner())
        .await
}

/// A link on each line.
struct Lines(Links);

impl Draw for Lines {
    fn file(&mut self, file: &FileSummary, into: &mut Vec<u8>) -> bool {
        if is_shown(file) {
            let link = self.0.file(Id(file.share_id), &file.path);
            into.extend_from_slice(link.as_bytes());
            into.push(b'\n');
        }
        true
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
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
    if record.kind == UploadKind::Partial || record.state == FileState::Failed {
        return Err(missing());
    }
    if record.max_downloads.is_some() && one_time::only_looks(&request.headers) {
        return Ok(pages::index(&links.path(""), &request.headers));
    }
    let wanted = match request.uri.query() {
        Some(query) if query.split('&').any(|pair| pair == "download=1") => Disposition::Attachment,
        _ => Disposition::Inline,
    };
    app.deliver(record, request, wanted, &links.owner()).await
}

fn is_shown(file: &FileSummary) -> bool {
    file.state != FileState::Failed
}
