//! Files on their way out: `/d/{share_id}` and `/d/{share_id}/{path}`, and the bytes of a file for
//! every address that has some.

pub mod byteranges;
pub mod disposition;
pub mod headers;

mod file;
mod one_time;
mod share_link;

use axum::Router;
use axum::routing::get;
use http::Method;
use utoipa::OpenApi;

use crate::route_group::{Cors, RouteGroup, RouteInfo};

pub(crate) use disposition::Disposition;
pub(crate) use file::{deliver, digests};

pub(crate) fn group() -> RouteGroup {
    let routes = Router::new()
        .route("/d/{share_id}", get(share_link::share))
        .route("/d/{share_id}/", get(share_link::share))
        .route("/d/{share_id}/{*path}", get(share_link::file));
    RouteGroup {
        may_be_file: |path| path.starts_with("/d/"),
        cors: CORS,
        contract: Contract::openapi(),
        ..RouteGroup::new(routes, describe)
    }
}

#[derive(OpenApi)]
#[openapi(paths(share_link::share, share_link::file))]
struct Contract;

fn describe(method: &Method, route: &str) -> Option<RouteInfo> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let vary = match route {
        // The share's page, or its bytes.
        "/d/{share_id}" | "/d/{share_id}/" if is_read => Some("Accept, User-Agent"),
        _ if route.starts_with("/d/") => None,
        _ => return None,
    };
    Some(RouteInfo {
        vary,
        ..RouteInfo::new("download")
    })
}

const CORS: Cors = Cors {
    request_fields: &[
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "If-Range",
        "Range",
    ],
    response_fields: &[
        "Content-Disposition",
        "Content-Range",
        "Accept-Ranges",
        "ETag",
        "Repr-Digest",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_page_or_its_bytes_by_what_the_client_takes() {
        let of = |method, route| describe(&method, route).map(|info| (info.label, info.vary));
        let by_client = Some(("download", Some("Accept, User-Agent")));
        assert_eq!(of(Method::GET, "/d/{share_id}"), by_client);
        assert_eq!(of(Method::HEAD, "/d/{share_id}/"), by_client);
        assert_eq!(of(Method::POST, "/d/{share_id}"), Some(("download", None)));
        assert_eq!(
            of(Method::GET, "/d/{share_id}/{*path}"),
            Some(("download", None))
        );
        assert_eq!(of(Method::GET, "/{*path}"), None);
    }
}
