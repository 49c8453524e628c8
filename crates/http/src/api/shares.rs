//! Shares and their files.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use ddx_engine::FileSummary;
use ddx_id::{FileId, ShareId};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::{App, Client, PublicBase, charge_answer};
use crate::listing::{self, Draw, File, Listing};
use crate::shared::accept::takes_coding;
use crate::shared::engine_error::{problem, share_problem};
use crate::shared::problem::{Kind, Problem};

/// Files of a share in one answer; the next page begins after the last path of this one.
const PAGE_FILES_MAX: u32 = 1_000;

/// A share that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedShare {
    /// Its id, which its link has.
    share_id: String,
    /// The secret that puts files into it.
    share_key: String,
    /// Its link.
    link: String,
    /// When it was made, in milliseconds since 1970.
    created_at: i64,
}

/// What comes before a share's files.
#[derive(Debug, Serialize, ToSchema)]
struct Share {
    /// Its id.
    share_id: String,
    /// Its link.
    link: String,
    /// When it was made, in milliseconds since 1970.
    created_at: i64,
}

/// A share with a page of its files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is drawn file by file; this is its shape")]
struct SharePage {
    #[schema(inline)]
    #[serde(flatten)]
    share: Share,
    /// At most 1,000, by their paths.
    files: Vec<File>,
    /// The path after which the next page begins, if there is one.
    #[schema(required)]
    next: Option<String>,
}

/// Draws the array of files, and where the next page begins, if there is one: `?after=`.
struct Files {
    app: App,
    base: PublicBase,
    count: u32,
    /// The path of the last one drawn, once there are as many as one answer has.
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The path after which the page begins.
    after: Option<String>,
}

/// Makes a share, for files that are sent into it by its key.
#[utoipa::path(
    post,
    path = "/api/v1/shares",
    operation_id = "create_share",
    tag = "shares",
    responses((status = 201, description = "It was made.", body = CreatedShare)),
)]
pub(super) async fn create(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
) -> Result<Response, Problem> {
    app.rate_limits().count_creation(client.address())?;
    let share = app.engine().create_share().await.map_err(problem)?;
    let body = CreatedShare {
        share_id: share.share_id.to_string(),
        share_key: share.share_key.reveal(),
        link: base.share(share.share_id),
        created_at: app.engine().time_of_day(share.created_at),
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// A share's files, complete or on their way.
#[utoipa::path(
    get,
    path = "/api/v1/shares/{share_id}",
    operation_id = "show_share",
    tag = "shares",
    params(("share_id" = String, Path, description = "The share's id."), Page),
    responses((status = 200, description = "A page of its files.", body = SharePage)),
)]
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

/// One file.
#[utoipa::path(
    get,
    path = "/api/v1/files/{file_id}",
    operation_id = "show_file",
    tag = "files",
    params(("file_id" = String, Path, description = "The file's id.")),
    responses((status = 200, description = "The file as it stands.", body = File)),
)]
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

/// How far a file is, for programs that know the address of earlier systems.
#[utoipa::path(
    get,
    path = "/api/v1/system/upload-progress/{file_id}",
    operation_id = "show_progress",
    tag = "files",
    params(("file_id" = String, Path, description = "The file's id.")),
    responses((status = 200, description = "The file as it stands.", body = File)),
)]
pub(super) async fn progress(
    state: State<App>,
    base: PublicBase,
    file_id: Path<String>,
) -> Result<Response, Problem> {
    file(state, base, file_id).await
}
