//! Ids: one text for one id, and two rooms that agree on which texts are ids.

use ddx_engine::Id;
use ddx_storage::SegmentId;

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let id = text.parse::<Id>();
    let segment = text.parse::<SegmentId>();
    match (id, segment) {
        (Ok(id), Ok(segment)) => {
            assert_eq!(id.0, segment.0);
            assert_eq!(id.to_string(), text);
            assert_eq!(segment.to_string(), text);
        }
        (Err(_), Err(_)) => {}
        (id, segment) => panic!("{text:?}: {id:?} and {segment:?}"),
    }
    if let Some(bytes) = bytes.first_chunk::<16>() {
        let shown = Id(*bytes).to_string();
        assert_eq!(shown, SegmentId(*bytes).to_string());
        assert_eq!(shown.parse(), Ok(Id(*bytes)));
        assert!(!shown.contains(['/', '.']));
    }
}
