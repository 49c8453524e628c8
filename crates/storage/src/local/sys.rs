//! The one system call that no safe binding offers.
#![allow(unsafe_code, reason = "sync_file_range(2) is not in rustix")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

/// What is to happen to the dirty pages of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// Writing them starts. Blocks only if the disk's queue is full.
    Start,
    /// They are written when the call returns. That makes them clean, not durable: the disk's own
    /// cache and the file's metadata need an `fdatasync`.
    Wait,
}

/// sync_file_range(2). File systems that don't know it (`EINVAL`, `ENOSYS`, `ESPIPE`, `EOPNOTSUPP`)
/// get an `fdatasync` where waiting was asked for.
pub(super) fn flush(file: &File, range: Range<u64>, flush: Flush) -> io::Result<()> {
    let flags = match flush {
        Flush::Start => libc::SYNC_FILE_RANGE_WRITE,
        Flush::Wait => {
            libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER
        }
    };
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let start = libc::off64_t::try_from(range.start).map_err(too_far)?;
    let length = libc::off64_t::try_from(range.end.saturating_sub(range.start)).map_err(too_far)?;
    loop {
        // SAFETY: no pointers are passed; the descriptor is open for the time of the borrow.
        if unsafe { libc::sync_file_range(file.as_raw_fd(), start, length, flags) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EINVAL | libc::ENOSYS | libc::ESPIPE | libc::EOPNOTSUPP) => {
                return if flush == Flush::Wait {
                    file.sync_data()
                } else {
                    Ok(())
                };
            }
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn flushes_a_range_and_tells_of_a_bad_descriptor() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 20_000]).unwrap();
        flush(&file, 0..8192, Flush::Start).unwrap();
        flush(&file, 0..20_000, Flush::Wait).unwrap();
        // Reading ends are no files with pages: the call is refused and an fdatasync, refused too,
        // stands in.
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        flush(&pipe, 0..1, Flush::Start).unwrap();
        assert_eq!(
            flush(&pipe, 0..1, Flush::Wait).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        assert_eq!(
            flush(&file, 0..u64::MAX, Flush::Start)
                .unwrap_err()
                .raw_os_error(),
            Some(libc::EFBIG)
        );
    }
}
