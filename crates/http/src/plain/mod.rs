//! Plain HTTP: `PUT /{name}`, the form at `POST /`, and the address that deletes.

mod form;
mod handlers;
pub mod multipart;
pub mod wire;

use axum::Router;
use axum::routing::{MethodRouter, any, get};

use crate::app::App;
use crate::routes::page;

/// The front door, wherever it stands.
pub(crate) fn front() -> MethodRouter<App> {
    get(page).put(handlers::put_nameless).post(form::form)
}

/// Its routes. Reading at the same addresses gives the pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", front())
        .route("/{*path}", get(page).put(handlers::put))
        .route("/delete/{key}", any(handlers::delete))
}
