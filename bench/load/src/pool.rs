//! The bytes of all files: one pool of random bytes, from which file `k` begins at a place that
//! only `k` decides.
//!
//! Sending then needs no generation and no copy, every file differs from every other one, and each
//! byte that comes back can be compared instead of trusting a digest. The pool lies in a
//! memory file, so that the kernel can send from it without even copying (`sendfile`): on a machine
//! that is shared with the server, what the load costs is taken from what is measured.
#![allow(
    unsafe_code,
    reason = "a memory file that is both mapped and sent from can't be had otherwise"
)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of the pool; a power of two, so that an odd step visits every place once.
pub(crate) const POOL_BYTES: usize = 64 << 20;

/// Places of neighbouring files are far apart: odd, and near the golden ratio of the pool.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random bytes, mapped and in a file.
#[derive(Debug)]
pub(crate) struct Pool {
    file: OwnedFd,
    start: NonNull<u8>,
}

// SAFETY: the mapping is plain memory that is not written to any more once `new` has returned.
unsafe impl Send for Pool {}
// SAFETY: as above; a shared reference gives shared slices only.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes the bytes that follow from `seed`.
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let file = memfd_create("load", MemfdFlags::CLOEXEC).context("no memory file")?;
        ftruncate(&file, POOL_BYTES as u64).context("no room for the pool of 64 MiB")?;
        // SAFETY: a null hint without MAP_FIXED touches no mapping of others, and the file has the
        // whole length.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                POOL_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        };
        let start = NonNull::new(start.context("map the pool")?.cast::<u8>());
        let pool = Self {
            file,
            start: start.context("the pool is mapped nowhere")?,
        };
        // SAFETY: mapped in this length, initialised by the kernel, and no other reference exists
        // yet.
        let bytes = unsafe { std::slice::from_raw_parts_mut(pool.start.as_ptr(), POOL_BYTES) };
        fill(seed, bytes);
        Ok(pool)
    }

    /// The memory file, to send from.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for as long as `self` is, and not written to since `new`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), POOL_BYTES) }
    }

    /// Where the byte `at` of file `k` lies in the pool.
    pub(crate) fn place(k: u64, at: u64) -> usize {
        let place = k.wrapping_mul(STEP).wrapping_add(at) % POOL_BYTES as u64;
        usize::try_from(place).unwrap_or(0)
    }

    /// The bytes of file `k` from `at` on, in up to two pieces. For no more than a pool's length.
    pub(crate) fn slices(&self, k: u64, at: u64, bytes: usize) -> [&[u8]; 2] {
        let start = Self::place(k, at);
        let first = bytes.min(POOL_BYTES - start);
        let all = self.bytes();
        [&all[start..start + first], &all[..bytes - first]]
    }

    /// Whether `bytes` are those of file `k` from `at` on.
    pub(crate) fn is_same(&self, k: u64, at: u64, bytes: &[u8]) -> bool {
        let mut at = at;
        bytes.chunks(POOL_BYTES).all(|chunk| {
            let [first, second] = self.slices(k, at, chunk.len());
            at += chunk.len() as u64;
            chunk[..first.len()] == *first && chunk[first.len()..] == *second
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: mapped by us in this length, unmapped once, and no reference into it outlives
        // `self`.
        let result = unsafe { munmap(self.start.as_ptr().cast(), POOL_BYTES) };
        debug_assert!(result.is_ok(), "munmap of the pool fails: {result:?}");
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): not compressible, the same on every machine.
fn fill(seed: u64, bytes: &mut [u8]) {
    let mut state = seed;
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&random(&mut state).to_le_bytes());
    }
}

/// The next of a row of random numbers.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(STEP);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_at_the_start_of_the_pool() {
        let pool = Pool::new(1).unwrap();
        let k = (1..)
            .find(|&k| Pool::place(k, 0) > POOL_BYTES - 4096)
            .unwrap();
        let [first, second] = pool.slices(k, 0, 8192);
        assert_eq!(first.len() + second.len(), 8192);
        assert!(!second.is_empty());
        assert_eq!(
            second,
            pool.slices(0, 0, second.len())[0],
            "file 0 begins at 0"
        );
        let whole = [first, second].concat();
        assert!(pool.is_same(k, 0, &whole));
        assert!(pool.is_same(k, 4000, &whole[4000..]));
    }

    #[test]
    fn one_wrong_byte_anywhere_is_seen() {
        let pool = Pool::new(2).unwrap();
        let mut bytes = pool.slices(7, 0, 10_000).concat();
        for at in [0, 1, 4095, 9_999] {
            bytes[at] ^= 1;
            assert!(!pool.is_same(7, 0, &bytes), "at {at}");
            bytes[at] ^= 1;
        }
        assert!(pool.is_same(7, 0, &bytes));
        assert!(!pool.is_same(8, 0, &bytes), "another file");
        assert!(!Pool::new(3).unwrap().is_same(7, 0, &bytes), "another seed");
    }

    #[test]
    fn places_of_files_are_all_different() {
        let mut places: Vec<usize> = (0..100_000).map(|k| Pool::place(k, 0)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 100_000);
    }

    #[test]
    fn a_file_longer_than_the_pool_repeats_it() {
        assert_eq!(Pool::place(3, 5), Pool::place(3, 5 + POOL_BYTES as u64));
    }
}
