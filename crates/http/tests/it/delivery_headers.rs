//! Downloads on the wire: ranges, conditions in their order, frames of exact length, and what a
//! browser is handed.

use ddx_http::delivery::byteranges::Byteranges;
use ddx_http::delivery::disposition::{self, Disposition};
use ddx_http::delivery::headers::{
    self, Answer, ETag, Outcome, RangeLimits, Selection, Validators,
};
use ddx_http::server::{Piece, Span};
use ddx_http::shared::problem::Kind;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

/// 2023-11-14 22:13:20.500 UTC.
const MODIFIED_AT: i64 = 1_700_000_000_500;
const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

fn validators() -> Validators {
    Validators {
        etag: ETag::strong("abc"),
        modified_at: MODIFIED_AT,
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn get(pairs: &[(&'static str, &str)]) -> Outcome {
    headers::evaluate(&Method::GET, &headers(pairs), &validators())
}

fn parse(text: &str, length: u64) -> Selection {
    headers::parse(text, length, &RangeLimits::default())
}

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

#[test]
fn single_ranges() {
    for (text, expected) in [
        ("bytes=0-0", span(0, 0)),
        ("bytes=0-499", span(0, 499)),
        ("bytes=500-", span(500, 9_999)),
        ("bytes=-500", span(9_500, 9_999)),
        ("bytes=-99999", span(0, 9_999)),
        ("bytes=9999-99999", span(9_999, 9_999)),
        ("BYTES = 1 - 2 ", span(1, 2)),
        ("bytes=0-0,", span(0, 0)),
        ("bytes=5-99999999999999999999999999", span(5, 9_999)),
        ("bytes=20000-,0-0", span(0, 0)),
    ] {
        assert_eq!(parse(text, 10_000), Selection::One(expected), "{text}");
    }
}

#[test]
fn what_is_no_range_is_ignored() {
    for text in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=1-2-3",
        "items=0-1",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=0-1;x",
        "bytes=0-1,x",
    ] {
        assert_eq!(parse(text, 10_000), Selection::Whole, "{text:?}");
    }
}

#[test]
fn what_lies_outside_is_unsatisfiable() {
    for text in [
        "bytes=10000-",
        "bytes=10000-10001",
        "bytes=-0",
        "bytes=99999999999999999999-",
        "bytes=20000-,-0",
    ] {
        assert_eq!(parse(text, 10_000), Selection::Unsatisfiable, "{text}");
    }
    assert_eq!(parse("bytes=0-0", 0), Selection::Unsatisfiable);
    assert_eq!(parse("bytes=0-", 0), Selection::Unsatisfiable);
    assert_eq!(parse("bytes=-5", 0), Selection::Whole);
    assert_eq!(parse("bytes=-0", 0), Selection::Unsatisfiable);
}

#[test]
fn several_ranges_keep_their_order_and_join_where_they_touch() {
    assert_eq!(
        parse("bytes=5000-5999, 0-99", 10_000),
        Selection::Several(vec![span(5000, 5999), span(0, 99)])
    );
    assert_eq!(
        parse("bytes=0-10,11-20", 10_000),
        Selection::One(span(0, 20))
    );
    assert_eq!(
        parse("bytes=0-10,111-120", 10_000),
        Selection::One(span(0, 120))
    );
    assert_eq!(
        parse("bytes=0-10,112-120", 10_000),
        Selection::Several(vec![span(0, 10), span(112, 120)])
    );
    assert_eq!(
        parse("bytes=0-,0-,0-,0-", 10_000),
        Selection::One(span(0, 9_999))
    );
    // The third bridges the first two, and takes the first one's place.
    assert_eq!(
        parse("bytes=0-9,1000-1009,5000-5009,5-1005", 10_000),
        Selection::Several(vec![span(0, 1009), span(5000, 5009)])
    );
}

#[test]
fn too_many_ranges_are_the_whole_file() {
    let list = |count: u64| {
        (0..count)
            .map(|n| format!("{}-{}", n * 1000, n * 1000))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert!(
        matches!(parse(&format!("bytes={}", list(16)), 1 << 20), Selection::Several(spans) if spans.len() == 16)
    );
    assert_eq!(
        parse(&format!("bytes={}", list(17)), 1 << 20),
        Selection::Whole
    );
    let same = vec!["0-0"; 65].join(",");
    assert_eq!(parse(&format!("bytes={same}"), 1 << 20), Selection::Whole);
}

#[test]
fn conditions_come_in_their_order() {
    let whole = Outcome::Proceed { range: false };
    assert_eq!(get(&[]), whole);
    assert_eq!(get(&[("if-match", "\"abc\"")]), whole);
    assert_eq!(get(&[("if-match", "*")]), whole);
    assert_eq!(get(&[("if-match", "\"x\", \"abc\"")]), whole);
    assert_eq!(
        get(&[("if-match", "W/\"abc\"")]),
        Outcome::Failed,
        "strong comparison"
    );
    assert_eq!(get(&[("if-match", "\"x\"")]), Outcome::Failed);
    assert_eq!(get(&[("if-match", "junk")]), Outcome::Failed);
    assert_eq!(get(&[("if-unmodified-since", BEFORE)]), Outcome::Failed);
    assert_eq!(get(&[("if-unmodified-since", SAME)]), whole);
    assert_eq!(
        get(&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)]),
        whole,
        "If-Match hides the date"
    );
    assert_eq!(
        get(&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")]),
        Outcome::Failed,
        "412 before 304"
    );
    assert_eq!(get(&[("if-none-match", "\"abc\"")]), Outcome::NotModified);
    assert_eq!(
        get(&[("if-none-match", "W/\"abc\"")]),
        Outcome::NotModified,
        "weak comparison"
    );
    assert_eq!(
        get(&[("if-none-match", "\"a,b\" , \"abc\"")]),
        Outcome::NotModified,
        "a comma in a tag"
    );
    assert_eq!(
        get(&[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")]),
        Outcome::NotModified
    );
    assert_eq!(get(&[("if-none-match", "*")]), Outcome::NotModified);
    assert_eq!(
        get(&[("if-none-match", "\"x\""), ("if-modified-since", AFTER)]),
        whole,
        "the tag hides the date"
    );
    assert_eq!(get(&[("if-modified-since", SAME)]), Outcome::NotModified);
    assert_eq!(get(&[("if-modified-since", BEFORE)]), whole);
    assert_eq!(get(&[("if-modified-since", "yesterday")]), whole);
    let delete = headers::evaluate(
        &Method::DELETE,
        &headers(&[("if-none-match", "*")]),
        &validators(),
    );
    assert_eq!(delete, Outcome::Failed);
}

#[test]
fn if_range_needs_the_very_same_file() {
    let ranged = |value: &str| get(&[("range", "bytes=0-1"), ("if-range", value)]);
    assert_eq!(
        get(&[("range", "bytes=0-1")]),
        Outcome::Proceed { range: true }
    );
    assert_eq!(ranged("\"abc\""), Outcome::Proceed { range: true });
    assert_eq!(ranged(SAME), Outcome::Proceed { range: true });
    for other in ["W/\"abc\"", "\"x\"", BEFORE, AFTER, "junk", "abc"] {
        assert_eq!(ranged(other), Outcome::Proceed { range: false }, "{other}");
    }
    let head = headers::evaluate(
        &Method::HEAD,
        &headers(&[("range", "bytes=0-1")]),
        &validators(),
    );
    assert_eq!(head, Outcome::Proceed { range: false });
}

#[test]
fn a_request_is_answered_as_a_whole() {
    let select = |pairs: &[(&'static str, &str)]| {
        headers::select(
            &Method::GET,
            &headers(pairs),
            &validators(),
            10_000,
            &RangeLimits::default(),
        )
    };
    assert_eq!(
        select(&[("range", "bytes=1-2")]).unwrap(),
        Answer::Part(span(1, 2))
    );
    assert_eq!(
        select(&[("range", "bytes=1-2"), ("range", "bytes=3-4")]).unwrap(),
        Answer::Whole
    );
    assert_eq!(
        select(&[("range", "bytes=1-2"), ("if-none-match", "*")]).unwrap(),
        Answer::NotModified
    );
    let problem = select(&[("range", "bytes=10000-")]).unwrap_err();
    assert_eq!(
        (problem.kind(), problem.status().as_u16()),
        (Kind::RangeUnsatisfiable, 416)
    );
    assert_eq!(problem.headers()["content-range"], "bytes */10000");
    assert_eq!(select(&[("if-match", "\"x\"")]).unwrap_err().status(), 412);
    assert_eq!(
        headers::content_range(span(1, 2), 10_000),
        "bytes 1-2/10000"
    );
}

#[test]
fn validators_go_out_with_every_answer() {
    let fields = headers::validator_fields(&validators(), false);
    assert_eq!(fields["etag"], "\"abc\"");
    assert_eq!(fields["last-modified"], SAME);
    assert_eq!(fields["accept-ranges"], "bytes");
    assert_eq!(fields["cache-control"], "private, no-cache");
    assert_eq!(
        headers::validator_fields(&validators(), true)["cache-control"],
        "no-store"
    );
}

#[test]
fn frames_are_those_of_the_rfc() {
    let spans = [span(500, 999), span(7000, 7999)];
    let body = Byteranges::new(
        &spans,
        8000,
        &HeaderValue::from_static("application/pdf"),
        "SEP",
    );
    assert_eq!(body.content_type(), "multipart/byteranges; boundary=SEP");
    let length = body.content_length();
    let pieces = body.into_pieces();
    let total: u64 = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Frame(bytes) => bytes.len() as u64,
            Piece::File(span) => span.bytes(),
        })
        .sum();
    assert_eq!(total, length);
    let text: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Frame(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Piece::File(span) => format!("<{}-{}>", span.first, span.last),
        })
        .collect();
    assert_eq!(
        text,
        "--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-999/8000\r\n\r\n<500-999>\
         \r\n--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 7000-7999/8000\r\n\r\n<7000-7999>\
         \r\n--SEP--\r\n"
    );
}

#[test]
fn names_of_any_script_are_handed_over() {
    let header = |name: &str| {
        disposition::content_disposition(Disposition::Attachment, name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(header("a b.txt"), "attachment; filename=\"a b.txt\"");
    assert_eq!(
        header("ü.txt"),
        "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%BC.txt"
    );
    assert_eq!(
        header("a\"b\\c"),
        "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"
    );
    assert_eq!(
        header("100%41.txt"),
        "attachment; filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt"
    );
    assert_eq!(
        header("a\r\nX: y"),
        "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"
    );
    assert_eq!(
        disposition::content_disposition(Disposition::Inline, "مرحبا.pdf"),
        "inline; filename=\"_____.pdf\"; filename*=UTF-8''%D9%85%D8%B1%D8%AD%D8%A8%D8%A7.pdf"
    );
}

#[test]
fn only_what_nobody_runs_is_shown() {
    let serve = |declared: Option<&str>, name: &str| {
        let served = disposition::serve(declared, name, Disposition::Inline);
        (
            served.content_type.to_str().unwrap().to_owned(),
            served.disposition,
        )
    };
    let shown = |text: &str| (text.to_owned(), Disposition::Inline);
    let saved = |text: &str| (text.to_owned(), Disposition::Attachment);
    assert_eq!(serve(Some("image/png"), "x"), shown("image/png"));
    assert_eq!(serve(None, "film.MP4"), shown("video/mp4"));
    assert_eq!(
        serve(Some("application/octet-stream"), "a.jpg"),
        shown("image/jpeg")
    );
    assert_eq!(
        serve(Some("text/markdown; charset=x"), "a.md"),
        shown("text/plain; charset=utf-8")
    );
    assert_eq!(
        serve(Some("Application/PDF"), "a"),
        shown("application/pdf")
    );
    assert_eq!(
        serve(Some("application/zip"), "a.zip"),
        saved("application/zip")
    );
    for (declared, name) in [
        (Some("text/html"), "a.png"),
        (Some("TEXT/HTML; charset=utf-8"), "a"),
        (None, "a.html"),
        (None, "a.svg"),
        (Some("image/svg+xml"), "a.svg"),
        (Some("text/xml"), "a"),
        (Some("application/xml"), "a"),
        (Some("application/xhtml+xml"), "a"),
        (Some("application/vnd.mozilla.xul+xml"), "a"),
        (Some("text/javascript"), "a.js"),
        (None, "a.js"),
        (Some("text/css"), "a"),
        (Some("application/wasm"), "a"),
        (Some("multipart/mixed"), "a"),
        (Some("message/rfc822"), "a"),
        (Some("text/vbscript"), "a"),
        (Some("junk"), "a"),
        (Some("image/png\u{0}"), "a"),
        (None, "a"),
    ] {
        assert_eq!(
            serve(declared, name),
            saved("application/octet-stream"),
            "{declared:?} {name}"
        );
    }
    let asked = disposition::serve(Some("image/png"), "x", Disposition::Attachment);
    assert_eq!(
        (asked.content_type.to_str().unwrap(), asked.disposition),
        ("image/png", Disposition::Attachment)
    );
    let text = disposition::serve(Some("text/csv"), "x", Disposition::Attachment);
    assert_eq!(
        (text.content_type.to_str().unwrap(), text.disposition),
        ("text/csv", Disposition::Attachment)
    );
}

#[test]
fn every_file_is_fenced_in() {
    let fences = disposition::fences(&HeaderValue::from_static("image/png"));
    assert!(
        fences["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("sandbox")
    );
    assert_eq!(fences["x-content-type-options"], "nosniff");
    assert_eq!(fences["referrer-policy"], "no-referrer");
    let pdf = disposition::fences(&HeaderValue::from_static("application/pdf"));
    assert!(
        !pdf["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("sandbox")
    );
}

/// Whether the field's own ranges ask for byte `at`: the definition, written without the code under
/// test.
fn asked(ranges: &[(u64, u64)], at: u64) -> bool {
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&at))
}

proptest! {
    #[test]
    fn any_range_is_answered(text in ".*", length in 0_u64..1000) {
        let _ = parse(&text, length);
        let _ = parse(&format!("bytes={text}"), length);
    }

    #[test]
    fn spans_lie_in_the_file_apart_from_each_other_and_hold_what_was_asked(
        ranges in prop::collection::vec((0_u64..2000, 0_u64..300), 1..40),
        length in 1_u64..2000,
        gap_bytes in 0_u64..50,
    ) {
        let ranges: Vec<(u64, u64)> = ranges.into_iter().map(|(first, more)| (first, first + more)).collect();
        let text = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",");
        let limits = RangeLimits { gap_bytes, sent_max: 1000, ..RangeLimits::default() };
        let spans = match headers::parse(&format!("bytes={text}"), length, &limits) {
            Selection::One(span) => vec![span],
            Selection::Several(spans) => { prop_assert!(spans.len() > 1); spans }
            Selection::Unsatisfiable => { prop_assert!(ranges.iter().all(|(first, _)| *first >= length)); vec![] }
            Selection::Whole => { prop_assert!(false, "well-formed"); vec![] }
        };
        for (at, a) in spans.iter().enumerate() {
            prop_assert!(a.first <= a.last && a.last < length);
            for b in &spans[at + 1..] {
                prop_assert!(a.last + gap_bytes + 1 < b.first || b.last + gap_bytes + 1 < a.first);
            }
        }
        for byte in 0..length {
            if asked(&ranges, byte) {
                prop_assert!(spans.iter().any(|span| (span.first..=span.last).contains(&byte)));
            }
        }
    }

    #[test]
    fn any_condition_is_answered(values in prop::collection::vec((0_usize..6, "[ -~]{0,30}"), 0..6)) {
        const NAMES: [&str; 6] = ["if-match", "if-none-match", "if-range", "if-modified-since", "if-unmodified-since", "range"];
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(&value) {
                map.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let _ = headers::select(&Method::GET, &map, &validators(), 10, &RangeLimits::default());
    }

    #[test]
    fn tags_come_back(opaque in "[a-z0-9-]{0,40}") {
        let tag = ETag::strong(&opaque);
        let text = tag.to_value();
        prop_assert_eq!(ETag::parse(text.to_str().unwrap()), Some(tag.clone()));
        let list = format!("W/\"other\",, junk, {}", text.to_str().unwrap());
        prop_assert!(ETag::list(&list).any(|other| other.strong_eq(&tag)));
    }

    #[test]
    fn a_name_is_never_more_than_a_name(name in any::<String>(), declared in any::<String>()) {
        let value = disposition::content_disposition(Disposition::Attachment, &name);
        let text = value.to_str().unwrap();
        prop_assert!(text.starts_with("attachment; filename=\""));
        prop_assert_eq!(text.matches('"').count(), 2);
        if let Some((_, extended)) = text.split_once("filename*=UTF-8''") {
            prop_assert_eq!(ddx_http::shared::names::decode(extended), name.as_str());
        } else {
            prop_assert!(text.contains(&name));
        }
        let served = disposition::serve(Some(&declared), &name, Disposition::Inline);
        let served = served.content_type.to_str().unwrap();
        prop_assert!(!["html", "xml", "script", "css"].iter().any(|word| served.contains(word)));
    }
}
