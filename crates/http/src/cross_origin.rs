//! Pages of other sites: who may use this server from a browser.
//!
//! No cookie decides here what a request may do (one tells which reader continues a download), keys
//! in the request do, and no browser adds those by itself. So the default is every origin, and a
//! list of origins narrows it. One place decides for all addresses, whatever a protocol's own
//! answer says:
//!
//! - Where origins are listed, a page of another site changes nothing. `Sec-Fetch-Site` tells where
//!   a request comes from, and no page can forge it; browsers without it, and all of them without
//!   TLS, tell the `Origin`. Who sends neither is a program, and keys decide about it as ever.
//! - What operators ask (`/metrics`, the health checks, the system's state) is shown to no page of
//!   another site, whatever is listed: it is about the server, and no link leads there.

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::app::{App, CrossOrigin};
use crate::fields;
use crate::links;
use crate::prefix;
use crate::problem::{Kind, Problem};
use crate::tus::wire;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request says of the page that it comes from, and what that page may.
pub(crate) struct Asked {
    origin: Option<HeaderValue>,
    /// Pages of that origin may read the answer.
    is_permitted: bool,
    is_preflight: bool,
    is_refused: bool,
    /// The fields that a preflight asks for, if they are names.
    asked_fields: Option<String>,
}

impl Asked {
    pub(crate) fn of(app: &App, request: &Request) -> Self {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN).cloned();
        let is_preflight = *request.method() == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let is_listed = match &app.config().cross_origin {
            CrossOrigin::Any => true,
            CrossOrigin::Listed(listed) => origin
                .as_ref()
                .is_some_and(|origin| listed.iter().any(|listed| listed == origin)),
        };
        let is_permitted = is_listed && !is_for_operators(app, request);
        let is_refused = if is_preflight {
            !is_permitted
        } else {
            !is_listed && !request.method().is_safe() && is_foreign(app, request)
        };
        Self {
            origin,
            is_permitted,
            is_preflight,
            is_refused,
            asked_fields: asked_fields(headers),
        }
    }

    /// The answer where only permission is asked for, or none is given, at whatever address.
    pub(crate) fn answer(&self) -> Option<Response> {
        if self.is_refused {
            return Some(refusal(self.origin.as_ref()).into_response());
        }
        self.is_preflight.then(|| {
            let mut fields = wire::preflight(true);
            if let Some(also) = &self.asked_fields {
                // An origin that may use this server may send what its app adds to every request.
                // No list knows those, and `*` does not stand for `Authorization`.
                let allowed = format!("{}, {also}", wire::ALLOWED_HEADERS);
                if let Ok(allowed) = HeaderValue::try_from(allowed) {
                    fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
                }
            }
            let depends = HeaderValue::from_static("Access-Control-Request-Headers");
            fields.append(header::VARY, depends);
            (StatusCode::NO_CONTENT, fields).into_response()
        })
    }

    /// Adds the fields of CORS.
    pub(crate) fn permit(self, app: &App, response: &mut Response) {
        let headers = response.headers_mut();
        if let CrossOrigin::Listed(_) = &app.config().cross_origin {
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            // Also where none was told: a cache would give that answer to every origin.
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.origin.filter(|_| self.is_permitted) else {
            return;
        };
        add_fields(headers);
        if let CrossOrigin::Listed(_) = &app.config().cross_origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

fn asked_fields(headers: &HeaderMap) -> Option<String> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS)?;
    let names: Vec<&str> = asked.to_str().ok()?.split(',').map(str::trim).collect();
    let are_names = names.iter().all(|name| fields::is_token(name));
    are_names.then(|| names.join(", "))
}

fn refusal(origin: Option<&HeaderValue>) -> Problem {
    let problem = Problem::new(Kind::CrossSite);
    match origin {
        Some(origin) => problem.value(String::from_utf8_lossy(origin.as_bytes()).into_owned()),
        None => problem,
    }
}

/// Whether a page of another site sent this, as far as a browser tells.
fn is_foreign(app: &App, request: &Request) -> bool {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return !sites.all(|site| site == "same-origin" || site == "none");
    }
    match request.headers().get(header::ORIGIN) {
        Some(origin) => !origin
            .to_str()
            .is_ok_and(|origin| links::is_own_origin(app, request, origin)),
        None => false,
    }
}

/// Whether this address tells of the server itself. An upload's progress is for who has its id.
fn is_for_operators(app: &App, request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>();
    let matched = matched.map_or("", MatchedPath::as_str);
    match prefix::below(&app.config().origin.path_prefix, matched) {
        "/metrics" | "/readyz" | "/healthz" => true,
        "/api/v1/system/upload-progress/{file_id}" => false,
        route => route.starts_with("/api/v1/system/"),
    }
}

fn add_fields(headers: &mut HeaderMap) {
    for (name, value) in &wire::preflight(false) {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}
