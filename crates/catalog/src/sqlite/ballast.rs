//! Room for deletions, set aside in advance.
//!
//! To delete is to write, first to the log. On a disk that others have filled to the last byte
//! nothing could be deleted, by which there would be room again. So a file of some megabytes lies
//! beside the catalog and is given up in that moment. It is made again when there is room; the log,
//! which is written again from its beginning, needs no more until then.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "ballast";
/// Between two attempts to make it: each takes the last free bytes for a moment if it fails.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Written at once.
const BLOCK_BYTES: usize = 64 << 10;

/// The file, whether it is there or not.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_there: bool,
    tried: Option<Instant>,
}

impl Ballast {
    /// The one of this folder, made if it is not there and there is room.
    pub(super) fn of(folder: &Path, bytes: u64) -> Self {
        let path = folder.join(NAME);
        let is_there = fs::metadata(&path).is_ok_and(|file| file.len() == bytes);
        let mut ballast = Self {
            path,
            bytes,
            is_there,
            tried: None,
        };
        ballast.make();
        ballast
    }

    /// Gives it up; whether there was something to give.
    pub(super) fn give_up(&mut self) -> bool {
        if !self.is_there {
            return false;
        }
        self.is_there = false;
        self.tried = Some(Instant::now());
        match fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!(
                    "the disk is full; the space that was kept for deletions is used now; uploads are refused; free some space"
                );
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the disk is full, and the space that was kept for deletions can't be used; files may not be deletable until space is freed");
                false
            }
        }
    }

    /// Makes it if it is not there. Tried now and then, since it can't be where the disk is full.
    pub(super) fn make(&mut self) {
        let is_early = self.tried.is_some_and(|at| at.elapsed() < AGAIN_AFTER);
        if self.is_there || self.bytes == 0 || is_early {
            return;
        }
        self.tried = Some(Instant::now());
        match self.write() {
            Ok(()) => self.is_there = true,
            Err(error) => {
                tracing::warn!(%error, "no space can be kept for deletions on a full disk; it is tried again; free some space if the disk is full");
                let _ = fs::remove_file(&self.path); // it may be there in part
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        // Not zeros, and no block like another: a file system that compresses, or keeps equal
        // blocks once, would set nothing aside.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = vec![0; BLOCK_BYTES];
        let mut left = self.bytes;
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_ne_bytes());
            }
            let count = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
            file.write_all(&block[..count])?;
            left -= count as u64;
        }
        file.sync_all()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_given_up_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::of(folder.path(), 100_000);
        let path = folder.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
        let mut again = Ballast::of(folder.path(), 100_000);
        assert!(ballast.give_up());
        assert!(!path.exists());
        assert!(!ballast.give_up());
        // Another has it given up in between: there is nothing to give.
        assert!(!again.give_up());
        ballast.make();
        assert!(
            !path.exists(),
            "not at once: the disk was full a moment ago"
        );
        ballast.tried = None;
        ballast.make();
        assert!(path.exists());
        assert!(!Ballast::of(&folder.path().join("nowhere"), 10).give_up());
    }
}
