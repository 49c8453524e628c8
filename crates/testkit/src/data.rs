//! Bytes that are known everywhere and stored nowhere.
//!
//! A test of gigabytes must neither keep them nor write them to the disk it measures. Every byte
//! here is a function of a seed and its place, so that any range can be made again to send or to
//! compare, from any thread, at memory speed. The words are SplitMix64 over a counter (Steele, Lea,
//! Flood 2014): random access, no state, and not compressible.

use std::ops::Range;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const STEP_BYTES: usize = 16 * 1024;

/// A file that exists only as a rule: `length` bytes that follow from `seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Data {
    seed: u64,
    length: u64,
}

impl Data {
    /// `length` bytes that follow from `seed`; different seeds give unrelated bytes.
    pub fn new(seed: u64, length: u64) -> Self {
        Self { seed, length }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn word(&self, index: u64) -> [u8; 8] {
        let mut z = (self.seed.wrapping_mul(0xd134_2543_de82_ef95))
            .wrapping_add((index.wrapping_add(1)).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }

    /// Fills `into` with the bytes from `offset` on. Beyond the end the rule simply goes on.
    pub fn fill(&self, offset: u64, into: &mut [u8]) {
        let mut index = offset / 8;
        let within = usize::try_from(offset % 8).unwrap_or(0);
        let mut rest = into;
        if within > 0 {
            let word = self.word(index);
            let take = (8 - within).min(rest.len());
            let (head, tail) = rest.split_at_mut(take);
            head.copy_from_slice(&word[within..within + take]);
            rest = tail;
            index += 1;
        }
        let mut words = rest.chunks_exact_mut(8);
        for place in &mut words {
            place.copy_from_slice(&self.word(index));
            index += 1;
        }
        let last = words.into_remainder();
        let word = self.word(index);
        last.copy_from_slice(&word[..last.len()]);
    }

    /// The bytes of a range, for small pieces.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        self.fill(range.start, &mut bytes);
        bytes
    }

    /// All bytes, for small files.
    pub fn all(&self) -> Vec<u8> {
        self.bytes(0..self.length)
    }

    /// The place of the first byte in `bytes`, which lie at `offset`, that is not ours.
    pub fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut expected = [0_u8; STEP_BYTES];
        let mut at = offset;
        for step in bytes.chunks(STEP_BYTES) {
            let expected = &mut expected[..step.len()];
            self.fill(at, expected);
            if expected != step {
                let place = expected
                    .iter()
                    .zip(step)
                    .position(|(a, b)| a != b)
                    .unwrap_or(0);
                return Some(at + place as u64);
            }
            at += step.len() as u64;
        }
        (at > self.length).then_some(self.length)
    }

    /// The BLAKE3 digest of the whole file.
    pub fn blake3(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut step = vec![0_u8; 256 * 1024];
        let mut at = 0;
        while at < self.length {
            let take =
                usize::try_from((self.length - at).min(step.len() as u64)).unwrap_or(step.len());
            self.fill(at, &mut step[..take]);
            hasher.update(&step[..take]);
            at += take as u64;
        }
        *hasher.finalize().as_bytes()
    }

    /// The BLAKE3 digest of the whole file in hexadecimal, as the API shows it.
    pub fn blake3_hex(&self) -> String {
        to_hex(&self.blake3())
    }
}

/// The BLAKE3 digest of these bytes in hexadecimal, as the API shows it.
pub fn blake3_hex(bytes: &[u8]) -> String {
    to_hex(blake3::hash(bytes).as_bytes())
}

/// Bytes in lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hexadecimal text; `None` if it is not one.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_is_the_same_as_that_part_of_the_whole() {
        let data = Data::new(7, 1000);
        let whole = data.all();
        for start in 0..40_u64 {
            for end in start..(start + 40) {
                assert_eq!(
                    data.bytes(start..end),
                    whole[start as usize..end as usize],
                    "{start}..{end}"
                );
            }
        }
    }

    #[test]
    fn a_difference_is_found_at_its_place() {
        let data = Data::new(1, 100_000);
        let mut bytes = data.bytes(10..90_000);
        assert_eq!(data.first_difference(10, &bytes), None);
        bytes[70_001] ^= 1;
        assert_eq!(data.first_difference(10, &bytes), Some(70_011));
        assert_eq!(
            data.first_difference(99_999, &data.bytes(99_999..100_002)),
            Some(100_000),
            "bytes beyond the end"
        );
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let data = Data::new(3, 300_001);
        assert_eq!(data.blake3(), *blake3::hash(&data.all()).as_bytes());
        assert_ne!(data.blake3(), Data::new(4, 300_001).blake3());
        assert_eq!(from_hex(&data.blake3_hex()), Some(data.blake3().to_vec()));
    }
}
