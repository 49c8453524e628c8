//! What is measured of every request, and its line in the log.
//!
//! Neither ever holds an address as it came: paths carry the keys that open uploads. What is kept is the route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Method;

use crate::app::App;
use crate::metrics::{Held, Metric};
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
        let route = route(&method, matched.as_ref().map_or("", MatchedPath::as_str));
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
        let refused = response.extensions().get::<RefusedAs>().copied();
        if let Some(RefusedAs(slug)) = refused {
            metrics.add(Metric::HttpRefusals, &[slug], 1);
        }
        let route = self.matched.as_ref().map_or("", MatchedPath::as_str);
        tracing::debug!(method = %self.method, route, status = status.as_u16(), refused = refused.map(|RefusedAs(slug)| slug), ?elapsed, "answered");
    }
}

/// The label of a route. A prefix stands before it where one is configured.
fn route(method: &Method, matched: &str) -> &'static str {
    let has = |part: &str| matched.contains(part);
    match matched {
        _ if has("/events") => "events",
        _ if has("/api/") => "api",
        _ if has("/files") => "tus",
        _ if has("/d/{") => "download",
        _ if matched.ends_with("/healthz") || matched.ends_with("/readyz") => "health",
        _ if matched.ends_with("/metrics") => "metrics",
        _ if has("/delete/") => "plain",
        "" => "other",
        _ if matches!(*method, Method::PUT | Method::POST) => "plain",
        _ => "page",
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    #[test]
    fn every_route_has_its_label() {
        let route = |matched| super::route(&Method::GET, matched);
        assert_eq!(route("/files/{key}"), "tus");
        assert_eq!(route("/share/d/{share_id}/{*path}"), "download");
        assert_eq!(route("/api/v1/shares/{share_id}/events"), "events");
        assert_eq!(route("/readyz"), "health");
        assert_eq!(route(""), "other");
        assert_eq!(route("/{*path}"), "page");
        assert_eq!(super::route(&Method::PUT, "/{*path}"), "plain");
    }
}
