//! What a request of HTTP/1 must be before any handler sees it: for one host, and with one end.
//!
//! A proxy and a server that find two different hosts, or two different ends of a body, in the same
//! bytes can be played against each other (request smuggling). hyper takes what RFC 9112 leaves to
//! the server, so it is refused here, at every address alike, and the connection is closed: where
//! the next request begins is no longer sure.
//!
//! The body's end is looked at in the head as it came (`server::head_check`), before hyper gets it.
//!
//! HTTP/2 has neither: its host is part of the target, and a frame's length is its only one.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

use crate::shared::fields;
use crate::shared::origin::{Base, Scheme};
use crate::shared::problem::{Kind, Problem};

/// In the extensions of a request that stands for a head that was refused before it could be made
/// into a request of it: why. It goes the way of all requests so that it is measured and answered
/// as they are.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Problem);

/// A request for that.
pub(crate) fn refused_request(problem: Problem, is_head: bool) -> Request {
    let mut request = Request::new(Body::empty());
    if is_head {
        *request.method_mut() = Method::HEAD;
    }
    // No route has it.
    *request.uri_mut() = Uri::from_static("*");
    request.extensions_mut().insert(Refused(problem));
    request
}

/// The answer to a request that is not taken, whatever its address.
pub(crate) fn refusal(request: &Request) -> Option<Response> {
    let is_http2 = request.version() > Version::HTTP_11;
    let refused = match request.extensions().get() {
        Some(Refused(problem)) => problem.clone(),
        None if is_http2 => return None,
        None => host(request.version(), request.uri(), request.headers()).err()?,
    };
    let mut response = refused.into_response();
    if !is_http2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Some(response)
}

/// Exactly one host, and none but `host[:port]` (RFC 9112 §3.2). Before 1.1 there may be none.
fn host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: String| Problem::new(Kind::HostRefused).detail(detail);
    let mut hosts = headers.get_all(header::HOST).iter();
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err(refused("The Host header was sent more than once.".to_owned()).limit(1_u64));
    }
    if field.is_none() && version == Version::HTTP_11 {
        return Err(refused("The Host header is missing.".to_owned()));
    }
    // A target with a host of its own comes before the field, so it has to be as good.
    let field = field.map(HeaderValue::as_bytes);
    let target = uri.authority().map(|name| name.as_str().as_bytes());
    for name in [field, target].into_iter().flatten() {
        let name = String::from_utf8_lossy(name);
        // Which port a scheme has of its own does not matter for whether this is a host.
        Base::new(Scheme::Http, &name, "")
            .map_err(|error| refused(error.to_string()).value(&*name))?;
    }
    Ok(())
}

/// The body's end is told once: by a length, or by chunks that nothing else is packed in (§6).
/// `codings` are the values of `Transfer-Encoding`; `has_length` is whether `Content-Length` is
/// there.
pub(crate) fn framing<'v>(
    codings: impl Iterator<Item = &'v [u8]>,
    has_length: bool,
) -> Result<(), Problem> {
    let fields: Vec<_> = codings.map(String::from_utf8_lossy).collect();
    if fields.is_empty() {
        return Ok(());
    }
    let joined = fields.join(",");
    let refused = |detail: &str| {
        Problem::new(Kind::FramingInvalid)
            .detail(detail)
            .limit("chunked")
            .value(&*joined)
    };
    let codings: Vec<&str> = fields::split(&joined, ',').collect();
    let is_chunked = |coding: &&str| coding.eq_ignore_ascii_case("chunked");
    if !codings.last().is_some_and(is_chunked) {
        return Err(refused("Transfer-Encoding does not end with chunked."));
    }
    if !codings.iter().all(is_chunked) {
        return Err(Problem::new(Kind::TransferCoding)
            .limit("chunked")
            .value(&*joined));
    }
    // An empty member beside it is one more coding for other readers.
    if fields.len() != 1 || !is_chunked(&joined.trim()) {
        return Err(refused("Transfer-Encoding must be chunked, once."));
    }
    if has_length {
        return Err(refused(
            "Transfer-Encoding and Content-Length were sent together.",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use http::request::Builder;

    fn request(fields: &[(&str, &str)]) -> Builder {
        let request = http::Request::builder().uri("/x");
        fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    }

    fn status(request: Builder) -> Option<u16> {
        let answer = refusal(&request.body(Body::empty()).unwrap())?;
        assert_eq!(answer.headers()[header::CONNECTION], "close");
        Some(answer.status().as_u16())
    }

    #[test]
    fn one_host_is_asked_for() {
        assert_eq!(status(request(&[("host", "a")])), None);
        assert_eq!(status(request(&[("host", "[::1]:80")])), None);
        assert_eq!(status(request(&[])), Some(400));
        for host in ["", "a/b", "a:x", "a,b", "u@a", "[::1", "\u{e4}"] {
            assert_eq!(status(request(&[("host", host)])), Some(400), "{host:?}");
        }
        assert_eq!(
            status(request(&[("host", "a"), ("host", "a")])),
            Some(400),
            "two that are the same are two"
        );
        let target = |uri| request(&[("host", "a")]).uri(uri);
        assert_eq!(status(target("http://b:80/x")), None);
        assert_eq!(status(target("http://u@b/x")), Some(400));
    }

    #[test]
    fn other_versions_have_their_own_rules() {
        let of = |version, fields| status(request(fields).version(version));
        assert_eq!(of(Version::HTTP_10, &[]), None);
        assert_eq!(of(Version::HTTP_10, &[("host", "a/b")]), Some(400));
        assert_eq!(of(Version::HTTP_2, &[]), None);
    }

    #[test]
    fn a_body_has_one_end() {
        let coded = |values: &[&str], has_length| {
            let values = values.iter().map(|value| value.as_bytes());
            let problem = framing(values, has_length).err()?;
            Some(problem.status().as_u16())
        };
        assert_eq!(coded(&[], true), None);
        assert_eq!(coded(&["chunked"], false), None);
        assert_eq!(coded(&["Chunked "], false), None);
        assert_eq!(coded(&["gzip, chunked"], false), Some(501));
        assert_eq!(coded(&["gzip", "chunked"], false), Some(501));
        assert_eq!(coded(&["chunked;a=b, chunked"], false), Some(501));
        assert_eq!(coded(&["chunked;a=b"], false), Some(400));
        assert_eq!(coded(&["chunked, gzip"], false), Some(400));
        assert_eq!(coded(&["chunked, chunked"], false), Some(400));
        assert_eq!(coded(&["chunked", "chunked"], false), Some(400));
        assert_eq!(coded(&[""], false), Some(400));
        assert_eq!(coded(&["chunked,"], false), Some(400));
        assert_eq!(coded(&["chunked"], true), Some(400));
    }

    #[test]
    fn a_refused_head_is_answered_as_a_request_is() {
        let request = refused_request(Problem::new(Kind::HeadInvalid), true);
        assert_eq!(request.method(), Method::HEAD);
        let answer = refusal(&request).unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()[header::CONNECTION], "close");
    }
}
