//! Pages of other sites: who may use this server from a browser.
//!
//! No cookie decides anything here, keys in the request do, and no browser adds those by itself. So the default is every origin, and
//! a list of origins narrows it. One place decides for all addresses, whatever a protocol's own answer says.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use crate::app::{App, CrossOrigin};
use crate::tus::wire;

/// Adds the fields of CORS, and answers preflights of addresses that have none of their own.
pub(crate) async fn answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks {
        true => (StatusCode::NO_CONTENT, wire::preflight(true)).into_response(),
        false => next.run(request).await,
    };
    let Some(origin) = origin else {
        return response;
    };
    let headers = response.headers_mut();
    match &app.config().cross_origin {
        CrossOrigin::Any => {
            for (name, value) in &wire::preflight(false) {
                headers.entry(name).or_insert_with(|| value.clone());
            }
        }
        CrossOrigin::Listed(origins) => {
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            if origins
                .iter()
                .any(|listed| listed.as_bytes() == origin.as_bytes())
            {
                for (name, value) in &wire::preflight(false) {
                    headers.entry(name).or_insert_with(|| value.clone());
                }
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
        }
    }
    response
}
