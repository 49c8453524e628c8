//! Ids: one text for one id, and ids and secrets that agree on which texts are theirs.

use ddx_id::{SegmentId, UploadKey};

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let id = text.parse::<SegmentId>();
    let secret = text.parse::<UploadKey>();
    match (id, secret) {
        (Ok(id), Ok(secret)) => {
            assert_eq!(secret.hash(), UploadKey::from_bytes(*id.as_bytes()).hash());
            assert_eq!(id.to_string(), text);
            assert_eq!(secret.reveal(), text);
        }
        (Err(_), Err(_)) => {}
        (id, secret) => panic!("{text:?}: {id:?} and {secret:?}"),
    }
    if let Some(bytes) = bytes.first_chunk::<16>() {
        let shown = SegmentId::from_bytes(*bytes).to_string();
        assert_eq!(shown, UploadKey::from_bytes(*bytes).reveal());
        assert_eq!(shown.parse(), Ok(SegmentId::from_bytes(*bytes)));
        assert!(!shown.contains(['/', '.']));
    }
}
