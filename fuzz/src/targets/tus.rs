//! A tus request: the method, then its fields.

use ddx_http::protocols::tus::headers::{self, Checksum, Concat, Length, Limits, Metadata};
use http::Method;

use crate::request::Request;

const FILES: &str = "/files";

pub(super) fn run(bytes: &[u8]) {
    let request = Request::read(bytes);
    let headers = &request.headers;
    let given = Method::from_bytes(request.first.trim().as_bytes()).unwrap_or(Method::POST);
    let limits = Limits {
        file_bytes_max: Some(1 << 50),
        ..Limits::default()
    };
    if let Ok(method) = headers::method(&given, headers) {
        assert!(
            given == Method::POST || method == given,
            "only a POST may mean another method"
        );
        let _ = headers::version(&method, headers);
    }
    if let Ok(creation) = headers::creation(headers, FILES, &limits) {
        match (creation.length, &creation.concat) {
            (Length::OfParts, Some(Concat::Final(_))) => assert!(!creation.has_chunk),
            (Length::OfParts, _) | (_, Some(Concat::Final(_))) => {
                panic!("a length of parts and parts go together: {creation:?}")
            }
            (Length::Known(bytes), _) => assert!(bytes <= 1 << 50),
            (Length::Deferred, _) => {}
        }
        assert!(
            creation.has_chunk || (creation.checksum.is_none() && !creation.checksum_in_trailer)
        );
        metadata(&creation.metadata, &limits);
        if let Some(concat) = &creation.concat {
            parts(concat);
        }
        checksum(creation.checksum.as_ref());
    }
    if let Ok(append) = headers::append(headers, &limits) {
        assert!(append.length.is_none_or(|length| append.offset <= length));
        checksum(append.checksum.as_ref());
    }
    let _ = headers::trailing(Some(headers), true, None);
    if let Ok(metadata_read) = Metadata::read(headers, &limits) {
        metadata(&metadata_read, &limits);
    }
}

/// What HEAD gives back is what came, and means the same.
fn metadata(metadata: &Metadata, limits: &Limits) {
    let state = headers::UploadState {
        metadata: metadata.raw(),
        ..Default::default()
    };
    let head = headers::head(&state);
    let sent = head
        .get("upload-metadata")
        .map_or("", |value| value.to_str().expect("visible ASCII"));
    let again = Metadata::parse(sent, limits).expect("what was taken is taken again");
    assert_eq!(&again, metadata);
    assert!(metadata.pairs().count() <= limits.metadata_pairs_max);
    for text in [
        metadata.filename(),
        metadata.filetype(),
        metadata.relative_path(),
        metadata.share(),
    ] {
        assert!(text.is_none_or(|text| !text.is_empty()));
    }
}

fn parts(concat: &Concat) {
    let Concat::Final(keys) = concat else { return };
    assert!(!keys.is_empty());
    let urls: Vec<String> = keys
        .iter()
        .map(|key| {
            key.parse::<ddx_id::UploadKey>().map_or_else(
                |_| format!("/files/{key}"),
                |key| format!("/files/{}", key.reveal()),
            )
        })
        .collect();
    let value = format!("final;{}", urls.join(" "));
    assert_eq!(Concat::parse(&value, FILES).ok().as_ref(), Some(concat));
}

fn checksum(checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        assert_eq!(checksum.expected.len(), checksum.algorithm.output_bytes());
    }
}
