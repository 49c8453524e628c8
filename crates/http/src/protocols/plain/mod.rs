//! Plain HTTP: `PUT /{name}`, the form at `POST /`, and the address that deletes.

mod form;
mod handlers;
pub mod headers;
pub mod multipart;

use axum::Router;
use axum::routing::{delete, post, put};
use http::Method;
use utoipa::OpenApi;

use crate::route_group::{Cors, RouteGroup, RouteInfo};

pub(crate) fn group() -> RouteGroup {
    let deleting = delete(handlers::delete)
        .put(handlers::put)
        .fallback(handlers::only_deletes);
    let routes = Router::new()
        .route("/{*path}", put(handlers::put))
        .route("/delete/{key}", deleting);
    RouteGroup {
        root: put(handlers::put_nameless).merge(post(form::form)),
        // A file may be named as any address, as by `curl -T metrics`.
        other_method: Some((Method::PUT, put(handlers::put))),
        protocol: Some(handlers::PROTOCOL),
        cors: CORS,
        contract: Contract::openapi(),
        ..RouteGroup::new(routes, describe)
    }
}

#[derive(OpenApi)]
#[openapi(paths(handlers::put, form::form, handlers::delete))]
struct Contract;

fn describe(method: &Method, route: &str) -> Option<RouteInfo> {
    let vary = match (method, route) {
        // Links as text or as JSON; with a SHA-256 where it is wanted.
        (&Method::PUT, _) => Some("Accept, Want-Repr-Digest"),
        (&Method::POST, "" | "/") => Some("Accept"),
        (&Method::POST, "/{*path}") | (_, "/delete/{key}") => None,
        _ => return None,
    };
    Some(RouteInfo {
        vary,
        ..RouteInfo::new(handlers::PROTOCOL.name)
    })
}

const CORS: Cors = Cors {
    request_fields: &[
        "Content-Disposition",
        "Content-Digest",
        "Repr-Digest",
        "Want-Repr-Digest",
        "Want-Content-Digest",
        "Max-Downloads",
        "Max-Days",
    ],
    response_fields: &["Repr-Digest", "Content-Digest"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_name_is_put() {
        let of = |method, route| describe(&method, route).map(|info| (info.label, info.vary));
        let put = Some(("plain", Some("Accept, Want-Repr-Digest")));
        for route in [
            "/{*path}",
            "/files",
            "/files/{key}",
            "/d/{share_id}",
            "/metrics",
        ] {
            assert_eq!(of(Method::PUT, route), put, "{route}");
            assert_eq!(of(Method::GET, route), None, "{route}");
        }
        assert_eq!(of(Method::POST, "/"), Some(("plain", Some("Accept"))));
        assert_eq!(
            of(Method::POST, ""),
            Some(("plain", Some("Accept"))),
            "below a prefix"
        );
        assert_eq!(of(Method::POST, "/files"), None);
        assert_eq!(of(Method::GET, "/delete/{key}"), Some(("plain", None)));
    }
}
