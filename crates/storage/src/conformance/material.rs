//! Bytes for tests: repeatable, and where they lie in memory is chosen.

const BLOCK: usize = 4096;

/// Repeatable random numbers (SplitMix64); a failure is repeated with its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Bytes that begin at a chosen distance from a 4096-byte border in memory.
#[derive(Debug)]
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// `length` bytes of the sequence of `seed`, at an address that is `skew` modulo 4096.
    #[must_use]
    pub fn random(length: usize, skew: usize, seed: u64) -> Self {
        let mut memory = vec![0; length + 2 * BLOCK];
        let start = (BLOCK - memory.as_ptr().addr() % BLOCK) % BLOCK + skew % BLOCK;
        let mut random = Random::new(seed);
        for word in memory[start..start + length].chunks_mut(8) {
            word.copy_from_slice(&random.next_u64().to_le_bytes()[..word.len()]);
        }
        Self {
            memory,
            start,
            length,
        }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}
