//! The kernel's pressure trigger: told of stall when it happens instead of at the next sample.
//!
//! A file that takes a threshold and a window, and then has an exceptional condition whenever the
//! threshold was passed. It only makes the ledger look sooner: everything it tells is in the
//! counters as well, so whatever goes wrong with it (no such file, no right to it, a kernel without
//! it, a group that was removed) costs a fraction of a second and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::Config;

/// An armed trigger. Closing the file disarms it.
#[derive(Debug)]
pub(crate) struct Trigger {
    file: File,
}

impl Trigger {
    /// Arms the file's trigger with the stall threshold and window of the settings.
    pub(crate) fn arm(path: &Path, config: &Config) -> io::Result<Self> {
        let not_blocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(not_blocking)
            .open(path)?;
        // The whole order in one call, with its terminating zero: the kernel takes no pieces.
        file.write_all(&order(config))?;
        Ok(Self { file })
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// `some 150000 2000000`, in microseconds, and a zero.
fn order(config: &Config) -> Vec<u8> {
    let threshold_us = config.stall_threshold.as_micros();
    let window_us = config.stall_window.as_micros();
    format!("some {threshold_us} {window_us}\0").into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_written_in_microseconds_and_ends_with_a_zero() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let _armed = Trigger::arm(file.path(), &Config::default()).unwrap();
        let written = std::fs::read(file.path()).unwrap();
        assert_eq!(written, b"some 150000 2000000\0");
    }

    #[test]
    fn a_file_that_is_not_there_arms_nothing_and_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.pressure");
        let error = Trigger::arm(&path, &Config::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!path.exists());
    }
}
