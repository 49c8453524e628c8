//! The one text of 128 bits: RFC 4648's base32 in lower case, without padding.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// Characters in the text form of an id.
pub const TEXT_CHARS: usize = 26;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification
        .encoding()
        .expect("thirty-two distinct ASCII symbols are a valid base32 alphabet")
});

/// The text is not an id: not 26 characters of the alphabet, or with stray bits at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of a-z and 2-7 are expected")]
pub struct NotAnId;

/// Calls back with the text, which needs no allocation.
pub(crate) fn with_text<T>(bytes: &[u8; 16], told: impl FnOnce(&str) -> T) -> T {
    let mut text = [0; TEXT_CHARS];
    BASE32.encode_mut(bytes, &mut text);
    told(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
}

/// Accepts only what [`with_text`] tells, so that one id has one text.
pub(crate) fn parse(text: &str) -> Result<[u8; 16], NotAnId> {
    if text.len() != TEXT_CHARS {
        return Err(NotAnId);
    }
    let mut bytes = [0; 16];
    match BASE32.decode_mut(text.as_bytes(), &mut bytes) {
        Ok(16) => Ok(bytes),
        _ => Err(NotAnId),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: [u8; 16]) -> String {
        with_text(&bytes, str::to_owned)
    }

    #[test]
    fn known_names() {
        assert_eq!(text([0; 16]), "a".repeat(26));
        assert_eq!(text([0xff; 16]), format!("{}4", "7".repeat(25)));
        // RFC 4648: BASE32("fooba") = "MZXW6YTB".
        assert!(text(*b"foobafoobafooba\0").starts_with("mzxw6ytbmzxw6ytbmzxw6ytb"));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let zero = "a".repeat(26);
        for stranger in [
            "",
            "a",
            &zero[1..],
            &zero.to_uppercase(),
            // Stray bits in the last character would give one id several texts.
            &format!("{}b", &zero[1..]),
            &format!("{zero}a"),
            &format!("{}/", &zero[1..]),
            &format!("{}é", &zero[2..]),
            "../../../../../etc/passwd00",
            "../../../../../etc/passwd0",
        ] {
            assert_eq!(parse(stranger), Err(NotAnId), "{stranger}");
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_are_one_to_one(bytes in any::<[u8; 16]>()) {
            let text = text(bytes);
            prop_assert_eq!(text.len(), TEXT_CHARS);
            prop_assert_eq!(parse(&text), Ok(bytes));
        }
    }
}
