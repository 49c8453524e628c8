//! tus 1.0.0, the resumable upload protocol, with all its extensions.

mod handlers;
pub mod wire;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::routing::any;
use http::Method;

use crate::app::App;

/// An upload's own address.
const UPLOAD: &str = "/files/{key}";

/// Its routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/files", any(handlers::collection))
        .route("/files/", any(handlers::collection))
        .route(UPLOAD, any(handlers::upload))
}

/// Whether a client asks where its upload stands.
pub(crate) fn asks_for_offset(request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>();
    *request.method() == Method::HEAD && matched.is_some_and(|it| it.as_str().ends_with(UPLOAD))
}
