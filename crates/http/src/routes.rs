//! All addresses of the server, and what every answer has in common.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tracing::Instrument as _;

use crate::app::App;
use crate::links::{self, Links};
use crate::problem::{self, Kind, Problem};
use crate::reader::Reader;
use crate::request_id::{RequestId, RequestSpan};
use crate::vary::Vary;
use crate::{api, cross_origin, download, observe, pages, plain, strict, tus};

/// Everything that the server answers.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .merge(tus::routes())
        .merge(download::routes())
        .merge(api::routes())
        .merge(plain::routes())
        .route("/errors/{slug}", get(error_page))
        .method_not_allowed_fallback(other_method)
        .fallback(async || Problem::new(Kind::NotFound).into_response());
    let prefix = app.config().origin.path_prefix.clone();
    let routes = if prefix.is_empty() {
        routes
    } else {
        // A proxy may pass the prefix on or strip it; both arrive. A nest's own `/` is its prefix
        // without the slash.
        Router::new()
            .route(&format!("{prefix}/"), plain::front())
            .nest(&prefix, routes.clone())
            .merge(routes)
    };
    routes
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// A method that an address does not take. A file that is sent by PUT may be named as any of them,
/// as by `curl -T metrics`; only the API's are nothing else.
async fn other_method(State(app): State<App>, links: Links, request: Request) -> Response {
    if *request.method() != Method::PUT || api::is_below(request.uri().path()) {
        return Problem::new(Kind::MethodRefused).into_response();
    }
    plain::put(State(app), links, request).await
}

/// What every request passes, in one layer: each of its own would be one more future that a slow
/// upload holds to its end.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let request_id = RequestId::new();
    let span = request_id.span();
    let answer = answer(&app, &request_id, request, next);
    let mut response = answer.instrument(span.clone()).await;
    response.extensions_mut().insert(RequestSpan(span));
    response
}

async fn answer(app: &App, request_id: &RequestId, request: Request, next: Next) -> Response {
    let reader = Reader::of(app, &request);
    let seen = observe::Seen::of(app, &request);
    let asked = cross_origin::Asked::of(app, &request);
    let vary = Vary::of(app, request.extensions().get(), request.method());
    let client = links::client(app, &request);
    let too_many = too_many(app, client, tus::asks_for_offset(&request)).await;
    let early = too_many
        .or_else(|| strict::refusal(&request))
        .or_else(|| asked.answer());
    let mut response = match early {
        Some(answer) => answer,
        None => AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(panicked),
    };
    vary.tell(response.headers_mut());
    asked.permit(app, &mut response);
    let refused = request_id.complete(&mut response);
    if let (Some(reader), Some(problem)) = (reader, refused) {
        reader.shows(&problem, &mut response);
    }
    add_common_fields(&mut response);
    seen.answered(app, &response);
    response
}

/// The refusal of a client that asks too often. `waits`: it is answered later in place of that.
async fn too_many(app: &App, client: Option<IpAddr>, waits: bool) -> Option<Response> {
    let client = client?;
    loop {
        let Err((problem, after)) = app.paces().count_request(client) else {
            return None;
        };
        // tus clients take nearly every refusal of a HEAD for an upload that is gone, and begin
        // anew: it waits.
        if !waits {
            return Some(problem.into_response());
        }
        tokio::time::sleep(after).await;
    }
}

/// `GET /` and every other address that nothing else has: the pages and their files.
pub(crate) async fn page(links: Links, path: Option<Path<String>>, headers: HeaderMap) -> Response {
    match path {
        Some(Path(path)) => pages::serve(&path, &headers)
            .unwrap_or_else(|| Problem::new(Kind::NotFound).into_response()),
        None => pages::index(&links.path(""), &headers),
    }
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

/// No answer is ever taken for another type than it says, or tells other sites where its reader
/// came from: links are secrets.
pub(crate) fn add_common_fields(response: &mut Response) {
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
    for (name, value) in FIELDS {
        response.headers_mut().entry(name).or_insert(value);
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        panic = what,
        "a request crashed by a mistake in the server; all others go on; please report this"
    );
    Problem::new(Kind::Internal).into_response()
}
