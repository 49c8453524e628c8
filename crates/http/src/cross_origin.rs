//! Pages of other sites: who may use this server from a browser.
//!
//! No cookie decides anything here, keys in the request do, and no browser adds those by itself. So the default is every origin, and
//! a list of origins narrows it. One place decides for all addresses, whatever a protocol's own answer says.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::app::{App, CrossOrigin};
use crate::tus::wire;

/// What a request says of the page that it comes from.
pub(crate) struct Asked {
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            origin: request.headers().get(header::ORIGIN).cloned(),
            is_preflight: request.method() == Method::OPTIONS
                && request
                    .headers()
                    .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// The answer where only permission is asked for, at whatever address.
    pub(crate) fn preflight(&self) -> Option<Response> {
        self.is_preflight
            .then(|| (StatusCode::NO_CONTENT, wire::preflight(true)).into_response())
    }

    /// Adds the fields of CORS.
    pub(crate) fn permit(self, app: &App, response: &mut Response) {
        let headers = response.headers_mut();
        if let CrossOrigin::Listed(_) = &app.config().cross_origin {
            // Also where none was told: a cache would give that answer to every origin.
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.origin else {
            return;
        };
        match &app.config().cross_origin {
            CrossOrigin::Any => add_fields(headers),
            CrossOrigin::Listed(origins) => {
                headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                if origins
                    .iter()
                    .any(|listed| listed.as_bytes() == origin.as_bytes())
                {
                    add_fields(headers);
                    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                }
            }
        }
    }
}

fn add_fields(headers: &mut HeaderMap) {
    for (name, value) in &wire::preflight(false) {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}
