//! Plain HTTP: `PUT /{name}`, the form at `POST /`, and the address that deletes.

mod form;
mod handlers;
pub mod multipart;
pub mod wire;

pub(crate) use handlers::put;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, put as put_method};

use crate::app::App;
use crate::routes::page;

/// The front door, wherever it stands.
pub(crate) fn front() -> MethodRouter<App> {
    get(page).put(handlers::put_nameless).post(form::form)
}

/// Its routes. Reading at the same addresses gives the pages.
pub(crate) fn routes() -> Router<App> {
    let deleting = delete(handlers::delete)
        .put(handlers::put)
        .fallback(handlers::only_deletes);
    Router::new()
        .route("/", front())
        .route("/{*path}", get(page).put(handlers::put))
        .route("/delete/{key}", deleting)
        // Another protocol's addresses, where each other method is its own affair.
        .route("/files", put_method(handlers::put))
        .route("/files/", put_method(handlers::put))
        .route("/files/{key}", put_method(handlers::put))
}
