//! Plain PUT on the wire.

use std::time::Duration;

use ddx_http::protocols::plain::headers::{self, Limits, Options, Put};
use ddx_http::shared::problem::{Kind, Problem};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

fn put(path: &str, pairs: &[(&'static str, &str)]) -> Result<Put, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers::put(
        path,
        &headers,
        &Limits {
            file_bytes_max: Some(1000),
            ..Limits::default()
        },
    )
}

fn kind(path: &str, pairs: &[(&'static str, &str)]) -> Kind {
    put(path, pairs).unwrap_err().kind()
}

#[test]
fn the_path_names_the_file() {
    assert_eq!(put("/f.iso", &[]).unwrap().path, "f.iso");
    assert_eq!(put("/dir/a%20b.txt", &[]).unwrap().path, "dir/a b.txt");
    assert_eq!(put("/", &[]).unwrap().path, "file");
    assert_eq!(
        put(
            "",
            &[("content-disposition", "attachment; filename=\"x/ü.txt\"")]
        )
        .unwrap()
        .path,
        "ü.txt"
    );
    assert_eq!(
        put("/a", &[("content-disposition", "attachment; filename=x")])
            .unwrap()
            .path,
        "a"
    );
    assert_eq!(kind("/a/%2e%2e/b", &[]), Kind::NameRefused);
    assert_eq!(
        kind(&format!("/{}", "a".repeat(256)), &[]),
        Kind::NameTooLong
    );
}

#[test]
fn options_are_kept_or_refused() {
    let options = put("/a", &[("max-downloads", "3"), ("max-days", "7")])
        .unwrap()
        .options;
    assert_eq!(
        options,
        Options {
            max_downloads: Some(3),
            keep: Some(Duration::from_secs(7 * 86_400))
        }
    );
    for name in ["max-downloads", "max-days"] {
        for text in ["0", "-1", "1.5", "x", "", "9999999", "99999999999999999999"] {
            assert_eq!(
                kind("/a", &[(name, text)]),
                Kind::OptionInvalid,
                "{name}: {text}"
            );
        }
        assert_eq!(kind("/a", &[(name, "1"), (name, "1")]), Kind::HeaderInvalid);
    }
    let mut from_form = Options::default();
    assert!(
        from_form
            .set("MAX_DAYS", " 1 ", &Limits::default())
            .unwrap()
    );
    assert!(!from_form.set("comment", "hi", &Limits::default()).unwrap());
    assert_eq!(from_form.keep, Some(Duration::from_secs(86_400)));
}

#[test]
fn a_body_that_is_not_the_file_is_refused() {
    assert_eq!(
        kind("/a", &[("content-range", "bytes 0-1/2")]),
        Kind::HeaderInvalid
    );
    assert_eq!(
        kind("/a", &[("content-encoding", "gzip")]),
        Kind::ContentTypeRefused
    );
    assert!(put("/a", &[("content-encoding", "identity")]).is_ok());
    assert_eq!(kind("/a", &[("content-length", "1001")]), Kind::TooLarge);
    assert_eq!(
        put("/a", &[("content-length", "1000")]).unwrap().length,
        Some(1000)
    );
}

#[test]
fn a_type_that_says_nothing_is_none() {
    let of = |value: &str| put("/a", &[("content-type", value)]).unwrap().content_type;
    assert_eq!(of("Image/PNG; x=y").as_deref(), Some("image/png"));
    for none in [
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "junk",
        "a/b/c",
        "",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[test]
fn digests_of_both_fields_are_to_hold() {
    let md5 = "md5=:AAAAAAAAAAAAAAAAAAAAAA==:";
    assert_eq!(
        put("/a", &[("repr-digest", md5), ("content-digest", md5)])
            .unwrap()
            .digests
            .len(),
        2
    );
    assert_eq!(
        kind("/a", &[("content-digest", "md5=:AAAA:")]),
        Kind::DigestInvalid
    );
}

proptest! {
    #[test]
    fn any_put_is_answered(path in "\\PC{0,40}", values in prop::collection::vec((0_usize..6, prop::collection::vec(any::<u8>(), 0..40)), 0..6)) {
        const NAMES: [&str; 6] = ["max-days", "max-downloads", "content-type", "content-disposition", "repr-digest", "content-length"];
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let _ = headers::put(&path, &headers, &Limits::default());
    }
}
