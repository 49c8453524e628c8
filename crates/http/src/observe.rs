//! What is measured of every request, and its line in the log.
//!
//! Neither ever holds an address as it came: paths carry the keys that open uploads. What is kept
//! is the route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Method;

use crate::app::App;
use crate::metrics::{Held, Metric};
use crate::prefix;
use crate::problem::RefusedAs;

/// A request that is being measured.
pub(crate) struct Seen {
    matched: Option<MatchedPath>,
    method: Method,
    route: &'static str,
    began: Instant,
    _in_flight: Held,
}

impl Seen {
    /// From now on.
    pub(crate) fn of(app: &App, request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let path_prefix = &app.config().origin.path_prefix;
        let route = route(
            path_prefix,
            &method,
            matched.as_ref().map(MatchedPath::as_str),
        );
        Self {
            _in_flight: app.metrics().hold(Metric::HttpInFlight, &[route]),
            matched,
            method,
            route,
            began: Instant::now(),
        }
    }

    /// It was answered.
    pub(crate) fn answered(self, app: &App, response: &Response) {
        let elapsed = self.began.elapsed();
        let status = response.status();
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let metrics = app.metrics();
        metrics.observe(
            Metric::HttpRequest,
            &[self.route, class],
            elapsed.as_secs_f64(),
        );
        let refused = response.extensions().get::<RefusedAs>();
        let refused = refused.map(|RefusedAs(problem)| problem.entry().slug);
        if let Some(slug) = refused {
            metrics.add(Metric::HttpRefusals, &[slug], 1);
        }
        let route = self.matched.as_ref().map_or("", MatchedPath::as_str);
        tracing::debug!(method = %self.method, route, status = status.as_u16(), refused, ?elapsed, "answered");
    }
}

/// The label of a route. A prefix stands before it where one is configured.
fn route(prefix: &str, method: &Method, matched: Option<&str>) -> &'static str {
    let Some(matched) = matched else {
        return "other";
    };
    let route = prefix::below(prefix, matched);
    let is_sent = matches!(*method, Method::PUT | Method::POST);
    match route.split('/').nth(1).unwrap_or_default() {
        "api" if route.ends_with("/events") => "events",
        "api" => "api",
        // A program that sends a file of any name by PUT means a file.
        _ if *method == Method::PUT => "plain",
        "files" => "tus",
        "d" => "download",
        "healthz" | "readyz" => "health",
        "metrics" => "metrics",
        "delete" => "plain",
        _ if is_sent => "plain",
        _ => "page",
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    #[test]
    fn every_route_has_its_label() {
        for prefix in ["", "/share", "/events/api/files/d"] {
            let of = |method, route| {
                let matched = format!("{prefix}{route}");
                super::route(prefix, &method, Some(&matched))
            };
            let get = |route| of(Method::GET, route);
            assert_eq!(get("/files/{key}"), "tus");
            assert_eq!(get("/d/{share_id}/{*path}"), "download");
            assert_eq!(get("/api/v1/shares/{share_id}/events"), "events");
            assert_eq!(get("/api/v1/system/events"), "events");
            assert_eq!(get("/api/v1/limits"), "api");
            assert_eq!(get("/readyz"), "health");
            assert_eq!(get("/metrics"), "metrics");
            assert_eq!(get("/delete/{key}"), "plain");
            assert_eq!(get("/{*path}"), "page");
            assert_eq!(get(""), "page");
            assert_eq!(of(Method::PUT, "/{*path}"), "plain");
            assert_eq!(of(Method::PUT, "/files"), "plain");
            assert_eq!(of(Method::PUT, "/d/{share_id}"), "plain");
            assert_eq!(of(Method::PUT, "/api/v1/limits"), "api");
        }
        assert_eq!(super::route("", &Method::GET, None), "other");
        assert_eq!(
            super::route("/share", &Method::GET, Some("/d/{share_id}")),
            "download"
        );
    }
}
