//! tus 1.0.0, the resumable upload protocol, with all its extensions.

mod handlers;
pub mod wire;

use axum::Router;
use axum::routing::any;

use crate::app::App;

/// Its routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/files", any(handlers::collection))
        .route("/files/", any(handlers::collection))
        .route("/files/{key}", any(handlers::upload))
}
