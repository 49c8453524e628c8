//! A request for a file: `method length milliseconds`, then its fields.

use ddx_http::delivery::byteranges::Byteranges;
use ddx_http::delivery::disposition::OCTET_STREAM;
use ddx_http::delivery::headers::{
    self, Answer, ETag, Outcome, RangeLimits, Selection, Validators,
};
use ddx_http::server::{Piece, Span};
use http::Method;

use crate::request::Request;

pub(super) fn run(bytes: &[u8]) {
    let request = Request::read(bytes);
    let mut words = request.first.split(' ');
    let method = words
        .next()
        .and_then(|word| Method::from_bytes(word.as_bytes()).ok())
        .unwrap_or(Method::GET);
    let length: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let modified_at: i64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let validators = Validators {
        etag: ETag::strong("tag"),
        modified_at,
    };
    let limits = RangeLimits::default();
    let conditions = headers::evaluate(&method, &request.headers, &validators);
    match headers::select(&method, &request.headers, &validators, length, &limits) {
        Ok(Answer::Whole) => {}
        Ok(Answer::NotModified) => assert_eq!(conditions, Outcome::NotModified),
        Ok(Answer::Part(span)) => {
            assert_eq!(
                (conditions, &method),
                (Outcome::Proceed { range: true }, &Method::GET)
            );
            assert_inside(&[span], length);
            let field = headers::content_range(span, length);
            assert_eq!(
                field,
                format!("bytes {}-{}/{length}", span.first, span.last)
            );
        }
        Ok(Answer::Parts(spans)) => parts(&spans, length, &limits),
        Err(problem) => assert!(matches!(problem.status().as_u16(), 412 | 416)),
    }
    let fields = headers::validator_fields(&validators, true);
    assert_eq!(fields.len(), 4);
    for value in request.headers.values().filter_map(|v| v.to_str().ok()) {
        ranges(value, length, &limits);
        for tag in ETag::list(value) {
            let text = tag.to_value();
            let again = ETag::parse(text.to_str().expect("visible ASCII"));
            assert_eq!(again, Some(tag));
        }
    }
}

fn ranges(text: &str, length: u64, limits: &RangeLimits) {
    for text in [text.to_owned(), format!("bytes={text}")] {
        match headers::parse(&text, length, limits) {
            Selection::Whole => {}
            Selection::One(span) => assert_inside(&[span], length),
            Selection::Several(spans) => parts(&spans, length, limits),
            Selection::Unsatisfiable => assert!(text.contains('-')),
        }
    }
}

/// Ranges lie in the file, apart from one another, and their frames are as long as announced.
fn parts(spans: &[Span], length: u64, limits: &RangeLimits) {
    assert!((2..=limits.sent_max).contains(&spans.len()));
    assert_inside(spans, length);
    let mut sorted: Vec<Span> = spans.to_vec();
    sorted.sort_by_key(|span| span.first);
    for pair in sorted.windows(2) {
        assert!(
            pair[1].first - pair[0].last > limits.gap_bytes,
            "not joined: {pair:?}"
        );
    }
    let framed = Byteranges::new(spans, length, &OCTET_STREAM, "boundary");
    let announced = framed.content_length();
    let sent: u64 = framed
        .into_pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Frame(bytes) => bytes.len() as u64,
            Piece::File(span) => span.bytes(),
        })
        .sum();
    assert_eq!(sent, announced);
}

fn assert_inside(spans: &[Span], length: u64) {
    for span in spans {
        assert!(span.first <= span.last && span.last < length, "{span:?}");
    }
}
