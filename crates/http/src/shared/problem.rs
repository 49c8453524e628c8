//! Refusals: one table of kinds, one document (RFC 9457) for all of them.
//!
//! Why a table and not strings at the place of refusal: the slug is an interface. Scripts, the
//! pages and the operators' notes rely on it, `docs/ERRORS.md` is printed from it, and a test holds
//! every entry to the same rule: a refusal names what was refused, the limit, the value that met
//! it, and what to do now.
//!
//! Rejected: a document built from whatever error value came up. Such a text tells strangers about
//! paths, SQL and host names. A kind whose entry says [`Detail::Fixed`] therefore can't be given a
//! text of its own: the reason goes to the log, under the `request_id` that the document shows.

mod kinds;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::shared::size::size;

pub use kinds::{Detail, Entry, Kind, TABLE};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What a problem's `type` starts with; the slug follows. It is a path, so that it needs no host
/// name, and the pages answer it with the entry's explanation.
pub const TYPE_PREFIX: &str = "/errors/";

/// Longest `detail`, in bytes; a longer one is cut at a character border. Details quote what the
/// client sent.
const DETAIL_BYTES_MAX: usize = 512;

/// A limit, or the value that met it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Amount {
    /// A number; its unit is said by the kind (bytes unless said otherwise).
    Number(u64),
    /// Anything else: a name, a list, a range.
    Text(String),
}

impl From<u64> for Amount {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Amount {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self::Text(cut(text).to_owned())
    }
}

impl From<String> for Amount {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// One refusal, on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.entry().slug, self.detail_text())]
pub struct Problem(
    // Boxed: a problem travels as the error of nearly every function here, most of which succeed.
    Box<Occurrence>,
);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Occurrence {
    kind: Kind,
    detail: Option<String>,
    limit: Option<Amount>,
    value: Option<Amount>,
    remedy: Option<Cow<'static, str>>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    fields: HeaderMap,
}

impl Problem {
    /// A refusal of this kind, with the table's texts.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self(Box::new(Occurrence {
            kind,
            detail: None,
            limit: None,
            value: None,
            remedy: None,
            request_id: None,
            retry_after: None,
            fields: HeaderMap::new(),
        }))
    }

    /// A file of more bytes than the limit.
    #[must_use]
    pub fn too_large(limit_bytes: u64) -> Self {
        Self::new(Kind::TooLarge)
            .detail(format!("Too large (limit {}).", size(limit_bytes)))
            .limit(limit_bytes)
    }

    /// This occurrence in one sentence. Ignored for a kind with [`Detail::Fixed`].
    #[must_use]
    pub fn detail(mut self, text: impl AsRef<str>) -> Self {
        if self.entry().detail == Detail::Open {
            self.0.detail = Some(cut(text.as_ref()).to_owned());
        }
        self
    }

    /// The limit that was met.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<Amount>) -> Self {
        self.0.limit = Some(limit.into());
        self
    }

    /// The value that met it.
    #[must_use]
    pub fn value(mut self, value: impl Into<Amount>) -> Self {
        self.0.value = Some(value.into());
        self
    }

    /// What to do about this occurrence, in place of the table's advice.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// The name under which the log has the full reason.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// When to try again. Sent in whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// A header field that the answer carries, such as `Tus-Version` beside 412 or `Content-Range`
    /// beside 416.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.fields.insert(name, value);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The table's line for it.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        self.0.kind.entry()
    }

    /// The status code of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        // A test holds every status of the table to 400..=599.
        StatusCode::from_u16(self.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn detail_text(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.entry().about)
    }

    fn remedy_text(&self) -> &str {
        self.0.remedy.as_deref().unwrap_or(self.entry().remedy)
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Document<'_> {
        let entry = self.entry();
        Document {
            kind: format!("{TYPE_PREFIX}{}", entry.slug),
            title: entry.title,
            status: entry.status,
            detail: self.detail_text(),
            limit: self.0.limit.as_ref(),
            value: self.0.value.as_ref(),
            remedy: self.remedy_text(),
            request_id: self.0.request_id.as_deref(),
        }
    }

    /// The document as bytes, with a line break at its end: terminals show it, too.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: nothing in a `Document` can fail to serialize. An empty body
        // beats a panic.
        let mut json = serde_json::to_vec(&self.document()).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The same for a terminal: what was refused, the figures, what to do. Ends with a line break.
    #[must_use]
    pub fn to_text(&self) -> String {
        let entry = self.entry();
        let mut text = format!("{} {}: {}", entry.status, entry.title, self.detail_text());
        if let Some(value) = &self.0.value {
            let _ = write!(text, "\nvalue: {value}");
        }
        if let Some(limit) = &self.0.limit {
            let _ = write!(text, "\nlimit: {limit}");
        }
        let _ = writeln!(text, "\n{}", self.remedy_text());
        if let Some(id) = &self.0.request_id {
            let _ = writeln!(text, "request: {id}");
        }
        // What the client sent may be quoted here, and a terminal obeys control characters.
        text.retain(|c| c == '\n' || !c.is_control());
        text
    }

    /// The header fields of the answer, without those of the body.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.0.fields.clone();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.0.retry_after {
            let seconds = (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }

    /// The answer with the document as its body.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        self.respond(HeaderValue::from_static(MEDIA_TYPE), self.to_json())
    }

    /// The answer with the text for a terminal as its body.
    #[must_use]
    pub fn text_response(&self) -> Response<Bytes> {
        self.respond(
            HeaderValue::from_static("text/plain; charset=utf-8"),
            self.to_text().into_bytes(),
        )
    }

    fn respond(&self, media_type: HeaderValue, body: Vec<u8>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        response.headers_mut().insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

/// The refusal that an answer is; in the answer's extensions, for the metrics, and for who puts its
/// request's name into it or shows it as a page.
#[derive(Debug, Clone)]
pub(crate) struct RefusedAs(pub(crate) Problem);

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.response().map(axum::body::Body::from);
        response.extensions_mut().insert(RefusedAs(self));
        response
    }
}

/// A refusal (RFC 9457). Its type does not change between versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document<'p> {
    /// `/errors/<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: &'static str,
    /// The status code.
    pub status: u16,
    /// This occurrence in one sentence.
    pub detail: &'p str,
    /// The limit that was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'p Amount>,
    /// The value that met it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'p Amount>,
    /// What to do now.
    pub remedy: &'p str,
    /// The name under which the log has the full reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'p str>,
}

/// The table as `docs/ERRORS.md` shows it.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Refusals\n\nGenerated from `crates/http/src/shared/problem/kinds.rs`; do not edit.\n\n\
         Every refusal is a problem document (RFC 9457, `application/problem+json`) with `type`, `title`, `status`, `detail`, \
         `remedy`, `request_id`, and, where there is one, the `limit` and the `value` that met it. The type is `/errors/` and the \
         slug; it does not change between versions. A browser gets a page that says the same.\n\n\
         Every answer, also one that is no refusal, carries the id of its request in `X-Request-ID`, and every line of the log that \
         is written for the request has it as `request_id`.\n\n| status | slug | when | what to do |\n| --- | --- | --- | --- |\n",
    );
    for entry in TABLE {
        let _ = writeln!(
            page,
            "| {} | `{}` | {} | {} |",
            entry.status, entry.slug, entry.about, entry.remedy
        );
    }
    page
}

/// At most [`DETAIL_BYTES_MAX`] of `text`, ending at a character border.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(DETAIL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete_and_found_by_its_kind() {
        let mut slugs = std::collections::HashSet::new();
        for entry in TABLE {
            assert!(slugs.insert(entry.slug), "{} twice", entry.slug);
            assert!((400..600).contains(&entry.status), "{}", entry.slug);
            assert!(
                entry
                    .slug
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                entry.slug
            );
            for text in [entry.title, entry.about, entry.remedy] {
                assert!(!text.is_empty() && !text.contains('|') && !text.contains('\n'));
            }
            assert_eq!(entry.kind.entry().slug, entry.slug);
            assert_eq!(Problem::new(entry.kind).status().as_u16(), entry.status);
        }
    }

    #[test]
    fn titles_are_short_and_texts_are_plain_sentences() {
        const OLD: [&str; 7] = [
            "whoever",
            "nobody",
            "anybody",
            "shall",
            "its stead",
            "thereof",
            "can not",
        ];
        for entry in TABLE {
            assert!(entry.title.len() <= 40, "{}", entry.title);
            for text in [entry.about, entry.remedy] {
                assert!(text.ends_with('.'), "{text}");
                assert!(text.len() <= 160, "{text}");
            }
            let all = [entry.title, entry.about, entry.remedy]
                .join(" ")
                .to_lowercase();
            for word in OLD {
                assert!(!all.contains(word), "{word}: {all}");
            }
        }
    }

    #[test]
    fn the_inside_never_shows_in_a_fixed_kind() {
        let problem = Problem::new(Kind::Internal)
            .detail("/var/lib/ddx: permission denied")
            .request_id("r1");
        let json = String::from_utf8(problem.to_json()).unwrap();
        assert!(!json.contains("/var/lib"), "{json}");
        assert!(json.contains("\"request_id\":\"r1\""), "{json}");
        assert!(!problem.to_string().contains("/var/lib"));
        assert!(!problem.to_text().contains("/var/lib"));
    }

    #[test]
    fn every_500_is_fixed() {
        for entry in TABLE.iter().filter(|entry| entry.status == 500) {
            assert_eq!(entry.detail, Detail::Fixed, "{}", entry.slug);
        }
    }

    #[test]
    fn the_document_has_all_members() {
        let problem = Problem::new(Kind::TooLarge)
            .limit(10_u64)
            .value(11_u64)
            .detail("11 bytes were announced");
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["type"], "/errors/too-large");
        assert_eq!(json["status"], 413);
        assert_eq!(json["limit"], 10);
        assert_eq!(json["value"], 11);
        assert_eq!(json["detail"], "11 bytes were announced");
        assert!(json["remedy"].is_string());
        let response = problem.response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_limit_is_told_with_its_value() {
        let told = Problem::too_large(10_000_000);
        assert_eq!(told.document().detail, "Too large (limit 10 MB).");
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let after = |d| {
            Problem::new(Kind::QueueFull).retry_after(d).headers()[header::RETRY_AFTER]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(after(Duration::ZERO), "1");
        assert_eq!(after(Duration::from_secs(7)), "7");
        assert_eq!(after(Duration::from_millis(7001)), "8");
    }

    #[test]
    fn texts_are_cut_at_a_character_and_lose_control_characters() {
        let problem = Problem::new(Kind::NameRefused)
            .detail("ü".repeat(400))
            .value("a\u{1b}[31mb");
        assert_eq!(problem.document().detail.len(), 512);
        assert!(problem.to_text().contains("a[31mb"));
    }
}
