//! All addresses of the server, put together.

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use tower::ServiceExt as _;

use crate::app::App;
use crate::contract;
use crate::middleware::Middleware;
use crate::protocols;
use crate::route_group::RouteGroup;
use crate::shared::problem::{Kind, Problem};
use crate::{api, delivery, pages};

/// Every group, in the order in which they are asked what a request is: the API has its addresses
/// alone, and the pages have what no other group has.
fn groups() -> Vec<RouteGroup> {
    let mut groups = vec![api::group()];
    groups.extend(protocols::groups());
    groups.extend([delivery::group(), pages::group()]);
    groups
}

/// Everything that the server answers.
pub fn router(app: App) -> Router {
    let groups = groups();
    let middleware = Middleware::new(app.clone(), &groups);
    let prefix = app.config().origin.path_prefix.clone();
    let contract = contract::document(&groups, &prefix, app.config().version);
    // Strings, numbers and lists: nothing in it can fail to serialize.
    let contract = Bytes::from(serde_json::to_vec(&contract).unwrap_or_default());
    let mut routes = Router::new();
    let mut root = MethodRouter::new();
    let mut other_method = None;
    for group in groups {
        routes = routes.merge(group.routes);
        root = root.merge(group.root);
        other_method = other_method.or(group.other_method);
    }
    let taken = other_method.map(|(method, taken)| (method, taken.with_state(app.clone())));
    let other_method = async move |request: Request| match taken {
        Some((method, taken))
            if *request.method() == method && !api::is_below(request.uri().path()) =>
        {
            let Ok(answer) = taken.oneshot(request).await;
            answer
        }
        _ => Problem::new(Kind::MethodRefused).into_response(),
    };
    let routes = routes
        .route("/", root.clone())
        .route(contract::PATH, get(async || contract::answer(contract)))
        .method_not_allowed_fallback(other_method)
        .fallback(async || Problem::new(Kind::NotFound).into_response());
    let routes = if prefix.is_empty() {
        routes
    } else {
        // A proxy may pass the prefix on or strip it; both arrive. A nest's own `/` is its prefix
        // without the slash.
        Router::new()
            .route(&format!("{prefix}/"), root)
            .nest(&prefix, routes.clone())
            .merge(routes)
    };
    routes
        .layer(from_fn_with_state(middleware, Middleware::around))
        .with_state(app)
}

/// The API's contract as `docs/openapi.json` has it.
#[must_use]
pub fn openapi() -> String {
    let document = contract::document(&groups(), "", env!("CARGO_PKG_VERSION"));
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Tells of a path of the server whether a file may lie there, the prefix before it taken off.
pub(crate) fn file_paths() -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let tells: Vec<_> = groups().iter().map(|group| group.may_be_file).collect();
    move |path| tells.iter().any(|may_be_file| may_be_file(path))
}
