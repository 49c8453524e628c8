//! Refusals for people: who asks with a browser gets a page, programs get the problem document.
//!
//! For an address where nothing is, that is the site's own page, which says so and leads to the
//! start. For all else it is a page that is written here: it needs no script, and it is there where
//! the pages were not built.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::app::{App, PublicBase};
use crate::pages;
use crate::shared::accept::wants_page;
use crate::shared::problem::{Kind, Problem};

/// The page brings its own few rules, and nothing else is loaded or run.
const POLICY: &str = "default-src 'none'; style-src 'sha256-Z0e3ZXP3F6L5R2nMa3zdeKAH6HBHmDlexKzM370p2jU='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = ":root{color-scheme:light dark;font:1.1rem/1.5 system-ui,sans-serif}\
    main{max-width:36rem;margin:15vh auto 0;padding:0 1.5rem}small{opacity:.7;overflow-wrap:anywhere}";

/// A browser that shows what it gets to a person.
pub(super) struct ProblemPage {
    /// What stands before the server's own paths for it.
    prefix: String,
    headers: HeaderMap,
    can_follow: bool,
}

impl ProblemPage {
    /// None where a program asks.
    pub(super) fn of(app: &App, request: &Request) -> Option<Self> {
        if !wants_page(request.headers()) {
            return None;
        }
        let mut headers = HeaderMap::new();
        if let Some(codings) = request.headers().get(header::ACCEPT_ENCODING) {
            headers.insert(header::ACCEPT_ENCODING, codings.clone());
        }
        Some(Self {
            prefix: PublicBase::prefix_of(app, request),
            headers,
            can_follow: matches!(*request.method(), Method::GET | Method::HEAD),
        })
    }

    /// Makes a refusal's body a page. Status and fields of the refusal stay.
    pub(super) fn shows(&self, problem: &Problem, refusal: &mut Response) {
        let is_nothing = matches!(problem.kind(), Kind::NotFound | Kind::ShareNotFound);
        if is_nothing && self.can_follow && pages::are_built() {
            let (mut head, body) = pages::index(&self.prefix, &self.headers).into_parts();
            *refusal.body_mut() = body;
            // It stands for this answer only.
            head.headers.remove(header::ETAG);
            head.headers.remove(header::CACHE_CONTROL);
            for (name, value) in &head.headers {
                refusal.headers_mut().insert(name, value.clone());
            }
            return;
        }
        *refusal.body_mut() = self.page(problem).into();
        let fields = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ];
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            refusal.headers_mut().insert(name, value);
        }
    }

    fn page(&self, problem: &Problem) -> String {
        let told = problem.document();
        let [title, detail, remedy] = [told.title, told.detail, told.remedy].map(escaped);
        let request = told.request_id.map_or_else(String::new, |id| {
            format!("<p><small>Request {}</small></p>", escaped(id))
        });
        // A prefix was checked letter by letter when it was read.
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
            <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
            <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{detail}</p><p>{remedy}</p>\
            <p><a href=\"{}/\">Go to start</a></p>{request}</main></body></html>\n",
            self.prefix
        )
    }
}

/// What the client sent may be quoted in a refusal.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn page_below(prefix: &str) -> ProblemPage {
        ProblemPage {
            prefix: prefix.to_owned(),
            headers: HeaderMap::new(),
            can_follow: true,
        }
    }

    #[test]
    fn nothing_that_a_client_sent_becomes_markup() {
        let problem = Problem::new(Kind::NameRefused)
            .detail("<script>\"'&")
            .request_id("r1");
        let page = page_below("/share").page(&problem);
        assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;") && !page.contains("<script"));
        assert!(
            page.contains("href=\"/share/\"") && page.contains("Request r1"),
            "{page}"
        );
    }

    #[test]
    fn the_policy_names_the_style_as_it_is() {
        let mut digest = ddx_digest::Checksum::new(ddx_digest::Algorithm::Sha256);
        digest.update(STYLE.as_bytes());
        let digest = data_encoding::BASE64.encode(&digest.finalize());
        assert!(POLICY.contains(&format!("'sha256-{digest}'")), "{digest}");
    }
}
