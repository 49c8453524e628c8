//! Secrets: rights, which are given once to the one who is to have them.

use std::fmt;
use std::str::FromStr;

use crate::base32::{self, NotAnId};
use crate::key_hash::KeyHash;
use crate::random;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// It is found and compared by its [`hash`](Self::hash), and shown by
        /// [`reveal`](Self::reveal) only.
        #[derive(Clone, Copy)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new one from the operating system's random source.
            ///
            /// # Panics
            /// As [`fill`](crate::fill).
            #[must_use]
            pub fn random() -> Self {
                Self(random::bytes())
            }

            /// The one of these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// What is kept of it.
            #[must_use]
            pub fn hash(&self) -> KeyHash<Self> {
                KeyHash::from_bytes(*blake3::hash(&self.0).as_bytes())
            }

            /// Its text, for the one who is to have it. Never for a log.
            #[must_use]
            pub fn reveal(&self) -> String {
                base32::with_text(&self.0, str::to_owned)
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                base32::parse(text).map(Self)
            }
        }
    };
}

secret! {
    /// The right to write an upload: the last part of its URL.
    ///
    /// ```
    /// use ddx_id::{DeleteKey, UploadKey};
    /// fn append(_: UploadKey) {}
    /// append(UploadKey::random());
    /// println!("{}", UploadKey::random().reveal());
    /// ```
    ///
    /// Another secret is not taken for it:
    ///
    /// ```compile_fail,E0308
    /// use ddx_id::{DeleteKey, UploadKey};
    /// fn append(_: UploadKey) {}
    /// append(DeleteKey::random());
    /// ```
    ///
    /// Neither can it be formatted, so that it comes into no log and no message by mistake:
    ///
    /// ```compile_fail,E0277
    /// println!("{}", ddx_id::UploadKey::random());
    /// ```
    ///
    /// Nor compared, since the time that takes tells how much of it was right:
    ///
    /// ```compile_fail,E0369
    /// use ddx_id::UploadKey;
    /// assert!(UploadKey::random() != UploadKey::random());
    /// ```
    UploadKey
}

secret! {
    /// The right to delete a file.
    DeleteKey
}

secret! {
    /// The right to add files to a share.
    ShareKey
}

impl UploadKey {
    /// Fills it with bytes that only this key gives: a key stream for the purpose that `context`
    /// names.
    pub fn fill_derived(&self, context: &'static str, into: &mut [u8]) {
        blake3::Hasher::new_derive_key(context)
            .update(&self.0)
            .finalize_xof()
            .fill(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_from_what_it_reveals() {
        for _ in 0..1_000 {
            let key = UploadKey::random();
            let again: UploadKey = key.reveal().parse().unwrap();
            assert_eq!(again.hash(), key.hash());
            assert_ne!(UploadKey::random().hash(), key.hash());
        }
        assert!("".parse::<UploadKey>().is_err());
    }

    #[test]
    fn debug_does_not_give_the_secret() {
        assert_eq!(format!("{:?}", UploadKey::random()), "UploadKey(…)");
        assert_eq!(format!("{:?}", DeleteKey::random()), "DeleteKey(…)");
        assert_eq!(format!("{:?}", ShareKey::random()), "ShareKey(…)");
    }

    /// Records outlive the program that wrote them: BLAKE3 of the bytes, and nothing else.
    #[test]
    fn the_hash_stays() {
        let bytes = *b"sixteen bytes...";
        assert_eq!(
            DeleteKey::from_bytes(bytes).hash().as_bytes(),
            blake3::hash(&bytes).as_bytes()
        );
        let hash = UploadKey::from_bytes([0; 16]).hash();
        assert_eq!(hash.as_bytes()[..4], [0xe5, 0x72, 0xdf, 0xf8]);
    }
}
