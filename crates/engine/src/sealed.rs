//! Text that a client is told again, and that nothing but its upload's key opens.
//!
//! tus wants `HEAD` of a joined upload to tell the URLs of its parts as they came, and each of them
//! is a secret. Only a request with the upload's own key asks for them, and the catalog has no more
//! of that key than its hash: so they are kept encrypted by it. The key stream is BLAKE3's extended
//! output for the key, under a context of its own. A key seals one text in its life, so there is no
//! nonce. There is no tag either: a catalog that was written to by others can lie about everything
//! else as well, and what comes out is told to a client and never acted on.

use data_encoding::BASE64_NOPAD;
use ddx_id::UploadKey;

const CONTEXT: &str = "DirectDriveX 2026-11 text sealed by an upload key";

/// A secret text, so that only this key opens it.
pub(crate) fn seal(secret: &str, upload_key: UploadKey) -> String {
    let mut bytes = secret.as_bytes().to_vec();
    apply_key_stream(&mut bytes, upload_key);
    BASE64_NOPAD.encode(&bytes)
}

/// What a record has sealed ([`FileRecord::sealed_metadata`](crate::FileRecord)), as its client
/// gave it. With another key it is nothing.
#[must_use]
pub fn unseal(sealed: &str, upload_key: UploadKey) -> Option<String> {
    let mut bytes = BASE64_NOPAD.decode(sealed.as_bytes()).ok()?;
    apply_key_stream(&mut bytes, upload_key);
    String::from_utf8(bytes).ok()
}

fn apply_key_stream(bytes: &mut [u8], upload_key: UploadKey) {
    let mut stream = vec![0; bytes.len()];
    upload_key.fill_derived(CONTEXT, &mut stream);
    for (byte, key) in bytes.iter_mut().zip(stream) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_by_its_key_only() {
        let (key, other) = (
            UploadKey::from_bytes([1; 16]),
            UploadKey::from_bytes([2; 16]),
        );
        for length in [1, 26, 64, 65, 4_000] {
            let secret: String = "final;/files/a b".chars().cycle().take(length).collect();
            let sealed = seal(&secret, key);
            assert_eq!(unseal(&sealed, key), Some(secret.clone()));
            assert_ne!(unseal(&sealed, other), Some(secret.clone()));
            assert!(length < 26 || !sealed.contains(&secret[..8]));
        }
        assert_eq!(unseal("final;/a", key), None);
    }

    /// Records outlive the program that wrote them.
    #[test]
    fn the_form_stays() {
        let sealed = seal("final;/files/x", UploadKey::from_bytes([7; 16]));
        assert_eq!(sealed, "MnJaxLmB+a+XUaygxt8");
    }
}
