//! CRC-64/NVME, the checksum that can be joined.
//!
//! A part of a concatenated upload does not know where in the file it will stand, so BLAKE3
//! chaining values (which depend on the place) can't be used for it. A CRC is linear: the one of
//! `a ‖ b` follows from the two CRCs and the length of `b`. 64 bits rather than 32, since files of
//! terabytes are checked with it; the NVME polynomial rather than XZ's, since object stores offer
//! the same one (`x-amz-checksum-crc64nvme`).
//!
//! Parameters: width 64, polynomial `0xad93d23594c93659` reflected in and out, initial value and
//! final XOR all ones, check value of `123456789` `0xae8b14860a799888` (NVM Express, NVM Command
//! Set Specification, 64b CRC).

use crc_fast::CrcAlgorithm::Crc64Nvme;

/// A running CRC-64/NVME. Eight bytes; its [`value`](Crc64::value) is its whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc64 {
    register: u64,
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc64 {
    /// The checksum of nothing; its value is 0.
    #[must_use]
    pub fn new() -> Self {
        Self::resume(0)
    }

    /// Goes on where a checksum with this [`value`](Crc64::value) stood.
    #[must_use]
    pub fn resume(value: u64) -> Self {
        Self { register: !value }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // The crate's Digest carries 200 bytes of parameters; made for the call it costs nothing
        // beside the bytes, kept in ten thousand uploads it would.
        let mut digest = crc_fast::Digest::new_with_init_state(Crc64Nvme, self.register);
        digest.update(bytes);
        self.register = digest.get_state();
    }

    /// The checksum of all bytes taken so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        !self.register
    }

    /// The checksum of `a ‖ b` from the checksum of each and the length of `b`. No bytes are
    /// touched: some microseconds, whatever the length.
    #[must_use]
    pub fn combine(a: u64, b: u64, b_length_bytes: u64) -> u64 {
        crc_fast::checksum_combine(Crc64Nvme, a, b, b_length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, straight from the parameters above.
    fn reference(bytes: &[u8]) -> u64 {
        let reflected = 0xad93_d235_94c9_3659_u64.reverse_bits();
        let mut register = u64::MAX;
        for &byte in bytes {
            register ^= u64::from(byte);
            for _ in 0..8 {
                register = if register & 1 == 1 {
                    (register >> 1) ^ reflected
                } else {
                    register >> 1
                };
            }
        }
        !register
    }

    #[test]
    fn check_value_of_the_specification() {
        let mut crc = Crc64::new();
        assert_eq!(crc.value(), 0);
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn joining_far_beyond_memory_equals_joining_in_steps() {
        // 2^40 zero bytes by doubling, against one combine with the whole length at once.
        let mut zeros = Crc64::new();
        zeros.update(&[0]);
        let (mut crc, mut length) = (zeros.value(), 1u64);
        while length < 1 << 40 {
            crc = Crc64::combine(crc, crc, length);
            length *= 2;
        }
        let head = reference(b"head");
        let stepwise = (0..4).fold(head, |a, _| {
            let quarter = (0..38).fold((zeros.value(), 1u64), |(c, l), _| {
                (Crc64::combine(c, c, l), 2 * l)
            });
            Crc64::combine(a, quarter.0, quarter.1)
        });
        assert_eq!(Crc64::combine(head, crc, length), stepwise);
    }

    proptest! {
        #[test]
        fn equals_the_reference_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<prop::sample::Index>(),
        ) {
            let cut = cut.index(bytes.len() + 1);
            let (a, b) = bytes.split_at(cut);
            let mut whole = Crc64::new();
            whole.update(a);
            let mut rest = Crc64::resume(whole.value());
            rest.update(b);
            prop_assert_eq!(rest.value(), reference(&bytes));
            prop_assert_eq!(Crc64::combine(reference(a), reference(b), b.len() as u64), reference(&bytes));
        }
    }
}
