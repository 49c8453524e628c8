//! Names of things that must not be guessed.
//!
//! Every id is 128 random bits from the operating system, shown as 26 characters of lower-case
//! base32: it survives being read aloud, double-clicked, put into a URL or a case-insensitive file
//! system. A time-ordered id was rejected: it tells strangers when something was made and leaves
//! fewer bits to guess.
//!
//! Ids that open something (an upload's URL, the URL that deletes) are secrets. The catalog holds
//! only their hash, so a copy of the catalog, a backup for example, gives no right to write or
//! delete.

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

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

/// 128 random bits that name a file, a share, an upload or a right.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub [u8; 16]);

/// The text is not an id: not 26 characters of the alphabet, or with stray bits at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of a-z and 2-7 are expected")]
pub struct NotAnId;

/// Random bytes from the operating system.
pub(crate) fn fill(into: &mut [u8]) {
    getrandom::fill(into).expect("the operating system gives random bytes");
}

impl Id {
    /// A new id from the operating system's random source.
    ///
    /// # Panics
    /// Where the operating system has no random source, in which case no secret could be made at
    /// all.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        fill(&mut bytes);
        Self(bytes)
    }

    /// What the catalog keeps of a secret id. BLAKE3 without a key is enough: 128 random bits
    /// cannot be searched.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        let mut hasher = ddx_digest::FileHasher::new();
        hasher.update(&self.0);
        hasher.finalize()
    }
}

impl From<[u8; 16]> for Id {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_CHARS];
        BASE32.encode_mut(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An id may be a secret: logs show enough to tell two apart, not enough to use.
        write!(f, "{}…", &self.to_string()[..6])
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != TEXT_CHARS {
            return Err(NotAnId);
        }
        let mut bytes = [0; 16];
        match BASE32.decode_mut(text.as_bytes(), &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            _ => Err(NotAnId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_one_to_one() {
        for _ in 0..1_000 {
            let id = Id::random();
            let text = id.to_string();
            assert_eq!(text.len(), TEXT_CHARS);
            assert_eq!(text.parse(), Ok(id));
        }
        // Stray bits in the last character would give one id several texts.
        let mut text = Id([0; 16]).to_string();
        text.replace_range(25.., "b");
        assert_eq!(text.parse::<Id>(), Err(NotAnId));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "a",
            "AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "../../../../../etc/passwd00",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(text.parse::<Id>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn debug_does_not_give_the_secret() {
        let id = Id::random();
        assert!(!format!("{id:?}").contains(&id.to_string()));
    }
}
