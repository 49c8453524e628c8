//! The API: shares, files and the system's state as JSON, and as event streams.

mod events;
mod metrics;
mod shares;
mod system;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub(crate) use system::status_document;

/// Whether a path of the server is one of the API, or would be.
pub(crate) fn is_below(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Its routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(events::routes())
        .route("/api/v1/shares", post(shares::create))
        .route("/api/v1/shares/{share_id}", get(shares::show))
        .route("/api/v1/files/{file_id}", get(shares::file))
        .route("/api/v1/limits", get(system::limits))
        .route("/api/v1/system/upload-status", get(system::upload_status))
        .route(
            "/api/v1/system/upload-progress/{file_id}",
            get(shares::file),
        )
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(metrics::metrics))
}
