//! Reading a segment from the local disk.
//!
//! Through the page cache, unlike writing: what is downloaded once is often downloaded again soon, the kernel reads ahead, `sendfile`
//! needs it, and clean pages are memory that the kernel takes back by itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::{Error, Reader, SegmentId};

pub(super) struct LocalReader {
    id: SegmentId,
    file: File,
}

impl LocalReader {
    pub(super) fn new(id: SegmentId, file: File) -> Self {
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

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}
