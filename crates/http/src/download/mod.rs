//! Downloads: `/d/{share_id}` and `/d/{share_id}/{path}`.

pub mod byteranges;
pub mod disposition;
pub mod wire;

mod handlers;
pub(crate) mod one_time;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// Its routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/d/{share_id}", get(handlers::share))
        .route("/d/{share_id}/", get(handlers::share))
        .route("/d/{share_id}/{*path}", get(handlers::file))
}

/// Whether a file may lie at this path of the server: in a share, or at the URL of an upload.
pub(crate) fn may_be_file(path: &str) -> bool {
    path.starts_with("/d/") || path.starts_with("/files/")
}
