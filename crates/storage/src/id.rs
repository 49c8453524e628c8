//! Names of segments.
//!
//! Random, so that none can be guessed and two servers never make the same one; base32 in lower
//! case, so that the name survives file systems that ignore case and object stores that allow
//! little.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters of an id: 128 bits in groups of five.
pub(crate) const ID_CHARACTERS: usize = 26;

/// The name of a segment: 16 random bytes, shown as 26 characters of base32 (RFC 4648, lower case,
/// no padding).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub [u8; 16]);

/// Not the 26 characters of a [`SegmentId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a segment id: 26 characters of a-z and 2-7")]
pub struct NotASegmentId;

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut name = [0; ID_CHARACTERS];
        for (index, character) in name.iter_mut().enumerate() {
            // 130 bits are shown; the last two are zero.
            let shift = 123 - 5 * index as i32;
            let group = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            };
            *character = ALPHABET[(group & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&name).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({self})")
    }
}

impl FromStr for SegmentId {
    type Err = NotASegmentId;

    /// Accepts only what [`SegmentId`] shows, so that one segment has one name.
    fn from_str(name: &str) -> Result<Self, NotASegmentId> {
        let name: &[u8; ID_CHARACTERS] = name.as_bytes().try_into().map_err(|_| NotASegmentId)?;
        let mut bits = 0u128;
        for (index, character) in name.iter().enumerate() {
            let group = ALPHABET
                .iter()
                .position(|c| c == character)
                .ok_or(NotASegmentId)? as u128;
            if index + 1 < ID_CHARACTERS {
                bits = (bits << 5) | group;
            } else if group & 3 == 0 {
                bits = (bits << 3) | (group >> 2);
            } else {
                return Err(NotASegmentId);
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names() {
        assert_eq!(SegmentId([0; 16]).to_string(), "a".repeat(26));
        assert_eq!(
            SegmentId([0xff; 16]).to_string(),
            format!("{}4", "7".repeat(25))
        );
        // RFC 4648: BASE32("fooba") = "MZXW6YTB".
        assert!(
            SegmentId(*b"foobafoobafooba\0")
                .to_string()
                .starts_with("mzxw6ytbmzxw6ytbmzxw6ytb")
        );
    }

    #[test]
    fn strangers_are_refused() {
        let zero = "a".repeat(26);
        for stranger in [
            "",
            "a",
            &zero[1..],
            &zero.to_uppercase(),
            &format!("{}b", &zero[1..]),
            &format!("{zero}a"),
        ] {
            assert_eq!(
                stranger.parse::<SegmentId>(),
                Err(NotASegmentId),
                "{stranger}"
            );
        }
        assert_eq!(
            format!("{}/", &zero[1..]).parse::<SegmentId>(),
            Err(NotASegmentId)
        );
    }

    proptest! {
        #[test]
        fn round_trip(bytes in any::<[u8; 16]>()) {
            let name = SegmentId(bytes).to_string();
            prop_assert_eq!(name.parse(), Ok(SegmentId(bytes)));
        }
    }
}
