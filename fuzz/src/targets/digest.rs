//! Digests in fields, and the kept state of one.

use ddx_digest::{FileHasher, LEAF_BYTES, STATE_BYTES_MAX};
use ddx_http::shared::digests::{
    self, CONTENT_DIGEST, REPR_DIGEST, WANT_CONTENT_DIGEST, WANT_REPR_DIGEST,
};
use http::HeaderMap;

use crate::request::Request;

pub(super) fn fields(bytes: &[u8]) {
    let headers = Request::read(bytes).headers;
    for field in [REPR_DIGEST, CONTENT_DIGEST] {
        let Ok(read) = digests::read(&headers, &field) else {
            continue;
        };
        for digest in &read {
            assert_eq!(digest.value.len(), digest.algorithm.output_bytes());
        }
        if let Some(value) = digests::value(&read) {
            let mut again = HeaderMap::new();
            again.insert(field.clone(), value);
            assert_eq!(digests::read(&again, &field).ok(), Some(read));
        }
    }
    for field in [WANT_REPR_DIGEST, WANT_CONTENT_DIGEST] {
        let wanted = digests::wanted(&headers, &field);
        for (at, algorithm) in wanted.iter().enumerate() {
            assert!(!wanted[..at].contains(algorithm), "wanted twice");
        }
    }
}

/// A state as it may lie in a catalog that was damaged; and, so that more is reached than its
/// check, the same with a right one.
pub(super) fn state(bytes: &[u8]) {
    resume(bytes);
    let mut checked = bytes.to_vec();
    checked.extend_from_slice(&blake3::hash(bytes).as_bytes()[..4]);
    resume(&checked);
}

fn resume(state: &[u8]) {
    let Ok(mut hasher) = FileHasher::resume(state) else {
        return;
    };
    assert!(state.len() <= STATE_BYTES_MAX);
    assert_eq!(
        hasher.state(),
        state,
        "one state has one way to be written down"
    );
    assert_eq!(hasher.offset() % LEAF_BYTES, 0);
    let before = hasher.finalize();
    if hasher.offset() < u64::MAX - LEAF_BYTES {
        hasher.update(b"more");
        assert_ne!(hasher.finalize(), before);
        assert_eq!(
            hasher.state(),
            state,
            "the state stands at the last leaf's border"
        );
    }
}
