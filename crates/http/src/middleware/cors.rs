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

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::app::{App, CREATED_FIELDS, CrossOrigin, peer};
use crate::route_group::Cors;
use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The methods that a page of another origin may use.
const METHODS: &str = "POST, PUT, HEAD, PATCH, OPTIONS, GET, DELETE";

/// What clients send to any address.
const REQUEST_FIELDS: &[&str] = &[
    "Authorization",
    "Origin",
    "X-Requested-With",
    "X-Request-ID",
    "Content-Type",
];

/// What any answer may have.
const RESPONSE_FIELDS: &[&str] = &["X-Request-ID", "Retry-After"];

/// How long a browser may keep the answer to a preflight, in seconds: a day, which is the most that
/// Firefox takes.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// The lists of fields, put together from those of all groups.
pub(super) struct CorsFields {
    allowed: HeaderValue,
    exposed: HeaderValue,
}

impl CorsFields {
    pub(super) fn of<'g>(groups: impl Iterator<Item = &'g Cors> + Clone) -> Self {
        let of_requests = groups.clone().map(|group| group.request_fields);
        let of_responses = groups.map(|group| group.response_fields);
        Self {
            allowed: joined(std::iter::once(REQUEST_FIELDS).chain(of_requests)),
            exposed: joined(
                [RESPONSE_FIELDS, CREATED_FIELDS]
                    .into_iter()
                    .chain(of_responses),
            ),
        }
    }

    /// Any origin may upload, and none may send along cookies: what a request may do is decided by
    /// the keys in it, which no browser adds by itself. So `*` is right, and the answer does not
    /// depend on the origin.
    fn add(&self, headers: &mut HeaderMap) {
        headers
            .entry(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .or_insert(HeaderValue::from_static("*"));
        headers
            .entry(header::ACCESS_CONTROL_EXPOSE_HEADERS)
            .or_insert_with(|| self.exposed.clone());
    }

    fn preflight(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(6);
        let fields = [
            (
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            ),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(METHODS),
            ),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, self.allowed.clone()),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        ];
        headers.extend(fields);
        headers
    }
}

/// A list of all names, each once.
fn joined(lists: impl Iterator<Item = &'static [&'static str]>) -> HeaderValue {
    let mut names = Vec::new();
    for name in lists.flatten() {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    HeaderValue::try_from(names.join(", ")).expect("names of fields are visible ASCII")
}

/// What a request says of the page that it comes from, and what that page may.
pub(super) struct CrossOriginRequest {
    origin: Option<HeaderValue>,
    /// Pages of that origin may read the answer.
    is_permitted: bool,
    is_preflight: bool,
    is_refused: bool,
    /// The fields that a preflight asks for, if they are names.
    asked_fields: Option<String>,
}

impl CrossOriginRequest {
    pub(super) fn of(app: &App, request: &Request, is_for_operators: bool) -> Self {
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
        let is_permitted = is_listed && !is_for_operators;
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
    pub(super) fn answer(&self, cors: &CorsFields) -> Option<Response> {
        if self.is_refused {
            return Some(refusal(self.origin.as_ref()).into_response());
        }
        self.is_preflight.then(|| {
            let mut fields = cors.preflight();
            if let Some(also) = &self.asked_fields {
                // An origin that may use this server may send what its app adds to every request.
                // No list knows those, and `*` does not stand for `Authorization`.
                let mut allowed = cors.allowed.as_bytes().to_vec();
                allowed.extend_from_slice(b", ");
                allowed.extend_from_slice(also.as_bytes());
                if let Ok(allowed) = HeaderValue::try_from(allowed) {
                    fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
                }
            }
            let depends = HeaderValue::from_static("Access-Control-Request-Headers");
            fields.append(header::VARY, depends);
            (StatusCode::NO_CONTENT, fields).into_response()
        })
    }

    /// Adds the fields of CORS; `always`, also where no origin was named.
    pub(super) fn permit(
        self,
        app: &App,
        cors: &CorsFields,
        always: bool,
        response: &mut Response,
    ) {
        let headers = response.headers_mut();
        let is_permitted = self.origin.is_some() && self.is_permitted;
        if is_permitted || always {
            cors.add(headers);
        }
        if let CrossOrigin::Listed(_) = &app.config().cross_origin {
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            // Also where none was told: a cache would give that answer to every origin.
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = self.origin.filter(|_| self.is_permitted) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
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
            .is_ok_and(|origin| is_own_origin(app, request, origin)),
        None => false,
    }
}

/// Whether a page of this origin is one of the server's own.
fn is_own_origin(app: &App, request: &Request, origin: &str) -> bool {
    peer(request.extensions()).is_some_and(|peer| {
        let config = &app.config().origin;
        config.is_own(peer, request.uri(), request.headers(), origin)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn names(value: &HeaderValue) -> Vec<String> {
        let text = value.to_str().unwrap();
        text.split(", ").map(str::to_ascii_lowercase).collect()
    }

    #[test]
    fn a_page_may_send_and_read_what_any_group_names_and_each_name_stands_once() {
        let groups = [
            Cors {
                request_fields: &["Upload-Offset", "Range"],
                response_fields: &["Upload-Offset", "ETag"],
            },
            Cors {
                request_fields: &["Range", "If-Match"],
                response_fields: &["ETag"],
            },
        ];
        let fields = CorsFields::of(groups.iter());
        let mut answer = HeaderMap::new();
        fields.add(&mut answer);
        let exposed = names(&answer[header::ACCESS_CONTROL_EXPOSE_HEADERS]);
        let own = RESPONSE_FIELDS.len() + CREATED_FIELDS.len();
        assert_eq!(exposed[own..], ["upload-offset", "etag"]);
        assert!(exposed.iter().any(|name| name == "x-url-share"));
        let allowed = names(&fields.preflight()[header::ACCESS_CONTROL_ALLOW_HEADERS]);
        assert_eq!(
            allowed[REQUEST_FIELDS.len()..],
            ["upload-offset", "range", "if-match"]
        );
    }
}
