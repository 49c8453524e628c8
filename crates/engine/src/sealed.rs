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

/// Between what is kept as it is and what is sealed: neither can hold a line break.
const MARK: char = '\n';

const CONTEXT: &str = "DirectDriveX 2026-11 text sealed by an upload key";

/// The metadata of a record: what is kept as it is, and what is sealed.
pub(crate) fn sealed(open: String, secret: Option<&str>, upload_key: UploadKey) -> String {
    match secret {
        None => open,
        Some(secret) => {
            let mut bytes = secret.as_bytes().to_vec();
            apply_key_stream(&mut bytes, upload_key);
            format!("{open}{MARK}{}", BASE64_NOPAD.encode(&bytes))
        }
    }
}

/// A record's metadata ([`FileRecord::metadata`](crate::FileRecord)) as its client gave it: what is
/// kept as it is, and what only this key opens. With another key the latter is nothing.
#[must_use]
pub fn unsealed(metadata: &str, upload_key: UploadKey) -> (&str, Option<String>) {
    let Some((open, text)) = metadata.split_once(MARK) else {
        return (metadata, None);
    };
    let mut bytes = BASE64_NOPAD.decode(text.as_bytes()).unwrap_or_default();
    apply_key_stream(&mut bytes, upload_key);
    let secret = String::from_utf8(bytes).ok();
    (open, secret.filter(|secret| !secret.is_empty()))
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
            let kept = sealed("name YQ==".to_owned(), Some(&secret), key);
            assert_eq!(unsealed(&kept, key), ("name YQ==", Some(secret.clone())));
            let (open, wrong) = unsealed(&kept, other);
            assert_eq!(open, "name YQ==");
            assert_ne!(wrong.as_deref(), Some(secret.as_str()));
            assert!(length < 26 || !kept.contains(&secret[..8]));
        }
    }

    #[test]
    fn what_is_not_sealed_stays_as_it_is() {
        let key = UploadKey::from_bytes([1; 16]);
        assert_eq!(sealed("name YQ==".to_owned(), None, key), "name YQ==");
        assert_eq!(unsealed("name YQ==", key), ("name YQ==", None));
        assert_eq!(unsealed("", key), ("", None));
        assert_eq!(unsealed("name YQ==\n", key), ("name YQ==", None));
        assert_eq!(unsealed("name YQ==\nfinal;/a", key), ("name YQ==", None));
    }

    /// Records outlive the program that wrote them.
    #[test]
    fn the_form_stays() {
        let kept = sealed(
            String::new(),
            Some("final;/files/x"),
            UploadKey::from_bytes([7; 16]),
        );
        assert_eq!(kept, "\nMnJaxLmB+a+XUaygxt8");
    }
}
