//! Shares and their files.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::{Id, Kind as UploadKind};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::links::Links;
use crate::problem::{Kind, Problem};
use crate::refusal::problem;
use crate::view::File;

/// Files of a share in one answer; the next page begins after the last path of this one.
pub(super) const PAGE_FILES_MAX: u32 = 1_000;

#[derive(Debug, Serialize)]
struct Created {
    share_id: String,
    share_key: String,
    link: String,
    created_at: i64,
}

#[derive(Debug, Serialize)]
struct Share {
    share_id: String,
    link: String,
    created_at: i64,
    files: Vec<File>,
    /// Where the next page begins, if there is one: `?after=`.
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    after: Option<String>,
}

/// `POST /api/v1/shares`
pub(super) async fn create(State(app): State<App>, links: Links) -> Response {
    match app.engine().create_share().await {
        Ok(share) => {
            let body = Created {
                share_id: share.share_id.to_string(),
                share_key: share.share_key.to_string(),
                link: links.share(share.share_id),
                created_at: share.created_at,
            };
            (StatusCode::CREATED, Json(body)).into_response()
        }
        Err(error) => problem(error).into_response(),
    }
}

/// `GET /api/v1/shares/{share_id}`
pub(super) async fn show(
    State(app): State<App>,
    links: Links,
    Path(share_id): Path<String>,
    Query(page): Query<Page>,
) -> Response {
    match find(&app, &links, &share_id, page.after).await {
        Ok(share) => ([(http::header::CACHE_CONTROL, "no-store")], Json(share)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn find(
    app: &App,
    links: &Links,
    share_id: &str,
    after: Option<String>,
) -> Result<Share, Problem> {
    let missing = || Problem::new(Kind::ShareNotFound);
    let share_id: Id = share_id.parse().map_err(|_| missing())?;
    let found = app.engine().share(share_id, after, PAGE_FILES_MAX).await;
    let (share, records) = found.map_err(|error| match error {
        ddx_engine::Error::NotFound => missing(),
        other => problem(other),
    })?;
    let next = (records.len() as u32 == PAGE_FILES_MAX)
        .then(|| records.last().map(|record| record.path.clone()))
        .flatten();
    let files = records
        .iter()
        .filter(|record| record.kind != UploadKind::Partial)
        .map(|record| {
            let progress = app
                .engine()
                .progress(Id(record.file_id))
                .map(|watch| watch.borrow().clone());
            File::new(record, progress.as_ref(), links)
        })
        .collect();
    Ok(Share {
        share_id: share_id.to_string(),
        link: links.share(share_id),
        created_at: share.created_at,
        files,
        next,
    })
}

/// `GET /api/v1/files/{file_id}` and `GET /api/v1/system/upload-progress/{file_id}`
pub(super) async fn file(
    State(app): State<App>,
    links: Links,
    Path(file_id): Path<String>,
) -> Response {
    let Ok(file_id) = file_id.parse::<Id>() else {
        return Problem::new(Kind::NotFound).into_response();
    };
    match app.engine().file(file_id).await {
        Ok(record) => {
            let progress = app
                .engine()
                .progress(file_id)
                .map(|watch| watch.borrow().clone());
            let file = File::new(&record, progress.as_ref(), &links);
            ([(http::header::CACHE_CONTROL, "no-store")], Json(file)).into_response()
        }
        Err(error) => problem(error).into_response(),
    }
}
