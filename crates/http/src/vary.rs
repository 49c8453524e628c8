//! `Vary`: what of a request, beside its address, an answer depends on.
//!
//! A cache that is not told gives one client's answer to another: the page to a program that wants
//! the file, or what one origin may read to all. Few handlers look at such a field, so these stand
//! here in one table. `pages` tells of `Accept-Encoding` by itself.

use axum::extract::MatchedPath;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::api;
use crate::app::App;
use crate::prefix;

/// A route's answers by one method, and the fields by which its handler chooses among them.
pub(crate) struct Vary(Option<&'static str>);

impl Vary {
    pub(crate) fn of(app: &App, matched: Option<&MatchedPath>, method: &Method) -> Self {
        let prefix = app.config().origin.path_prefix.as_str();
        Self(matched.and_then(|matched| asked_by(prefix, matched.as_str(), method)))
    }

    /// Tells it of an answer.
    pub(crate) fn tell(&self, answer: &mut HeaderMap) {
        if let Some(names) = self.0 {
            answer.append(header::VARY, HeaderValue::from_static(names));
        }
    }
}

fn asked_by(prefix: &str, matched: &str, method: &Method) -> Option<&'static str> {
    let route = prefix::below(prefix, matched);
    match (route, method) {
        // The share's page, or its bytes.
        ("/d/{share_id}" | "/d/{share_id}/", &Method::GET | &Method::HEAD) => {
            Some("Accept, User-Agent")
        }
        // Links as text or as JSON; with a SHA-256 where it is wanted.
        (route, &Method::PUT) if !api::is_below(route) => Some("Accept, Want-Repr-Digest"),
        ("" | "/", &Method::POST) => Some("Accept"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_names_what_it_looks_at() {
        for prefix in ["", "/share"] {
            let of = |route, method| asked_by(prefix, &format!("{prefix}{route}"), &method);
            assert_eq!(of("/d/{share_id}", Method::GET), Some("Accept, User-Agent"));
            assert_eq!(of("/d/{share_id}/{*path}", Method::GET), None);
            assert_eq!(of("/", Method::GET), None);
            let put = of("/{*path}", Method::PUT);
            assert_eq!(put, Some("Accept, Want-Repr-Digest"));
            assert_eq!(of("/api/v1/limits", Method::PUT), None);
            assert_eq!(of("/", Method::POST), Some("Accept"));
            assert_eq!(of("", Method::POST), Some("Accept"), "below a prefix");
            assert_eq!(of("/files", Method::POST), None);
        }
        assert_eq!(
            asked_by("/share", "/d/{share_id}", &Method::GET),
            Some("Accept, User-Agent"),
            "a proxy has taken the prefix off"
        );
    }
}
