//! A file that is hashed and written past the page cache, buffer by buffer.
//!
//! The last buffer is written up to a whole block and the file then cut to its length, because
//! direct I/O takes whole blocks only.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::fs::OFlags;

const BLOCK_BYTES: usize = 4096;

/// What one connection fills and writes in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BufferSetup {
    /// Bytes of each.
    pub(crate) bytes: usize,
    /// How many of them.
    pub(crate) count: usize,
}

/// For one client or a few.
pub(crate) const FEW: BufferSetup = BufferSetup {
    bytes: 4 << 20,
    count: 3,
};

/// For many clients at once.
pub(crate) const MANY: BufferSetup = BufferSetup {
    bytes: 1 << 20,
    count: 2,
};

/// Memory whose usable part begins on a block's boundary.
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
    /// How much of it is filled.
    pub(crate) filled: usize,
}

impl Buffer {
    pub(crate) fn new(bytes: usize) -> Self {
        let memory = vec![0; bytes + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self {
            memory,
            start,
            bytes,
            filled: 0,
        }
    }

    /// What can still be filled.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        &mut self.memory[self.start + self.filled..self.start + self.bytes]
    }

    fn content(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }

    /// The content, up to a whole block: what stands behind its end is zeroed.
    fn blocks(&mut self) -> &[u8] {
        let end = self.filled.next_multiple_of(BLOCK_BYTES);
        let memory = &mut self.memory[self.start..self.start + end];
        memory[self.filled..].fill(0);
        memory
    }
}

/// A file in the making.
pub(crate) struct Writing {
    file: File,
    path: PathBuf,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Writing {
    /// Makes a file with a name that no other has.
    pub(crate) fn new(dir: &Path) -> Result<(Self, String)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:x}-{count:x}", now.as_nanos());
        let path = dir.join(&name);
        let flags = i32::try_from(OFlags::DIRECT.bits())?;
        let file = File::options()
            .create_new(true)
            .write(true)
            .custom_flags(flags)
            .open(&path)
            .with_context(|| format!("{} can't be made with direct I/O", path.display()))?;
        let writing = Self {
            file,
            path,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        };
        Ok((writing, name))
    }

    /// Hashes and writes what the buffer holds, and empties it.
    pub(crate) fn take(&mut self, buffer: &mut Buffer) -> Result<()> {
        self.hasher.update(buffer.content());
        let filled = buffer.filled as u64;
        let written = self.file.write_all_at(buffer.blocks(), self.bytes);
        written.with_context(|| format!("write {}", self.path.display()))?;
        self.bytes += filled;
        buffer.filled = 0;
        Ok(())
    }

    /// Cuts the last block to the file's end, makes all of it durable, and tells its digest.
    pub(crate) fn finish(self) -> Result<blake3::Hash> {
        if !self.bytes.is_multiple_of(BLOCK_BYTES as u64) {
            self.file.set_len(self.bytes)?;
        }
        self.file.sync_data()?;
        Ok(self.hasher.finalize())
    }

    /// Removes what came of it.
    pub(crate) fn abandon(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            eprintln!("ddx-floor: {} stays: {error}", self.path.display());
        }
    }
}

/// Whether the folder can do what is measured here.
pub(crate) fn probe(dir: &Path) -> Result<()> {
    let (mut writing, _) = Writing::new(dir)?;
    let mut buffer = Buffer::new(BLOCK_BYTES);
    buffer.filled = 1;
    let taken = writing.take(&mut buffer);
    writing.abandon();
    taken.with_context(|| format!("--dir {} has no direct I/O", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_is_what_was_put_into_it() {
        let dir = tempfile::TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        for length in [0, 1, 4095, 4096, 4097, 3 * 8192 + 17] {
            let content: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
            let (mut writing, name) = Writing::new(dir.path()).unwrap();
            let mut buffer = Buffer::new(8192);
            for piece in content.chunks(8192) {
                buffer.rest()[..piece.len()].copy_from_slice(piece);
                buffer.filled = piece.len();
                writing.take(&mut buffer).unwrap();
            }
            let digest = writing.finish().unwrap();
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), content);
            assert_eq!(digest, blake3::hash(&content), "{length} bytes");
        }
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        probe(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
