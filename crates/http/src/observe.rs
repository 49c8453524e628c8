//! What is measured of every request, and its line in the log.
//!
//! Neither ever holds an address as it came: paths carry the keys that open uploads. What is kept is the route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;

use crate::app::App;
use crate::metrics::Metric;
use crate::problem::RefusedAs;

/// Measures one request.
pub(crate) async fn request(State(app): State<App>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map_or("", |path| path.as_str());
    let method = request.method().clone();
    let route = route(&method, matched);
    let _in_flight = app.metrics().hold(Metric::HttpInFlight, &[route]);
    let began = Instant::now();
    let response = next.run(request).await;
    let elapsed = began.elapsed();
    let status = response.status();
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    app.metrics()
        .observe(Metric::HttpRequest, &[route, class], elapsed.as_secs_f64());
    let refused = response.extensions().get::<RefusedAs>().copied();
    if let Some(RefusedAs(slug)) = refused {
        app.metrics().add(Metric::HttpRefusals, &[slug], 1);
    }
    tracing::debug!(%method, route = matched, status = status.as_u16(), refused = refused.map(|RefusedAs(slug)| slug), ?elapsed, "answered");
    response
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
