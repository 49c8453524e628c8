//! Ids: names that are shown.

use std::fmt;
use std::str::FromStr;

use crate::base32::{self, NotAnId};
use crate::random;

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// The default is all zero: what stands in a record that has none.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                base32::with_text(&self.0, |text| f.write_str(text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Who knows an id can read what it names: logs show enough to tell two apart, not
                // enough to use.
                base32::with_text(&self.0, |text| write!(f, "{}…", &text[..6]))
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

public_id! {
    /// Names a file, from its first byte on.
    ///
    /// ```compile_fail,E0308
    /// use ddx_id::{FileId, ShareId};
    /// let share: ShareId = FileId::random();
    /// ```
    FileId
}

public_id! {
    /// Names a share: what a link opens.
    ShareId
}

public_id! {
    /// Names a piece of bytes in the store.
    SegmentId
}

public_id! {
    /// Names what a reader of a file with a limited number of downloads has begun, so that he can
    /// go on with it.
    LeaseId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text() {
        for _ in 0..1_000 {
            let id = FileId::random();
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(FileId::from_bytes(*id.as_bytes()), id);
        }
        assert_eq!("".parse::<FileId>(), Err(NotAnId));
    }

    #[test]
    fn a_log_line_shows_its_beginning_only() {
        let id = ShareId::from_bytes([0; 16]);
        assert_eq!(format!("{id:?}"), "aaaaaa…");
        assert_eq!(id.to_string(), "a".repeat(26));
    }

    /// Listings of the disk and of the catalog are compared side by side, in one order.
    #[test]
    fn ids_texts_and_bytes_have_one_order() {
        let mut ids: Vec<SegmentId> = (0..1_000).map(|_| SegmentId::random()).collect();
        ids.sort();
        assert!(ids.is_sorted_by_key(|id| *id.as_bytes()));
    }
}
