//! Checksums that a client asks for: the tus `checksum` extension and `Repr-Digest`.
//!
//! The list is what clients in the field send, MD5 and SHA-1 among it: here they only detect damage
//! on the way, and the client chose them. Nothing in this project takes them for proof of origin.
//!
//! Values are compared without an early exit ([`verify_eq`]). A checksum is no secret, but the same
//! function serves for those that are, and one comparison is easier to keep right than two.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

/// An algorithm a client may name, in the spelling of tus (`Tus-Checksum-Algorithm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `sha1`, the one that tus demands.
    Sha1,
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
    /// `md5`.
    Md5,
    /// `crc32`: CRC-32/ISO-HDLC (zlib, PNG, zip), four bytes, the highest first.
    Crc32,
}

/// The client named an algorithm that is not in [`Algorithm::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown checksum algorithm; known are sha1, sha256, sha512, md5 and crc32")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// Every algorithm, in the order in which the server lists them.
    pub const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::Crc32,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Md5 => "md5",
            Self::Crc32 => "crc32",
        }
    }

    /// How long its value is, in bytes.
    #[must_use]
    pub fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Md5 => 16,
            Self::Crc32 => 4,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Upper and lower case are the same: header values in the field come in both.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
            .ok_or(UnknownAlgorithm)
    }
}

/// A checksum that grows as the bytes come.
#[derive(Clone)]
pub struct Checksum(Inner);

#[derive(Clone)]
enum Inner {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    // Boxed: its block buffer would make every running checksum 200 bytes.
    Sha512(Box<sha2::Sha512>),
    Md5(md5::Md5),
    Crc32 { register: u32 },
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checksum").field(&self.algorithm()).finish()
    }
}

impl Checksum {
    /// The checksum of nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha1 => Inner::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Inner::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Inner::Sha512(Box::new(sha2::Sha512::new())),
            Algorithm::Md5 => Inner::Md5(md5::Md5::new()),
            Algorithm::Crc32 => Inner::Crc32 { register: u32::MAX },
        })
    }

    /// Which algorithm this is.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Inner::Sha1(_) => Algorithm::Sha1,
            Inner::Sha256(_) => Algorithm::Sha256,
            Inner::Sha512(_) => Algorithm::Sha512,
            Inner::Md5(_) => Algorithm::Md5,
            Inner::Crc32 { .. } => Algorithm::Crc32,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Sha1(h) => h.update(bytes),
            Inner::Sha256(h) => h.update(bytes),
            Inner::Sha512(h) => h.update(bytes),
            Inner::Md5(h) => h.update(bytes),
            Inner::Crc32 { register } => {
                let mut digest = crc_fast::Digest::new_with_init_state(
                    crc_fast::CrcAlgorithm::Crc32IsoHdlc,
                    u64::from(*register),
                );
                digest.update(bytes);
                // The crate keeps 32-bit registers in the low half of 64.
                *register = digest.get_state() as u32;
            }
        }
    }

    /// The value, as the bytes that the client sends in base64.
    #[must_use]
    pub fn finalize(self) -> Vec<u8> {
        match self.0 {
            Inner::Sha1(h) => h.finalize().to_vec(),
            Inner::Sha256(h) => h.finalize().to_vec(),
            Inner::Sha512(h) => h.finalize().to_vec(),
            Inner::Md5(h) => h.finalize().to_vec(),
            Inner::Crc32 { register } => (!register).to_be_bytes().to_vec(),
        }
    }
}

/// Whether the two are equal, in a time that depends on their lengths only.
#[must_use]
pub fn verify_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// "abc" from FIPS 180-4 and RFC 1321; "123456789" from the CRC catalogue's check value.
    #[test]
    fn published_values() {
        let cases: [(Algorithm, &[u8], &str); 5] = [
            (
                Algorithm::Sha1,
                b"abc",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                Algorithm::Sha256,
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha512,
                b"abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (Algorithm::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Crc32, b"123456789", "cbf43926"),
        ];
        for (algorithm, input, expected) in cases {
            let mut checksum = Checksum::new(algorithm);
            checksum.update(input);
            assert_eq!(checksum.algorithm(), algorithm);
            let value = checksum.finalize();
            assert_eq!(value.len(), algorithm.output_bytes());
            assert_eq!(hex(&value), expected, "{algorithm}");
        }
    }

    #[test]
    fn names_round_trip_and_strangers_are_refused() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
            assert_eq!(algorithm.to_string().to_uppercase().parse(), Ok(algorithm));
        }
        for stranger in ["", "sha-1", "sha3", "md5 "] {
            assert_eq!(stranger.parse::<Algorithm>(), Err(UnknownAlgorithm));
        }
    }

    #[test]
    fn equality_needs_equal_length() {
        assert!(verify_eq(b"", b""));
        assert!(verify_eq(b"abc", b"abc"));
        assert!(!verify_eq(b"abc", b"abd"));
        assert!(!verify_eq(b"abc", b"ab"));
        assert!(!verify_eq(b"", b"a"));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            bytes in proptest::collection::vec(any::<u8>(), 0..4000),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            for algorithm in Algorithm::ALL {
                let mut whole = Checksum::new(algorithm);
                whole.update(&bytes);
                let mut pieces = Checksum::new(algorithm);
                for pair in cuts.windows(2) {
                    pieces.update(&bytes[pair[0]..pair[1]]);
                }
                prop_assert!(verify_eq(&whole.finalize(), &pieces.finalize()));
            }
        }
    }
}
