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
use crate::shared::problem::RefusedAs;

/// A request that is being measured.
pub(super) struct Measured {
    matched: Option<MatchedPath>,
    method: Method,
    label: &'static str,
    began: Instant,
    _in_flight: Held,
}

impl Measured {
    /// From now on.
    pub(super) fn begin(app: &App, request: &Request, label: &'static str) -> Self {
        Self {
            _in_flight: app.metrics().hold(Metric::HttpInFlight, &[label]),
            matched: request.extensions().get().cloned(),
            method: request.method().clone(),
            label,
            began: Instant::now(),
        }
    }

    /// It was answered.
    pub(super) fn answered(self, app: &App, response: &Response) {
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
            &[self.label, class],
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
