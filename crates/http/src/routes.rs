//! All addresses of the server, and what every answer has in common.

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::problem::{self, Kind, Problem};
use crate::{api, cross_origin, download, observe, pages, plain, tus};

/// Everything that the server answers.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .merge(tus::routes())
        .merge(download::routes())
        .merge(api::routes())
        .merge(plain::routes())
        .route("/errors/{slug}", get(error_page))
        .method_not_allowed_fallback(async || Problem::new(Kind::MethodRefused).into_response())
        .fallback(async || Problem::new(Kind::NotFound).into_response());
    let prefix = app.config().origin.path_prefix.clone();
    let routes = if prefix.is_empty() {
        routes
    } else {
        // A proxy may pass the prefix on or strip it; both arrive.
        Router::new().nest(&prefix, routes.clone()).merge(routes)
    };
    routes
        .layer(middleware::from_fn(common_fields))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            cross_origin::answer,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            observe::request,
        ))
        .with_state(app)
}

/// `GET /` and every other address that nothing else has: the pages and their files.
pub(crate) async fn page(
    State(_): State<App>,
    path: Option<Path<String>>,
    headers: HeaderMap,
) -> Response {
    let path = path.map_or_else(String::new, |Path(path)| path);
    if path.is_empty() {
        return pages::index(&headers);
    }
    pages::serve(&path, &headers).unwrap_or_else(|| Problem::new(Kind::NotFound).into_response())
}

/// `/errors/{slug}`: what a problem document's `type` leads to.
async fn error_page(Path(slug): Path<String>) -> Response {
    match problem::TABLE.iter().find(|entry| entry.slug == slug) {
        Some(entry) => format!(
            "{} ({})\n\n{}\n\n{}\n",
            entry.title, entry.status, entry.about, entry.remedy
        )
        .into_response(),
        None => Problem::new(Kind::NotFound).into_response(),
    }
}

/// No answer is ever taken for another type than it says, or tells other sites where its reader came from: links are secrets.
async fn common_fields(request: axum::extract::Request, next: middleware::Next) -> Response {
    const FIELDS: [(HeaderName, HeaderValue); 2] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    let mut response = next.run(request).await;
    for (name, value) in FIELDS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what, "a request's handler panicked");
    Problem::new(Kind::Internal).into_response()
}
