//! Shares and their files.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::FileSummary;
use ddx_id::{FileId, ShareId};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::app::{App, Client, PublicBase, charge_answer};
use crate::listing::{self, Draw, File, Listing};
use crate::shared::accept::takes_coding;
use crate::shared::engine_error::{problem, share_problem};
use crate::shared::problem::{Kind, Problem};

/// Files of a share in one answer; the next page begins after the last path of this one.
const PAGE_FILES_MAX: u32 = 1_000;

#[derive(Debug, Serialize)]
struct Created {
    share_id: String,
    share_key: String,
    link: String,
    created_at: i64,
}

/// What comes before a share's files.
#[derive(Debug, Serialize)]
struct Share {
    share_id: String,
    link: String,
    created_at: i64,
}

/// Draws the array of files, and where the next page begins, if there is one: `?after=`.
struct Files {
    app: App,
    base: PublicBase,
    count: u32,
    /// The path of the last one drawn, once there are as many as one answer has.
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    after: Option<String>,
}

/// `POST /api/v1/shares`
pub(super) async fn create(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
) -> Result<Response, Problem> {
    app.rate_limits().count_creation(client.address())?;
    let share = app.engine().create_share().await.map_err(problem)?;
    let body = Created {
        share_id: share.share_id.to_string(),
        share_key: share.share_key.reveal(),
        link: base.share(share.share_id),
        created_at: app.engine().time_of_day(share.created_at),
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `GET /api/v1/shares/{share_id}`
pub(super) async fn show(
    State(app): State<App>,
    base: PublicBase,
    Path(share_id): Path<String>,
    Query(page): Query<Page>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let share_id: ShareId = share_id
        .parse()
        .map_err(|_| Problem::new(Kind::ShareNotFound))?;
    let share = app.engine().share(share_id).await.map_err(share_problem)?;
    let charge = charge_answer(&app, listing::PAGE_BYTES)?;
    let share = Share {
        share_id: share_id.to_string(),
        link: base.share(share_id),
        created_at: app.engine().time_of_day(share.created_at),
    };
    // Strings and numbers only: nothing in it can fail to serialize.
    let mut head = serde_json::to_vec(&share).unwrap_or_default();
    head.pop();
    head.extend_from_slice(b",\"files\":[");
    let files = Files {
        app: app.clone(),
        base,
        count: 0,
        next: None,
    };
    let listing = Listing::of_share(share_id, page.after, charge);
    let media_type = "application/json";
    let is_packed = takes_coding(&request, "gzip");
    listing::answer(app.engine(), listing, is_packed, media_type, head, files)
        .await
        .map_err(problem)
}

impl Draw for Files {
    fn file(&mut self, file: &FileSummary, into: &mut Vec<u8>) -> bool {
        if self.next.is_some() {
            return false;
        }
        if self.count > 0 {
            into.push(b',');
        }
        // Into memory, strings and numbers only: neither can fail.
        let _ = serde_json::to_writer(into, &File::now(file, &self.base, &self.app));
        self.count += 1;
        self.next = (self.count == PAGE_FILES_MAX).then(|| file.path.clone());
        true
    }

    fn end(&mut self, into: &mut Vec<u8>) {
        into.extend_from_slice(b"],\"next\":");
        let _ = serde_json::to_writer(&mut *into, &self.next);
        into.push(b'}');
    }
}

/// `GET /api/v1/files/{file_id}` and `GET /api/v1/system/upload-progress/{file_id}`
pub(super) async fn file(
    State(app): State<App>,
    base: PublicBase,
    Path(file_id): Path<String>,
) -> Result<Response, Problem> {
    let file_id: FileId = file_id.parse().map_err(|_| Problem::new(Kind::NotFound))?;
    let record = app.engine().file(file_id).await.map_err(problem)?;
    let file = File::now(&record.into(), &base, &app);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(file)).into_response())
}
