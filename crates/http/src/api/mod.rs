//! The API: shares, files and the system's state as JSON, and as event streams.

mod events;
mod metrics;
mod shares;
mod system;

use http::Method;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pages;
use crate::route_group::{RouteGroup, RouteInfo};

/// Whether a path of the server is one of the API, or would be.
pub(crate) fn is_below(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

pub(crate) fn group() -> RouteGroup {
    let (routes, contract) = OpenApiRouter::default()
        .merge(events::routes())
        .routes(routes!(shares::create))
        .routes(routes!(shares::show))
        .routes(routes!(shares::file))
        .routes(routes!(shares::progress))
        .routes(routes!(system::limits))
        .routes(routes!(system::upload_status))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    RouteGroup {
        contract,
        ..RouteGroup::new(routes, describe)
    }
}

fn describe(method: &Method, route: &str) -> Option<RouteInfo> {
    let label = match route {
        // The page has the address, and the API what else is sent there.
        pages::API_DOCS if [Method::GET, Method::HEAD].contains(method) => return None,
        _ if is_below(route) && route.ends_with("/events") => "events",
        _ if is_below(route) => "api",
        // A program that sends a file of any name by PUT means a file.
        _ if *method == Method::PUT => return None,
        "/healthz" | "/readyz" => "health",
        "/metrics" => "metrics",
        _ => return None,
    };
    let is_for_operators = match route {
        // An upload's progress is for who has its id.
        "/api/v1/system/upload-progress/{file_id}" => false,
        _ => !is_below(route) || route.starts_with("/api/v1/system/"),
    };
    Some(RouteInfo {
        is_for_operators,
        ..RouteInfo::new(label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_the_server_is_for_operators() {
        let of = |route| {
            let info = describe(&Method::GET, route);
            info.map(|info| (info.label, info.is_for_operators))
        };
        assert_eq!(of("/api/v1/shares/{share_id}"), Some(("api", false)));
        assert_eq!(
            of("/api/v1/shares/{share_id}/events"),
            Some(("events", false))
        );
        assert_eq!(of("/api/v1/system/events"), Some(("events", true)));
        assert_eq!(of("/api/v1/system/upload-status"), Some(("api", true)));
        assert_eq!(
            of("/api/v1/system/upload-progress/{file_id}"),
            Some(("api", false))
        );
        assert_eq!(of("/metrics"), Some(("metrics", true)));
        assert_eq!(of("/readyz"), Some(("health", true)));
        assert_eq!(of("/d/{share_id}"), None);
        assert_eq!(
            describe(&Method::PUT, "/metrics"),
            None,
            "a file of this name"
        );
        assert_eq!(of(pages::API_DOCS), None, "a page");
        let refused = describe(&Method::PUT, pages::API_DOCS);
        assert_eq!(refused.map(|info| info.label), Some("api"), "no file");
        let refused = describe(&Method::PUT, "/api/v1/limits");
        assert_eq!(refused.map(|info| info.label), Some("api"));
    }
}
