//! Whether a head is one that hyper takes.
//!
//! hyper answers a head that it can not read by itself, with a bare status. So each head of HTTP/1
//! is gathered and looked at before hyper gets it, with the same parser and hyper's own rules
//! beside it, and refused here with a document. A test holds hyper against it: what passes here,
//! hyper passes on.
//!
//! This is also where a body's two ends are found: hyper removes `Content-Length` where it stands
//! beside `Transfer-Encoding`.

use http::{HeaderMap, Method, Uri, header};

use crate::shared::problem::{Kind, Problem};
use crate::shared::size::size;
use crate::shared::strict;

use super::head::HeadScan;

/// What a head may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    pub(super) bytes_max: usize,
    pub(super) uri_bytes_max: usize,
    pub(super) fields_max: usize,
}

/// The longest method and version with the spaces beside them. An address that makes the request
/// line longer than the limit and this is too long, and no more of it is awaited.
const LINE_BESIDE_URI_BYTES: usize = 64;

/// More fields than this are not parsed on the stack.
const FIELDS_ON_STACK: usize = 100;

/// What one decoded field counts beside its name and its value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// `http` takes no longer name.
const NAME_BYTES_MAX: usize = (1 << 16) - 1;

impl HeadLimits {
    /// Whether a head of which so much has come can still end within the limits.
    pub(super) fn bear(&self, scan: &HeadScan, bytes: usize) -> Result<(), Problem> {
        let line_bytes_max = self.uri_bytes_max + LINE_BESIDE_URI_BYTES;
        if let Some(line_bytes) = scan.request_line_bytes()
            && line_bytes > line_bytes_max
        {
            return Err(self.uri_too_long(line_bytes));
        }
        if scan.fields() > self.fields_max {
            return Err(self.too_many_fields());
        }
        if bytes >= self.bytes_max {
            return Err(self.too_large(bytes));
        }
        Ok(())
    }

    /// Whether hyper takes this head, which ends where the scan found its end.
    pub(super) fn check(&self, head: &[u8]) -> Result<(), Problem> {
        if head.len() > self.bytes_max {
            return Err(self.too_large(head.len()));
        }
        if self.fields_max > FIELDS_ON_STACK {
            let mut fields = vec![httparse::EMPTY_HEADER; self.fields_max];
            return self.parse(head, &mut fields);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_ON_STACK];
        self.parse(head, &mut fields[..self.fields_max])
    }

    fn parse<'h>(
        &self,
        head: &'h [u8],
        fields: &mut [httparse::Header<'h>],
    ) -> Result<(), Problem> {
        let mut request = httparse::Request::new(fields);
        match request.parse(head) {
            Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
            Ok(_) => return Err(invalid("its end is not clear")),
            Err(httparse::Error::TooManyHeaders) => return Err(self.too_many_fields()),
            Err(error) => return Err(invalid(error)),
        }
        let uri = request.path.unwrap_or_default();
        if uri.len() > self.uri_bytes_max {
            return Err(self.uri_too_long(uri.len()));
        }
        Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(invalid)?;
        Uri::try_from(uri).map_err(invalid)?;
        if let Some(field) = request
            .headers
            .iter()
            .find(|field| field.name.len() > NAME_BYTES_MAX)
        {
            return Err(self.too_large(field.name.len()));
        }
        let length = length(request.headers)?;
        let codings = values(request.headers, &header::TRANSFER_ENCODING);
        strict::framing(codings, length.is_some())?;
        if request.version == Some(0)
            && values(request.headers, &header::TRANSFER_ENCODING)
                .next()
                .is_some()
        {
            return Err(Problem::new(Kind::FramingInvalid)
                .detail("HTTP/1.0 does not support Transfer-Encoding.")
                .limit("Content-Length"));
        }
        Ok(())
    }

    /// Whether a head of HTTP/2 is within the limits. Its size is counted as in RFC 9113, section
    /// 6.5.2.
    pub(super) fn check_decoded(&self, uri: &Uri, fields: &HeaderMap) -> Result<(), Problem> {
        let uri_bytes = uri.path_and_query().map_or(0, |uri| uri.as_str().len());
        if uri_bytes > self.uri_bytes_max {
            return Err(self.uri_too_long(uri_bytes));
        }
        if fields.len() > self.fields_max {
            return Err(self.too_many_fields());
        }
        let bytes = decoded_bytes(fields);
        if bytes > self.bytes_max {
            return Err(self.too_large(bytes));
        }
        Ok(())
    }

    fn too_large(&self, bytes: usize) -> Problem {
        Problem::new(Kind::HeadersTooLarge)
            .detail(format!(
                "The request headers are too large (limit {}).",
                size(self.bytes_max as u64)
            ))
            .limit(self.bytes_max)
            .value(bytes)
    }

    fn too_many_fields(&self) -> Problem {
        Problem::new(Kind::HeadersTooLarge)
            .detail(format!("Too many headers (limit {}).", self.fields_max))
            .limit(self.fields_max)
            .value(self.fields_max + 1)
    }

    fn uri_too_long(&self, bytes: usize) -> Problem {
        Problem::new(Kind::UriTooLong)
            .detail(format!(
                "The address is {bytes} bytes long (limit {} bytes).",
                self.uri_bytes_max
            ))
            .limit(self.uri_bytes_max)
            .value(bytes)
    }
}

/// What decoded fields count (RFC 9113, section 6.5.2).
pub(super) fn decoded_bytes(fields: &HeaderMap) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    sizes.sum()
}

fn values<'f>(
    fields: &'f [httparse::Header<'_>],
    name: &'f header::HeaderName,
) -> impl Iterator<Item = &'f [u8]> + Clone {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name.as_str()))
        .map(|field| field.value)
}

/// The length that is told: digits and nothing else, and the same each time.
fn length(fields: &[httparse::Header<'_>]) -> Result<Option<u64>, Problem> {
    // hyper has a meaning of its own for the last two numbers.
    const MOST: u64 = u64::MAX - 2;
    let mut told = None;
    for value in values(fields, &header::CONTENT_LENGTH) {
        let refused = |why| {
            Problem::new(Kind::HeaderInvalid)
                .detail(format!("Content-Length: {why}"))
                .value(String::from_utf8_lossy(value).into_owned())
        };
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = digits
            .and_then(|digits| digits.parse().ok())
            .filter(|length| *length <= MOST)
            .ok_or_else(|| refused("it is no whole number of bytes"))?;
        if told.is_some_and(|told| told != length) {
            return Err(refused("it is told twice, and differently"));
        }
        told = Some(length);
    }
    Ok(told)
}

fn invalid(why: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::HeadInvalid).detail(format!("The request cannot be read: {why}."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, Ordering};

    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LIMITS: HeadLimits = HeadLimits {
        bytes_max: 32 << 10,
        uri_bytes_max: 100,
        fields_max: 8,
    };

    fn refused(head: &str) -> Option<(Kind, u16)> {
        let problem = LIMITS.check(head.as_bytes()).err()?;
        Some((problem.kind(), problem.status().as_u16()))
    }

    fn of(fields: &str) -> Option<(Kind, u16)> {
        refused(&format!("PUT /x HTTP/1.1\r\n{fields}\r\n"))
    }

    #[test]
    fn each_fault_has_its_kind() {
        assert_eq!(of("Host: a\r\n"), None);
        assert_eq!(of("A: b\r\n".repeat(8).as_str()), None);
        let too_large = Some((Kind::HeadersTooLarge, 431));
        assert_eq!(of("A: b\r\n".repeat(9).as_str()), too_large);
        assert_eq!(of(&format!("A: {}\r\n", "b".repeat(32 << 10))), too_large);
        let invalid = Some((Kind::HeadInvalid, 400));
        for head in [
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "G@T / HTTP/1.1\r\n\r\n",
            "GET /\u{1} HTTP/1.1\r\n\r\n",
            "GET x:/:y HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
        ] {
            assert_eq!(refused(head), invalid, "{head:?}");
        }
        let uri = "a".repeat(99);
        assert_eq!(refused(&format!("GET /{uri} HTTP/1.1\r\n\r\n")), None);
        let too_long = Some((Kind::UriTooLong, 414));
        assert_eq!(refused(&format!("GET //{uri} HTTP/1.1\r\n\r\n")), too_long);
    }

    #[test]
    fn a_body_has_one_end() {
        assert_eq!(of("Content-Length: 3\r\ncontent-length: 3\r\n"), None);
        let invalid = Some((Kind::HeaderInvalid, 400));
        for length in ["", "+3", "-1", "3, 3", "0x3", "18446744073709551615", "3 3"] {
            assert_eq!(
                of(&format!("Content-Length: {length}\r\n")),
                invalid,
                "{length}"
            );
        }
        assert_eq!(of("Content-Length: 3\r\nContent-Length: 4\r\n"), invalid);
        let twice = Some((Kind::FramingInvalid, 400));
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(of(chunked), None);
        assert_eq!(of(&format!("{chunked}Content-Length: 3\r\n")), twice);
        assert_eq!(of(&format!("CONTENT-LENGTH: 3\r\n{chunked}")), twice);
        assert_eq!(refused(&format!("PUT /x HTTP/1.0\r\n{chunked}\r\n")), twice);
    }

    #[test]
    fn what_has_come_is_enough_to_refuse() {
        let after = |bytes: &[u8]| {
            let mut scan = HeadScan::default();
            assert_eq!(scan.end_in(bytes), None);
            let problem = LIMITS.bear(&scan, bytes.len()).err()?;
            Some(problem.kind())
        };
        assert_eq!(after(b"GET / HTTP/1.1\r\nA: b"), None);
        assert_eq!(after(&b"GET /".repeat(40)), Some(Kind::UriTooLong));
        let fields = format!("GET / HTTP/1.1\r\n{}A", "A: b\r\n".repeat(8));
        assert_eq!(after(fields.as_bytes()), Some(Kind::HeadersTooLarge));
        let long = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(32 << 10));
        assert_eq!(after(long.as_bytes()), Some(Kind::HeadersTooLarge));
    }

    /// Whether hyper passes this head on.
    async fn passes_hyper(head: &[u8]) -> bool {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let passed = AtomicBool::new(false);
        let service = service_fn(|_| {
            passed.store(true, Ordering::Relaxed);
            async { Ok::<_, Infallible>(http::Response::new(String::new())) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(LIMITS.bytes_max + 1)
            .max_headers(LIMITS.fields_max)
            .serve_connection(TokioIo::new(server), service);
        client.write_all(head).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let (_, read) = tokio::join!(connection, client.read_to_end(&mut answer));
        read.unwrap();
        passed.load(Ordering::Relaxed)
    }

    fn line() -> impl Strategy<Value = String> {
        const NAMES: &[&str] = &["Host", "content-length", "Transfer-Encoding", "A", "A ", ""];
        const VALUES: &[&str] = &[
            "a",
            "3",
            "4",
            "chunked",
            "gzip, chunked",
            "chunked, gzip",
            "chunked,",
            "",
            "\u{e4}",
            "\0",
            "\t",
            "\r",
        ];
        const ENDS: &[&str] = &["\r\n", "\n", "\r\n ", "\r"];
        (
            prop::sample::select(NAMES),
            prop::sample::select(VALUES),
            prop_oneof![9 => Just("\r\n"), 1 => prop::sample::select(ENDS)],
        )
            .prop_map(|(name, value, end)| format!("{name}: {value}{end}"))
    }

    proptest! {
        #[test]
        fn what_passes_here_passes_hyper(
            before in prop::sample::select(&["", "\r\n", "\n", "\r"][..]),
            method in prop::sample::select(&["GET", "PUT", "CONNECT", "M@", "", "a b"][..]),
            uri in prop_oneof![
                4 => prop::sample::select(&["/", "*", "a:1", "http://a/x", "/\u{e4}", "/%zz", "x:/:y"][..])
                    .prop_map(str::to_owned),
                1 => "[!-~]{1,12}",
            ],
            version in prop::sample::select(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", ""][..]),
            lines in prop::collection::vec(line(), 0..10),
        ) {
            let head = format!("{before}{method} {uri} {version}\r\n{}\r\n", lines.concat());
            let end = HeadScan::default().end_in(head.as_bytes());
            let Some(end) = end else { return Ok(()) };
            let head = &head.as_bytes()[..end];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if LIMITS.check(head).is_ok() {
                prop_assert!(runtime.block_on(passes_hyper(head)));
            }
        }
    }
}
