//! The pages, built by `web/` and carried inside the binary.
//!
//! The build writes each file three times: as it is, and compressed with Brotli and gzip. What has
//! a digest in its name never changes and is kept by browsers for a year; the pages themselves are
//! asked for anew each time. Without the pages the server is whole, and says at `/` how they are
//! built.

use std::borrow::Cow;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::app::PublicBase;
use crate::route_group::{RouteGroup, RouteInfo};
use crate::shared::accept::takes_coding;
use crate::shared::problem::{self, Kind, Problem};

pub(crate) fn group() -> RouteGroup {
    let routes = Router::new()
        .route("/{*path}", get(page))
        .route(API_DOCS, get(api_docs))
        .route("/errors/{slug}", get(error_page));
    RouteGroup {
        root: get(front),
        ..RouteGroup::new(routes, |_, _| Some(RouteInfo::new("page")))
    }
}

/// The page that shows the API's contract. It lies among the API's addresses, so no file is put
/// there.
pub(crate) const API_DOCS: &str = "/api/docs";

/// `GET /api/docs`.
async fn api_docs(base: PublicBase, headers: HeaderMap) -> Response {
    document(API_DOCS_PAGE, &base.path(""), &headers)
}

/// `GET /`.
async fn front(base: PublicBase, headers: HeaderMap) -> Response {
    index(&base.path(""), &headers)
}

/// Every other address that nothing else has.
async fn page(
    _: PublicBase,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    serve(&path, &headers).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// `/errors/{slug}`: what a problem document's `type` leads to.
async fn error_page(Path(slug): Path<String>) -> Result<String, Problem> {
    let entry = problem::TABLE.iter().find(|entry| entry.slug == slug);
    let entry = entry.ok_or_else(|| Problem::new(Kind::NotFound))?;
    Ok(format!(
        "{} ({})\n\n{}\n\n{}\n",
        entry.title, entry.status, entry.about, entry.remedy
    ))
}

#[derive(RustEmbed)]
#[folder = "$DDX_PAGES"]
#[allow_missing = true]
struct Pages;

/// What the pages may do: load from here, talk to here, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; \
    connect-src 'self'; manifest-src 'self'; font-src 'self'; require-trusted-types-for 'script'; form-action 'none'; base-uri 'none'; \
    frame-ancestors 'none'";

const NOT_BUILT: &str = "This server was built without its web pages.\n\
    Build them with `make build` (Node 20 or later), or upload with curl:\n\n    curl -T FILE http://HOST/\n";

const INDEX: &str = "index.html";
const API_DOCS_PAGE: &str = "api-docs.html";

/// Whether the pages are inside this binary.
pub(crate) fn are_built() -> bool {
    Pages::get(INDEX).is_some()
}

/// The application's page, whatever address it shows.
pub(crate) fn index(prefix: &str, headers: &HeaderMap) -> Response {
    document(INDEX, prefix, headers)
}

/// A page. Its files are named below `prefix`, the path before all of the server's (checked when it
/// was read: nothing in it needs escaping); its script learns the prefix from its own address.
fn document(name: &str, prefix: &str, headers: &HeaderMap) -> Response {
    let page = if prefix.is_empty() {
        serve(name, headers)
    } else {
        Pages::get(name).map(|file| respond(name, below(prefix, &file), None, headers))
    };
    page.unwrap_or_else(|| {
        (
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            NOT_BUILT,
        )
            .into_response()
    })
}

/// A file's bytes, and the ETag that stands for exactly these.
struct Content {
    data: Cow<'static, [u8]>,
    etag: String,
}

impl From<EmbeddedFile> for Content {
    fn from(file: EmbeddedFile) -> Self {
        Self {
            etag: format!("\"{}\"", digest(&file)),
            data: file.data,
        }
    }
}

fn digest(file: &EmbeddedFile) -> String {
    data_encoding::HEXLOWER.encode(&file.metadata.sha256_hash()[..16])
}

/// The page as a server below `prefix` shows it: other bytes, so another ETag.
fn below(prefix: &str, file: &EmbeddedFile) -> Content {
    let page =
        String::from_utf8_lossy(&file.data).replace("=\"/assets/", &format!("=\"{prefix}/assets/"));
    Content {
        data: page.into_bytes().into(),
        etag: format!("\"{}{}\"", digest(file), prefix.replace('/', "+")),
    }
}

/// A file of the pages.
fn serve(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (file, encoding) = [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .filter(|(encoding, _)| takes_coding(headers, encoding))
        .find_map(|(encoding, ending)| {
            Some((Pages::get(&format!("{path}{ending}"))?, Some(encoding)))
        })
        .or_else(|| Some((Pages::get(path)?, None)))?;
    Some(respond(path, file.into(), encoding, headers))
}

fn respond(
    path: &str,
    content: Content,
    encoding: Option<&'static str>,
    request: &HeaderMap,
) -> Response {
    let Content { data, etag } = content;
    let is_known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|given| given.as_bytes() == etag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        axum::body::Body::from(data).into_response()
    };
    let headers = response.headers_mut();
    let media_type = mime_guess::from_path(path).first_or_octet_stream();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(
        header::CONTENT_TYPE,
        &match media_type.type_() {
            mime_guess::mime::TEXT => format!("{media_type}; charset=utf-8"),
            _ => media_type.to_string(),
        },
    );
    set(header::ETAG, &etag);
    set(header::VARY, "Accept-Encoding");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    let is_immutable = path.starts_with("assets/");
    set(
        header::CACHE_CONTROL,
        if is_immutable {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        },
    );
    if let Some(encoding) = encoding {
        set(header::CONTENT_ENCODING, encoding);
    }
    response
}
