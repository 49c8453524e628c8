//! tus 1.0.0, the resumable upload protocol, with all its extensions.

mod cors;
mod handlers;
pub mod headers;

use axum::Router;
use axum::routing::{MethodFilter, on};
use http::Method;

use crate::route_group::{RouteGroup, RouteInfo};

/// An upload's own address.
const UPLOAD: &str = "/files/{key}";

/// All that a handler looks at by itself: an override may mean another one than is sent. A file
/// that is sent by PUT is none of this protocol's.
const METHODS: MethodFilter = MethodFilter::POST
    .or(MethodFilter::HEAD)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::GET)
    .or(MethodFilter::OPTIONS);

pub(crate) fn group() -> RouteGroup {
    let routes = Router::new()
        .route("/files", on(METHODS, handlers::collection))
        .route("/files/", on(METHODS, handlers::collection))
        .route(UPLOAD, on(METHODS, handlers::upload));
    RouteGroup {
        may_be_file: |path| path.starts_with("/files/"),
        protocol: Some(handlers::PROTOCOL),
        cors: cors::CORS,
        ..RouteGroup::new(routes, describe)
    }
}

fn describe(method: &Method, route: &str) -> Option<RouteInfo> {
    let is_own = route == "/files" || route.starts_with("/files/");
    is_own.then(|| RouteInfo {
        // Clients take nearly every refusal of a HEAD for an upload that is gone, and begin anew.
        waits_its_turn: *method == Method::HEAD && route == UPLOAD,
        always_cors: true,
        ..RouteInfo::new(handlers::PROTOCOL.name)
    })
}
