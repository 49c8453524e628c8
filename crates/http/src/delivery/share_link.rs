//! The link: a page for people, bytes for programs, at the same address.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use ddx_engine::{Error, FileSummary, Kind as UploadKind, State as FileState};
use ddx_id::ShareId;
use http::Request;
use http::request::Parts;

use super::disposition::Disposition;
use super::file::deliver;
use super::one_time;
use crate::app::{App, Client, PublicBase, charge_answer};
use crate::listing::{self, Draw, Listing};
use crate::pages;
use crate::shared::accept::{takes_coding, wants_page};
use crate::shared::engine_error::{problem, share_problem};
use crate::shared::names;
use crate::shared::problem::{Kind, Problem};

/// A share: its page for browsers; for programs the bytes of its only file, or a list of links.
#[utoipa::path(
    get,
    path = "/d/{share_id}",
    operation_id = "download_share",
    tag = "downloads",
    params(("share_id" = String, Path, description = "The share's id.")),
    responses(
        (status = 200, description = "The file, or the links of all, one on a line.", content(
            (Vec<u8> = "application/octet-stream"),
            (String = "text/plain"),
            (String = "text/html"),
        )),
        (status = 206, description = "The part that was asked for.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client's copy is still right."),
    ),
)]
pub(super) async fn share(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    Path(share_id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let request = request.into_parts().0;
    share_as_asked(&app, &base, client, &share_id, &request).await
}

/// One file of a share.
#[utoipa::path(
    get,
    path = "/d/{share_id}/{path}",
    operation_id = "download_file",
    tag = "downloads",
    params(
        ("share_id" = String, Path, description = "The share's id."),
        ("path" = String, Path, description = "The file's path, whose slashes are its own."),
        ("Range" = Option<String>, Header, description = "The part that is wanted."),
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that was asked for.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client's copy is still right."),
    ),
)]
pub(super) async fn file(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    Path((share_id, _)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let request = request.into_parts().0;
    file_bytes(&app, &base, client, &share_id, &request).await
}

/// The id of a share, whatever a sentence or a bracket has left behind it.
fn id_of(share_id: &str) -> Result<ShareId, Problem> {
    without_tail(share_id)
        .parse()
        .map_err(|_| Problem::new(Kind::ShareNotFound))
}

/// A link's text without the slashes, stops, brackets and quotes at its end.
fn without_tail(link: &str) -> &str {
    link.trim_end_matches(|letter: char| !letter.is_alphanumeric())
}

async fn share_as_asked(
    app: &App,
    base: &PublicBase,
    client: Client,
    share_id: &str,
    request: &Parts,
) -> Result<Response, Problem> {
    let id = id_of(share_id)?;
    let is_reader = !one_time::only_looks(&request.headers);
    if is_reader && (!wants_page(&request.headers) || !pages::are_built()) {
        return bytes_or_list(app, base, client, id, request).await;
    }
    app.engine().share(id).await.map_err(share_problem)?;
    let plain = format!("/d/{id}");
    if request.uri.path() != plain {
        // The page reads the id from its address.
        return Ok(Redirect::permanent(&base.path(&plain)).into_response());
    }
    Ok(pages::index(&base.path(""), &request.headers))
}

/// The bytes of a share's only file, or the links of all.
async fn bytes_or_list(
    app: &App,
    base: &PublicBase,
    client: Client,
    share_id: ShareId,
    request: &Parts,
) -> Result<Response, Problem> {
    // Most shares are one file, which is not to wait for the memory of a list.
    let mut listing = Listing::glance_at(share_id);
    let mut shown = Vec::with_capacity(2);
    while shown.len() < 2
        && let Some(file) = listing.next(app.engine()).await.map_err(problem)?
    {
        shown.extend(is_shown(&file).then_some(file));
    }
    if let [_, _] = shown.as_slice() {
        listing.go_on(charge_answer(app, listing::PAGE_BYTES)?);
        let mut lines = Lines(base.clone());
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
    let missing = || Problem::new(Kind::ShareNotFound);
    let only = shown.pop().ok_or_else(missing)?;
    let record = app.engine().file(only.file_id).await;
    let record = record.map_err(share_problem)?;
    deliver(
        app,
        record,
        request,
        Disposition::Attachment,
        &client.owner(),
    )
    .await
}

/// A link on each line.
struct Lines(PublicBase);

impl Draw for Lines {
    fn file(&mut self, file: &FileSummary, into: &mut Vec<u8>) -> bool {
        if is_shown(file) {
            let link = self.0.file(file.share_id, &file.path);
            into.extend_from_slice(link.as_bytes());
            into.push(b'\n');
        }
        true
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

async fn file_bytes(
    app: &App,
    base: &PublicBase,
    client: Client,
    share_id: &str,
    request: &Parts,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::NotFound);
    let share_id: ShareId = share_id.parse().map_err(|_| missing())?;
    // The path as it came: what the router has decoded can't tell an encoded slash from a plain
    // one. The prefix before all of the server's paths is off already; a folder may be named `d` as
    // well.
    let encoded = request
        .uri
        .path()
        .strip_prefix("/d/")
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, path)| path);
    let Ok(path) = names::from_url_path(encoded, &app.config().names) else {
        return match without_tail(&names::decode(encoded)) {
            "" => share_as_asked(app, base, client, &share_id.to_string(), request).await,
            _ => Err(missing()),
        };
    };
    let found = match app.engine().file_at(share_id, path.clone()).await {
        // A file may be named so; where none is, it came from the text around the link.
        Err(Error::NotFound) => match without_tail(&path) {
            "" => return share_as_asked(app, base, client, &share_id.to_string(), request).await,
            rest if rest == path => Err(Error::NotFound),
            rest => app.engine().file_at(share_id, rest.to_owned()).await,
        },
        found => found,
    };
    let record = found.map_err(problem)?;
    if record.kind == UploadKind::Partial || record.state == FileState::Failed {
        return Err(missing());
    }
    if record.max_downloads.is_some() && one_time::only_looks(&request.headers) {
        return Ok(pages::index(&base.path(""), &request.headers));
    }
    let wanted = match request.uri.query() {
        Some(query) if query.split('&').any(|pair| pair == "download=1") => Disposition::Attachment,
        _ => Disposition::Inline,
    };
    deliver(app, record, request, wanted, &client.owner()).await
}

fn is_shown(file: &FileSummary) -> bool {
    file.state != FileState::Failed
}
