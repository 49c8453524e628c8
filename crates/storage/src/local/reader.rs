//! Reading a segment from the local disk.
//!
//! Through the page cache, unlike writing: what is downloaded once is often downloaded again soon,
//! `sendfile` needs it, and clean pages are memory that the kernel takes back by itself. It can't
//! while the disk fills them, and its own reading ahead fills two windows at once, of 8 MiB each on
//! some disks. So that is off: who reads asks for what it has memory for.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;

use ddx_id::SegmentId;
use rustix::fs::{Advice, fadvise};

use crate::{Error, Reader};

/// The kernel takes no more of one such advice than its own window, which is 128 KiB on most disks.
const PREFETCH_BYTES: usize = 128 << 10;

pub(super) struct LocalReader {
    id: SegmentId,
    file: File,
}

impl LocalReader {
    pub(super) fn new(id: SegmentId, file: File) -> Self {
        // Only advice: where it fails the kernel reads ahead.
        let _ = fadvise(&file, 0, None, Advice::Random);
        Self { id, file }
    }
}

impl Reader for LocalReader {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < into.len() {
            match self
                .file
                .read_at(&mut into[filled..], offset.saturating_add(filled as u64))
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io(
                        format!("read segment {} at {offset}", self.id),
                        error,
                    ));
                }
            }
        }
        Ok(filled)
    }

    fn prefetch(&self, offset: u64, bytes: u64) {
        let end = offset.saturating_add(bytes);
        for from in (offset..end).step_by(PREFETCH_BYTES) {
            let step = NonZeroU64::new((end - from).min(PREFETCH_BYTES as u64));
            let _ = fadvise(&self.file, from, step, Advice::WillNeed);
        }
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}
