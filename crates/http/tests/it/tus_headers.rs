//! tus on the wire: the protocol's own examples, the doubtful corners, and arbitrary bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ddx_digest::Algorithm;
use ddx_http::protocols::tus::headers::{self, Checksum, Concat, Length, Limits, Metadata};
use ddx_http::shared::problem::{Kind, Problem};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

const KEY_A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
const KEY_B: &str = "bcdefghijklmnopqrstuvwxyz2";

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

fn kind<T: std::fmt::Debug>(result: Result<T, Problem>) -> Kind {
    result.unwrap_err().kind()
}

fn creation(pairs: &[(&'static str, &str)]) -> Result<headers::Creation, Problem> {
    headers::creation(&headers(pairs), "/files", &Limits::default())
}

fn append(pairs: &[(&'static str, &str)]) -> Result<headers::Append, Problem> {
    headers::append(&headers(pairs), &Limits::default())
}

#[test]
fn a_creation_of_the_protocols_example() {
    let creation = creation(&[
        ("upload-length", "100"),
        (
            "upload-metadata",
            "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
        ),
    ])
    .unwrap();
    assert_eq!(creation.length, Length::Known(100));
    assert_eq!(
        creation.metadata.filename().as_deref(),
        Some("world_domination_plan.pdf")
    );
    assert_eq!(creation.metadata.get("is_confidential"), Some(&b""[..]));
    assert_eq!(
        creation.metadata.raw(),
        "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"
    );
    assert_eq!(
        (creation.concat, creation.has_chunk, creation.checksum),
        (None, false, None)
    );
}

#[test]
fn lengths_are_told_once() {
    assert_eq!(
        creation(&[("upload-defer-length", "1")]).unwrap().length,
        Length::Deferred
    );
    assert_eq!(
        creation(&[("upload-length", "0")]).unwrap().length,
        Length::Known(0)
    );
    for refused in [
        &[][..],
        &[("upload-length", "1"), ("upload-defer-length", "1")],
        &[("upload-defer-length", "2")],
        &[("upload-length", "-1")],
        &[("upload-length", "+1")],
        &[("upload-length", "1.0")],
        &[("upload-length", "")],
        &[("upload-length", "9223372036854775808")],
        &[("upload-length", "99999999999999999999999")],
    ] {
        assert_eq!(kind(creation(refused)), Kind::LengthInvalid, "{refused:?}");
    }
    assert_eq!(
        kind(creation(&[("upload-length", "1"), ("upload-length", "1")])),
        Kind::HeaderInvalid
    );
    assert_eq!(
        creation(&[("upload-length", "9223372036854775807")])
            .unwrap()
            .length,
        Length::Known(i64::MAX as u64)
    );
}

#[test]
fn a_file_over_the_limit_is_413_with_both_figures() {
    let limits = Limits {
        file_bytes_max: Some(10),
        ..Limits::default()
    };
    let problem =
        headers::creation(&headers(&[("upload-length", "11")]), "/files", &limits).unwrap_err();
    assert_eq!(problem.status(), 413);
    let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
    assert_eq!(
        (json["limit"].as_u64(), json["value"].as_u64()),
        (Some(10), Some(11))
    );
    let patch = [
        ("content-type", headers::CHUNK_TYPE),
        ("upload-offset", "0"),
        ("upload-length", "11"),
    ];
    assert_eq!(
        kind(headers::append(&headers(&patch), &limits)),
        Kind::TooLarge
    );
}

#[test]
fn the_version_is_asked_for_where_it_must_be() {
    let none = headers(&[]);
    let old = headers(&[("tus-resumable", "0.2.2")]);
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        for headers in [&none, &old] {
            let problem = headers::version(&method, headers).unwrap_err();
            assert_eq!(problem.status(), 412);
            assert_eq!(problem.headers()["tus-version"], "1.0.0");
        }
    }
    assert!(headers::version(&Method::HEAD, &none).is_ok());
    assert!(headers::version(&Method::HEAD, &old).is_err());
    assert!(headers::version(&Method::GET, &old).is_ok());
    assert!(headers::version(&Method::OPTIONS, &old).is_ok());
    assert!(headers::version(&Method::PATCH, &headers(&[("tus-resumable", "1.0.0")])).is_ok());
}

#[test]
fn the_override_counts_on_post_only() {
    let patch = headers(&[("x-http-method-override", "PATCH")]);
    assert_eq!(
        headers::method(&Method::POST, &patch).unwrap(),
        Method::PATCH
    );
    assert_eq!(headers::method(&Method::GET, &patch).unwrap(), Method::GET);
    let get = headers(&[("x-http-method-override", "GET")]);
    assert_eq!(
        kind(headers::method(&Method::POST, &get)),
        Kind::HeaderInvalid
    );
    assert_eq!(
        headers::method(&Method::POST, &headers(&[])).unwrap(),
        Method::POST
    );
}

#[test]
fn a_patch_needs_its_type_and_its_offset() {
    assert_eq!(
        kind(append(&[("upload-offset", "0")])),
        Kind::ContentTypeRefused
    );
    assert_eq!(
        kind(append(&[
            ("upload-offset", "0"),
            ("content-type", "text/plain")
        ])),
        Kind::ContentTypeRefused
    );
    assert_eq!(
        kind(append(&[("content-type", headers::CHUNK_TYPE)])),
        Kind::HeaderInvalid
    );
    assert_eq!(
        kind(append(&[
            ("content-type", headers::CHUNK_TYPE),
            ("upload-offset", "x")
        ])),
        Kind::HeaderInvalid
    );
    let patch = append(&[
        (
            "content-type",
            "Application/Offset+Octet-Stream; charset=utf-8",
        ),
        ("upload-offset", "70"),
        ("upload-length", "100"),
    ])
    .unwrap();
    assert_eq!((patch.offset, patch.length), (70, Some(100)));
    let past = [
        ("content-type", headers::CHUNK_TYPE),
        ("upload-offset", "70"),
        ("upload-length", "69"),
    ];
    assert_eq!(kind(append(&past)), Kind::BeyondLength);
}

#[test]
fn metadata_is_strict_where_a_name_could_get_lost() {
    let parse = |raw: &str| Metadata::parse(raw, &Limits::default());
    for refused in [
        "filename !!!",
        "a YQ==,a Yg==",
        "a YQ== Yg==",
        "a\u{7f} YQ==",
        "ü YQ==",
    ] {
        assert_eq!(kind(parse(refused)), Kind::MetadataInvalid, "{refused:?}");
    }
    let lenient = parse("a YQ , b  YmI= ,, c,").unwrap();
    let pairs: Vec<_> = lenient.pairs().collect();
    assert_eq!(pairs, [("a", &b"a"[..]), ("b", b"bb"), ("c", b"")]);
    assert_eq!(parse("").unwrap(), Metadata::default());
    let lines = headers(&[("upload-metadata", "a YQ=="), ("upload-metadata", "b Yg==")]);
    assert_eq!(
        Metadata::read(&lines, &Limits::default()).unwrap().raw(),
        "a YQ==,b Yg=="
    );
}

#[test]
fn metadata_has_limits() {
    let limits = Limits {
        metadata_bytes_max: 20,
        metadata_pairs_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        kind(Metadata::parse(&"a".repeat(21), &limits)),
        Kind::MetadataTooLarge
    );
    assert_eq!(
        kind(Metadata::parse("a,b,c", &limits)),
        Kind::MetadataTooLarge
    );
    assert!(Metadata::parse("a,b", &limits).is_ok());
}

#[test]
fn uppys_metadata_is_understood() {
    let raw = format!(
        "relativePath {},name {},type {},share {}",
        STANDARD.encode("null"),
        STANDARD.encode("null"),
        STANDARD.encode("image/png"),
        STANDARD.encode("undefined"),
    );
    let metadata = Metadata::parse(&raw, &Limits::default()).unwrap();
    assert_eq!(metadata.relative_path(), None);
    assert_eq!(metadata.filename().as_deref(), Some("null"));
    assert_eq!(metadata.filetype().as_deref(), Some("image/png"));
    assert_eq!(metadata.share(), None);
}

#[test]
fn a_checksum_of_the_protocols_example() {
    let checksum = Checksum::parse("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
    assert_eq!(checksum.algorithm, Algorithm::Sha1);
    assert_eq!(checksum.expected.len(), 20);
    assert_eq!(checksum.expected[..2], [0x2a, 0xae]);
    assert_eq!(
        Checksum::parse("CRC32 AAAAAQ").unwrap().expected,
        [0, 0, 0, 1]
    );
}

#[test]
fn every_algorithm_is_listed() {
    let names: Vec<_> = Algorithm::ALL.iter().map(|a| a.name()).collect();
    assert_eq!(headers::ALGORITHMS, names.join(","));
}

#[test]
fn checksums_that_can_not_be_verified_are_refused() {
    assert_eq!(
        kind(Checksum::parse("blake2b AAAA")),
        Kind::ChecksumAlgorithm
    );
    for refused in ["", "sha1", "sha1 ", "sha1 ???", "sha1 AAAA"] {
        assert_eq!(
            kind(Checksum::parse(refused)),
            Kind::ChecksumInvalid,
            "{refused:?}"
        );
    }
    let hexadecimal = STANDARD.encode("2aae6c35c94fcfb415dbe95f408b9ce91ee846ed");
    assert_eq!(
        kind(Checksum::parse(&format!("sha1 {hexadecimal}"))),
        Kind::ChecksumInvalid
    );
    assert_eq!(
        kind(Checksum::parse(&format!("sha1 {}", "A".repeat(10_000)))),
        Kind::ChecksumInvalid
    );
}

#[test]
fn trailers_are_verified_as_they_were_announced() {
    let value = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    let checksum = Checksum::parse(value).unwrap();
    let trailers = headers(&[("upload-checksum", value)]);
    let other = headers(&[("upload-checksum", "crc32 AAAAAA==")]);
    let announced = append(&[
        ("content-type", headers::CHUNK_TYPE),
        ("upload-offset", "0"),
        ("trailer", "Expires, upload-checksum"),
    ])
    .unwrap();
    assert!(announced.checksum_in_trailer && announced.checksum.is_none());
    assert_eq!(
        headers::trailing(Some(&trailers), true, None)
            .unwrap()
            .as_ref(),
        Some(&checksum)
    );
    assert_eq!(
        headers::trailing(Some(&trailers), false, None)
            .unwrap()
            .as_ref(),
        Some(&checksum)
    );
    assert_eq!(
        headers::trailing(Some(&trailers), true, Some(checksum.clone()))
            .unwrap()
            .as_ref(),
        Some(&checksum)
    );
    assert_eq!(
        headers::trailing(None, false, Some(checksum.clone()))
            .unwrap()
            .as_ref(),
        Some(&checksum)
    );
    assert_eq!(
        kind(headers::trailing(None, true, Some(checksum.clone()))),
        Kind::ChecksumInvalid
    );
    assert_eq!(
        kind(headers::trailing(Some(&other), true, Some(checksum))),
        Kind::ChecksumInvalid
    );
    assert_eq!(headers::trailing(None, false, None).unwrap(), None);
}

#[test]
fn parts_are_found_in_any_form_of_url() {
    let parse = |text: &str| Concat::parse(text, "/files");
    assert_eq!(parse("partial").unwrap(), Concat::Partial);
    let both = Concat::Final(vec![KEY_A.into(), KEY_B.into()]);
    for text in [
        format!("final;/files/{KEY_A} /files/{KEY_B}"),
        format!(
            "final; https://example.org/files/{KEY_A}   http://[::1]:8000/some/prefix/files/{KEY_B}/ "
        ),
        format!("Final;files/{KEY_A} {KEY_B}"),
    ] {
        assert_eq!(parse(&text).unwrap(), both, "{text}");
    }
    assert_eq!(
        parse(&format!("final;/files/{KEY_A} /files/{KEY_A}")).unwrap(),
        Concat::Final(vec![KEY_A.into(), KEY_A.into()])
    );
    for refused in [
        String::new(),
        "final".into(),
        "final;".into(),
        "final; ".into(),
        "partial;".into(),
        format!("finale;/files/{KEY_A}"),
        format!("final;/other/{KEY_A}"),
        format!("final;/myfiles/{KEY_A}"),
        format!("final;/files/{KEY_A}?x"),
        format!("final;/files/{KEY_A}x"),
        "final;/files/AAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        format!("final;https://{KEY_A}"),
    ] {
        assert_eq!(kind(parse(&refused)), Kind::ConcatInvalid, "{refused:?}");
    }
}

#[test]
fn a_refused_url_is_not_shown() {
    let problem =
        Concat::parse(&format!("final;/files/{KEY_A} /fils/{KEY_B}"), "/files").unwrap_err();
    assert!(
        !String::from_utf8(problem.to_json())
            .unwrap()
            .contains(KEY_B)
    );
}

#[test]
fn a_final_upload_has_no_bytes_of_its_own() {
    let urls = format!("final;/files/{KEY_A}");
    let ok = creation(&[("upload-concat", &urls), ("upload-length", "7")]).unwrap();
    assert_eq!(ok.length, Length::OfParts);
    let with_chunk = creation(&[
        ("upload-concat", &urls),
        ("content-type", headers::CHUNK_TYPE),
    ]);
    assert_eq!(with_chunk.unwrap_err().status(), 403);
    let part = creation(&[("upload-concat", "partial"), ("upload-length", "5")]).unwrap();
    assert_eq!(part.concat, Some(Concat::Partial));
    assert_eq!(
        kind(creation(&[("upload-concat", "partial")])),
        Kind::LengthInvalid
    );
}

#[test]
fn a_first_chunk_is_known_by_its_type() {
    let chunk = creation(&[
        ("upload-length", "11"),
        ("content-type", headers::CHUNK_TYPE),
        ("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
    ])
    .unwrap();
    assert!(chunk.has_chunk && chunk.checksum.is_some());
    let other = creation(&[
        ("upload-length", "11"),
        ("content-type", "application/json"),
        ("upload-checksum", "junk"),
    ])
    .unwrap();
    assert!(!other.has_chunk && other.checksum.is_none());
}

#[test]
fn answers_have_the_fields_of_the_protocol() {
    let options = headers::options(&headers::Capabilities {
        file_bytes_max: Some(1 << 30),
    });
    assert_eq!(options["tus-version"], "1.0.0");
    assert_eq!(options["tus-max-size"], "1073741824");
    assert_eq!(
        options["tus-checksum-algorithm"],
        "sha1,sha256,sha512,md5,crc32"
    );
    assert!(
        options["tus-extension"]
            .to_str()
            .unwrap()
            .split(',')
            .any(|e| e == "concatenation-unfinished")
    );
    assert!(!headers::options(&headers::Capabilities::default()).contains_key("tus-max-size"));

    let head = headers::head(&headers::UploadState {
        offset: Some(0),
        length_deferred: true,
        metadata: "a YQ==",
        concat: Some("partial"),
        expires_at: Some(1_403_712_000_000),
        ..Default::default()
    });
    assert_eq!(head["upload-offset"], "0");
    assert_eq!(head["upload-defer-length"], "1");
    assert_eq!(head["upload-metadata"], "a YQ==");
    assert_eq!(head["upload-concat"], "partial");
    assert_eq!(head["cache-control"], "no-store");
    assert_eq!(head["upload-expires"], "Wed, 25 Jun 2014 16:00:00 GMT");
    assert!(!head.contains_key("upload-length"));

    let known = headers::head(&headers::UploadState {
        length: Some(5),
        ..Default::default()
    });
    assert_eq!(known["upload-length"], "5");
    assert!(!known.contains_key("upload-defer-length") && !known.contains_key("upload-offset"));

    let created = headers::created("https://h/files/x", Some(5), None);
    assert_eq!(
        (&created["location"], &created["upload-offset"]),
        (&"https://h/files/x".parse().unwrap(), &"5".parse().unwrap())
    );
    assert!(!headers::created("/files/x", None, None).contains_key("upload-offset"));
    assert_eq!(
        headers::patched(100, Some(0))["upload-expires"],
        "Thu, 01 Jan 1970 00:00:00 GMT"
    );
    for headers in [options, head, created, headers::terminated()] {
        assert_eq!(headers["tus-resumable"], "1.0.0");
    }
}

const NAMES: [&str; 9] = [
    "upload-length",
    "upload-defer-length",
    "upload-offset",
    "upload-metadata",
    "upload-checksum",
    "upload-concat",
    "content-type",
    "tus-resumable",
    "x-http-method-override",
];

proptest! {
    #[test]
    fn any_header_is_answered(lines in prop::collection::vec((0..NAMES.len(), prop::collection::vec(any::<u8>(), 0..60)), 0..12)) {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        map.append("content-type", HeaderValue::from_static(headers::CHUNK_TYPE));
        let limits = Limits::default();
        let _ = headers::creation(&map, "/files", &limits);
        let _ = headers::append(&map, &limits);
        let _ = headers::version(&Method::PATCH, &map);
        let _ = headers::method(&Method::POST, &map);
        let _ = headers::trailing(Some(&map), true, None);
    }

    #[test]
    fn the_share_is_taken_out_and_nothing_else(raw in "((share|shares|sharE|a|b|)[ \\t]{0,2}(YQ==|)[ \\t]?,?){0,6}") {
        if let Ok(metadata) = Metadata::parse(&raw, &Limits::default()) {
            let kept = metadata.without_share();
            let kept = Metadata::parse(&kept, &Limits::default()).unwrap();
            let pairs: Vec<_> = metadata.pairs().filter(|(key, _)| *key != "share").collect();
            prop_assert_eq!(kept.pairs().collect::<Vec<_>>(), pairs);
            if metadata.get("share").is_none() {
                prop_assert_eq!(kept.raw(), metadata.raw());
            }
        }
    }

    #[test]
    fn metadata_comes_back(pairs in prop::collection::btree_map("[!-+\\--~]{1,12}", prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let raw: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        let raw = raw.join(",");
        let metadata = Metadata::parse(&raw, &Limits::default()).unwrap();
        prop_assert_eq!(metadata.pairs().count(), pairs.len());
        for (key, value) in &pairs {
            prop_assert_eq!(metadata.get(key), Some(value.as_slice()));
        }
        let head = headers::head(&headers::UploadState { metadata: metadata.raw(), ..Default::default() });
        let sent_back = head.get("upload-metadata").map_or("", |value| value.to_str().unwrap());
        prop_assert_eq!(Metadata::parse(sent_back, &Limits::default()).unwrap(), metadata);
    }

    #[test]
    fn any_metadata_that_is_taken_can_be_sent_back(raw in any::<String>()) {
        if let Ok(metadata) = Metadata::parse(&raw, &Limits::default()) {
            prop_assert!(metadata.raw().is_empty() || HeaderValue::from_str(metadata.raw()).is_ok());
        }
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = Checksum::parse(&text);
        let _ = Checksum::parse(&format!("sha256 {text}"));
        let _ = Concat::parse(&text, "/files");
        let _ = Concat::parse(&format!("final;{text}"), "/files");
    }
}
