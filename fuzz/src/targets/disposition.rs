//! `Content-Disposition`, read from clients and written for receivers.

use ddx_http::delivery::disposition::{self, Disposition as Shown};
use ddx_http::shared::fields::Disposition;
use ddx_http::shared::names;

use crate::request::line;

/// What a browser may run, in any guise.
const RUNS: &[&str] = &["html", "xml", "script", "css", "wasm", "svg"];

pub(super) fn read(bytes: &[u8]) {
    let read = Disposition::parse(bytes);
    assert_eq!(read.kind, read.kind.trim().to_ascii_lowercase());
    if let Some(name) = read
        .filename
        .and_then(|name| names::name(&name, &names::Limits::default()).ok())
    {
        assert!(!name.contains(['/', '\\', '\r', '\n', '\0']), "{name:?}");
    }
}

/// The first line is the sender's media type, the rest the file's name, which need not have been
/// cleaned.
pub(super) fn written(bytes: &[u8]) {
    let (declared, name) = line(bytes);
    let declared = String::from_utf8_lossy(declared);
    let name = String::from_utf8_lossy(name);
    for wanted in [Shown::Inline, Shown::Attachment] {
        let value = disposition::content_disposition(wanted, &name);
        let text = value.to_str().expect("visible ASCII");
        assert_eq!(
            text.matches('"').count(),
            2,
            "a name breaks out of its quotes: {text}"
        );
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let back = Disposition::parse(value.as_bytes());
        assert_eq!(back.filename.as_deref(), Some(name.as_ref()), "{text}");
        for declared in [Some(declared.as_ref()), None] {
            let served = disposition::serve(declared, &name, wanted);
            let media_type = served.content_type.to_str().expect("visible ASCII");
            assert!(
                !RUNS.iter().any(|word| media_type.contains(word)) || is_document(media_type),
                "{media_type} could be run"
            );
            assert!(served.disposition == wanted || wanted == Shown::Inline);
            let fences = disposition::fences(&served.content_type);
            assert_eq!(fences["x-content-type-options"], "nosniff");
        }
    }
}

/// Types of vendors are saved and never run, whatever word is in them; those that end in xml are
/// not served at all.
fn is_document(media_type: &str) -> bool {
    ["application/vnd.", "image/", "audio/", "video/", "font/"]
        .iter()
        .any(|top| media_type.starts_with(top))
        && !media_type.ends_with("xml")
}
