//! Plain HTTP: `PUT /{name}`, the form at `POST /`, and the address that deletes.

mod handlers;
pub mod multipart;
pub mod wire;

use axum::Router;
use axum::routing::{any, get};

use crate::app::App;
use crate::routes::page;

/// Its routes. Reading at the same addresses gives the pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(page).put(handlers::put).post(handlers::form))
        .route("/{*path}", get(page).put(handlers::put))
        .route("/delete/{key}", any(handlers::delete))
}
