//! The bytes of one simulated segment: what the disk has, and what only the machine's memory has.

use crate::conformance::Random;

const BLOCK: usize = 4096;

/// What a disk writes whole, if it writes it at all.
const SECTOR: usize = 512;

/// A file between two syncs.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What readers see.
    pub(super) bytes: Vec<u8>,
    /// What was there at the last sync.
    synced: Vec<u8>,
    /// Below this nothing was changed since.
    unchanged: usize,
}

impl Content {
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn cut(&mut self, at: usize) {
        self.bytes.truncate(at);
        self.unchanged = self.unchanged.min(at);
    }

    pub(super) fn sync(&mut self) {
        self.synced.truncate(self.unchanged);
        self.synced.extend_from_slice(&self.bytes[self.unchanged..]);
        self.unchanged = self.bytes.len();
    }

    /// The power goes. The disk may have what was synced last, or the new length up to some point,
    /// of which each block that was not synced arrived or not: a journalling file system orders
    /// sizes, not blocks.
    pub(super) fn lose(&mut self, random: &mut Random) {
        if random.once_in(3) {
            self.bytes.clone_from(&self.synced);
        } else {
            let grown = self.bytes.len() - self.unchanged;
            let mut left = self.unchanged + random.below(grown as u64 + 1) as usize;
            // A cut that was not synced may not have happened. What the caller cut is not missed,
            // so the length only matters where it is less than what was synced and not cut.
            if self.synced.len() > left && random.once_in(2) {
                left = self.synced.len();
            }
            self.bytes.resize(left, 0);
            let mut at = self.unchanged;
            while at < left {
                let end = (at - at % BLOCK + BLOCK).min(left);
                self.lose_block(at..end, random);
                at = end;
            }
        }
        self.synced.clone_from(&self.bytes);
        self.unchanged = self.bytes.len();
    }

    /// Below this all is on the disk.
    pub(super) fn safe_until(&self) -> u64 {
        self.unchanged as u64
    }

    /// One block that was not synced: it arrived, or not, or a part of it did; what is there
    /// instead is what was there before, nothing, or what another file had there.
    fn lose_block(&mut self, block: std::ops::Range<usize>, random: &mut Random) {
        let lost = match random.below(4) {
            0 => return,
            1 => block,
            kept => {
                let sectors = block.len().div_ceil(SECTOR) as u64;
                let torn = (block.start + SECTOR * random.below(sectors) as usize).min(block.end);
                if kept == 2 {
                    torn..block.end
                } else {
                    block.start..torn
                }
            }
        };
        match random.below(3) {
            0 => self.bytes[lost].fill(0),
            1 => self.bytes[lost].fill(0xdb),
            _ => {
                for at in lost {
                    self.bytes[at] = self.synced.get(at).copied().unwrap_or(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_lost_now_and_then() {
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let mut content = Content::default();
            content.append(&[1; 10_000]);
            content.sync();
            content.append(&[2; 10_000]);
            content.lose(&mut Random::new(seed));
            assert!(content.bytes[..10_000] == [1; 10_000]);
            match &content.bytes[10_000..] {
                [] => lost += 1,
                rest if rest.iter().all(|byte| *byte == 2) => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 0 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
    }

    #[test]
    fn below_a_cut_nothing_is_lost() {
        for seed in 0..200 {
            let mut content = Content::default();
            content.append(&[1; 10_000]);
            content.sync();
            content.cut(5000);
            content.append(&[2; 100]);
            let mut after = content.clone();
            after.lose(&mut Random::new(seed));
            assert!(after.bytes[..5000] == [1; 5000]);
            content.sync();
            content.lose(&mut Random::new(seed));
            assert!(content.bytes == [&[1; 5000][..], &[2; 100]].concat());
        }
    }
}
