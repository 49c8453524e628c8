//! What is kept of a secret.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// BLAKE3 of a secret: what the catalog has of it, and what it is found and compared by. Without a
/// key it is enough: 128 random bits can't be searched.
///
/// That of another kind of secret is another type:
///
/// ```compile_fail,E0308
/// use ddx_id::{DeleteKey, KeyHash, UploadKey};
/// let hash: KeyHash<UploadKey> = DeleteKey::random().hash();
/// ```
pub struct KeyHash<Key>([u8; 32], PhantomData<fn() -> Key>);

impl<Key> KeyHash<Key> {
    /// All zero: there is no key. Nothing finds it, and any number of records may have it.
    pub const NONE: Self = Self::from_bytes([0; 32]);

    /// The one of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes, PhantomData)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl<Key> From<[u8; 32]> for KeyHash<Key> {
    fn from(bytes: [u8; 32]) -> Self {
        Self::from_bytes(bytes)
    }
}

// Written out: what is derived would ask for the same of `Key`, of which there is none in it.

impl<Key> Clone for KeyHash<Key> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Key> Copy for KeyHash<Key> {}

impl<Key> PartialEq for KeyHash<Key> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<Key> Eq for KeyHash<Key> {}

impl<Key> Hash for KeyHash<Key> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<Key> Default for KeyHash<Key> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<Key> fmt::Debug for KeyHash<Key> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let start = self.0.first_chunk().copied().map_or(0, u32::from_be_bytes);
        write!(f, "{start:08x}…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UploadKey;

    #[test]
    fn no_key_is_all_zero() {
        let none = KeyHash::<UploadKey>::default();
        assert!(none.is_none());
        assert_eq!(none.as_bytes(), &[0; 32]);
        assert_eq!(format!("{none:?}"), "none");
        assert!(!UploadKey::random().hash().is_none());
    }
}
