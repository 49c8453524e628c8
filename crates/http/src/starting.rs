//! What is answered while the server starts.
//!
//! Opening the catalog and comparing disk and records takes as long as there is much of both.
//! Meanwhile the operator learns that it lives and how far it is, and clients
//! that they should come again.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;

use crate::middleware::add_common_fields;
use crate::router::file_paths;
use crate::server::Served;
use crate::shared::path_prefix;
use crate::shared::problem::{Kind, Problem};
use crate::shared::request_id::RequestId;
use crate::shared::strict;

/// When another try is worth it.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The answers of a start, until there is more. `progress` says in a sentence what it is at.
pub fn starting(
    path_prefix: &str,
    progress: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Served {
    let routes = Router::new()
        .route("/healthz", get(async || "starting\n"))
        .fallback(async move || {
            Problem::new(Kind::Starting)
                .detail(progress())
                .retry_after(RETRY_AFTER)
        })
        .layer(middleware::from_fn(strictly));
    let starting = match path_prefix {
        "" => routes,
        prefix => Router::new().nest(prefix, routes.clone()).merge(routes),
    };
    let (prefix, may_be_file) = (path_prefix.to_owned(), file_paths());
    Served::new(starting, move |path| {
        may_be_file(path_prefix::below(&prefix, path))
    })
}

/// The same rules as later, since a proxy may already send requests.
async fn strictly(request: Request, next: Next) -> Response {
    let mut response = match strict::refusal(&request) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    RequestId::new().complete(&mut response);
    add_common_fields(&mut response);
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_start_answers_by_the_same_rules() {
        let served = starting("", || "opening the catalog".to_owned());
        for (path, host, status) in [
            ("/healthz", Some("a"), 200),
            ("/x", Some("a"), 503),
            ("/healthz", None, 400),
            ("/x", Some("a/b"), 400),
        ] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            if let Some(host) = host {
                let host = host.parse().unwrap();
                request.headers_mut().insert(http::header::HOST, host);
            }
            let answer = served.router().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path} {host:?}");
            assert!(answer.headers().contains_key("referrer-policy"), "{path}");
            assert!(answer.headers().contains_key("x-request-id"), "{path}");
        }
    }
}
