//! BLAKE3 of a file that comes in order, with a state that survives the process.
//!
//! BLAKE3 is a tree over chunks of 1 KiB. The file is cut into leaves of [`LEAF_BYTES`] (a power of
//! two, so each leaf is a whole subtree), a leaf is hashed by one plain `blake3::Hasher` at full
//! SIMD speed, and of a complete leaf only its chaining value is kept. Those values form a binary
//! counter, as in BLAKE3's own incremental mode (section 5.1.2 of its paper): one value for each
//! set bit of the number of complete leaves, give or take the merge that has to wait. So the state
//! of a file of 2^64 bytes has at most 45 values of 32 bytes.
//!
//! Two details decide whether the digest is right:
//!
//! - A parent is the root, and hashed with another flag, if and only if nothing follows. So two
//!   equal subtrees are merged not when the second one is complete but when a leaf after them is
//!   (`push_leaf` merges first).
//! - A file of exactly one leaf has that leaf itself as root. Its root hash is kept beside the
//!   value until the second leaf completes, so that [`FileHasher::state`] never has to step back
//!   behind a complete leaf.
//!
//! Rejected: serialising the hasher in mid-leaf. It would save the read of less than 1 MiB from a
//! local disk on resume, at the price of depending on the private layout of another crate.

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// The size of a leaf in bytes: 1 MiB. Big enough that no SIMD width is left idle, small enough
/// that reading back a part of one on resume costs about a millisecond.
pub const LEAF_BYTES: u64 = 1 << LEAF_SHIFT;

const LEAF_SHIFT: u32 = 20;
/// Files end below 2^64 bytes.
const LEAVES_MAX: u64 = u64::MAX >> LEAF_SHIFT;
const HASH_BYTES: usize = 32;
const VERSION: u8 = 1;
/// version, number of leaves, check.
const FRAME_BYTES: usize = 1 + 8 + CHECK_BYTES;
const CHECK_BYTES: usize = 4;

/// No [`FileHasher::state`] is longer than this, in bytes.
pub const STATE_BYTES_MAX: usize = FRAME_BYTES + HASH_BYTES * (64 - LEAF_SHIFT as usize + 1);

type Hash = [u8; HASH_BYTES];

/// A stored state can't be used. The remedy is always the same: hash the file from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It was written by a version that this one doesn't know.
    #[error("digest state of version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Its length doesn't fit, or its check doesn't match: it was cut or changed.
    #[error("damaged digest state")]
    Damaged,
}

/// BLAKE3 over a file in order; resumable.
#[derive(Clone)]
pub struct FileHasher {
    /// Chaining values of complete subtrees, the leftmost first: see the head of the module.
    stack: Vec<Hash>,
    /// Number of complete leaves.
    leaves: u64,
    /// The root hash, as long as the file is exactly its first leaf.
    lone_leaf: Hash,
    /// The leaf that is being filled, and how far.
    leaf: blake3::Hasher,
    leaf_filled_bytes: u64,
}

impl std::fmt::Debug for FileHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileHasher")
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

impl Default for FileHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl FileHasher {
    /// The digest of an empty file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stack: Vec::new(),
            leaves: 0,
            lone_leaf: [0; HASH_BYTES],
            leaf: blake3::Hasher::new(),
            leaf_filled_bytes: 0,
        }
    }

    /// How many bytes of the file it has taken.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.leaves * LEAF_BYTES + self.leaf_filled_bytes
    }

    /// Takes the next bytes of the file. Nothing is copied, and whole leaves go through at full
    /// speed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LEAF_BYTES - self.leaf_filled_bytes;
            let take = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(take);
            self.leaf.update(now);
            self.leaf_filled_bytes += take as u64;
            if self.leaf_filled_bytes == LEAF_BYTES {
                self.push_leaf();
            }
            bytes = later;
        }
    }

    /// The leaf is complete: its chaining value goes on the stack, and the next one begins.
    fn push_leaf(&mut self) {
        if self.leaves == 0 {
            self.lone_leaf = *self.leaf.finalize().as_bytes();
        }
        let value = self.leaf.finalize_non_root();
        settle(&mut self.stack, self.leaves);
        self.stack.push(value);
        self.leaves += 1;
        self.begin_leaf();
    }

    fn begin_leaf(&mut self) {
        // Not reset(): in blake3 1.8.7 it forgets that the input began at an offset.
        self.leaf = blake3::Hasher::new();
        self.leaf.set_input_offset(self.leaves * LEAF_BYTES);
        self.leaf_filled_bytes = 0;
    }

    /// The digest of all bytes taken so far, equal to `blake3::hash` of them. More may follow.
    #[must_use]
    pub fn finalize(&self) -> [u8; 32] {
        if self.leaves == 1 && self.leaf_filled_bytes == 0 {
            return self.lone_leaf;
        }
        let mut left = self.stack.clone();
        let mut right = if self.leaf_filled_bytes > 0 && self.leaves > 0 {
            // Something follows the complete leaves, so the merges that waited for it are due.
            settle(&mut left, self.leaves);
            self.leaf.finalize_non_root()
        } else if let Some(last) = left.pop() {
            last
        } else {
            return *self.leaf.finalize().as_bytes();
        };
        while left.len() > 1 {
            right = merge_last(&mut left, &right);
        }
        let root = left
            .first()
            .map(|left| merge_subtrees_root(left, &right, Mode::Hash));
        *root
            .expect("two leaves at least, so at least one value beside the right one")
            .as_bytes()
    }

    /// The state at the last leaf border, to be stored: at most [`STATE_BYTES_MAX`] bytes, for a
    /// file below 1 MiB 13.
    ///
    /// Layout, integers little-endian: version (1), complete leaves (8), the root hash if there is
    /// exactly one leaf (32), the stack (32 each; their number follows from the leaves), the first
    /// bytes of the BLAKE3 of all that (4).
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let mut state = Vec::with_capacity(FRAME_BYTES + HASH_BYTES * (self.stack.len() + 1));
        state.push(VERSION);
        state.extend_from_slice(&self.leaves.to_le_bytes());
        if self.leaves == 1 {
            state.extend_from_slice(&self.lone_leaf);
        }
        for value in &self.stack {
            state.extend_from_slice(value);
        }
        let check = check(&state);
        state.extend_from_slice(&check);
        state
    }

    /// Goes on from a stored [`state`](FileHasher::state). The new hasher stands at the last leaf
    /// border ([`offset`](FileHasher::offset)): the caller reads the bytes from there to its own
    /// durable offset back and gives them to [`update`](FileHasher::update); these are always fewer
    /// than [`LEAF_BYTES`].
    ///
    /// # Errors
    /// [`StateError`]: the state is of another version or damaged.
    pub fn resume(state: &[u8]) -> Result<Self, StateError> {
        match state.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(StateError::Version(other)),
            None => return Err(StateError::Damaged),
        }
        let (body, found) = state
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(StateError::Damaged)?;
        let (leaves, hashes) = body
            .get(1..)
            .and_then(<[u8]>::split_first_chunk::<8>)
            .ok_or(StateError::Damaged)?;
        let leaves = u64::from_le_bytes(*leaves);
        let (hashes, rest) = hashes.as_chunks::<HASH_BYTES>();
        let lone = usize::from(leaves == 1);
        if *found != check(body)
            || leaves > LEAVES_MAX
            || !rest.is_empty()
            || hashes.len() != stack_len(leaves) + lone
        {
            return Err(StateError::Damaged);
        }
        let mut hasher = Self {
            leaves,
            stack: hashes[lone..].to_vec(),
            ..Self::new()
        };
        if lone == 1 {
            hasher.lone_leaf = hashes[0];
        }
        hasher.begin_leaf();
        Ok(hasher)
    }
}

/// How many values stand for this many leaves when every merge is done: one per set bit.
fn settled_len(leaves: u64) -> usize {
    leaves.count_ones() as usize
}

/// Does the merges that wait, given that something follows this many leaves.
fn settle(stack: &mut Vec<Hash>, leaves: u64) {
    while stack.len() > settled_len(leaves) {
        let Some(right) = stack.pop() else { return };
        let merged = merge_last(stack, &right);
        stack.push(merged);
    }
}

/// The parent of the last value of the stack, which is taken off, and the value to the right of it.
fn merge_last(stack: &mut Vec<Hash>, right: &Hash) -> Hash {
    match stack.pop() {
        Some(left) => merge_subtrees_non_root(&left, right, Mode::Hash),
        None => *right,
    }
}

/// How many values the stack holds after this many leaves: those before the last leaf settled, and
/// the last one.
fn stack_len(leaves: u64) -> usize {
    leaves
        .checked_sub(1)
        .map_or(0, |before| settled_len(before) + 1)
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::hash(body);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests;
