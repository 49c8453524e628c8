//! What the file system under the data folder really does, found out by doing it.
//!
//! Tables of file system names are wrong sooner or later: overlays, network mounts and containers
//! answer for what lies beneath. So a small file is written and read back when the store is opened.
//! Few names are believed: on tmpfs direct I/O "works" since Linux 6.6, but a file there is memory,
//! so that nothing goes past any cache.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::config::{BLOCK_BYTES, DirectIo};
use crate::{Error, WriteMode};

/// Beside the shards: no shard has a name of this length.
const NAME: &str = "probe";
const TMPFS_MAGIC: u64 = 0x0102_1994;
const ZFS_MAGIC: u64 = 0x2fc1_2fc1;
const BTRFS_MAGIC: u64 = 0x9123_683e;
const BCACHEFS_MAGIC: u64 = 0xca45_1a4e;
const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// Enough that a file system can't have had it lying around.
const RESERVED_BYTES: u64 = 1 << 20;

/// What was found.
pub(super) struct Findings {
    pub(super) write_mode: WriteMode,
    /// Whether `fallocate` really takes the space.
    pub(super) keeps_reservations: bool,
    /// Whether files in it are memory.
    pub(super) lives_in_memory: bool,
    /// Whether `statvfs` takes its time to count what was done.
    pub(super) counts_late: bool,
}

impl Findings {
    /// Of a folder in which nothing can be tried, nor is anything of it needed.
    pub(super) fn of_read_only() -> Self {
        Self {
            write_mode: WriteMode::ReadOnly,
            keeps_reservations: true,
            lives_in_memory: false,
            counts_late: false,
        }
    }
}

/// Makes a file and removes it. Others may do the same at the same time: who finds it made, or
/// gone, has been told enough.
pub(super) fn try_change(folder: &OwnedFd) -> Result<(), Error> {
    make(folder)?;
    remove(folder)
}

fn make(folder: &OwnedFd) -> Result<OwnedFd, Error> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::openat(folder, NAME, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|e| Error::io("make a test file in the data folder", e))
}

fn remove(folder: &OwnedFd) -> Result<(), Error> {
    match rustix::fs::unlinkat(folder, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(Error::io("remove the test file in the data folder", error)),
    }
}

/// Tries the folder. Fails only if no file can be made and written in it at all.
pub(super) fn probe(folder: &OwnedFd, direct: DirectIo) -> Result<Findings, Error> {
    let file = make(folder)?;
    let keeps_reservations = keeps_reservations(&file);
    let lives_in_memory = lives_in_memory(folder);
    let write_mode = match (direct, lives_in_memory) {
        (DirectIo::Off, _) => WriteMode::Windowed {
            reason: "direct I/O is switched off".to_owned(),
        },
        (DirectIo::Auto, true) => WriteMode::Windowed {
            reason: "this file system lives in memory".to_owned(),
        },
        (DirectIo::Auto, false) => match write_and_read_direct(folder) {
            Ok(()) => WriteMode::Direct,
            Err(reason) => WriteMode::Windowed { reason },
        },
    };
    remove(folder)?;
    Ok(Findings {
        write_mode,
        keeps_reservations,
        lives_in_memory,
        counts_late: counts_late(folder),
    })
}

/// The file system's magic number.
fn kind_of(file: impl AsFd) -> u64 {
    // The field's type differs between targets; the magic numbers are 32 bits on all.
    rustix::fs::fstatfs(file).map_or(0, |found| found.f_type as u64 & 0xffff_ffff)
}

fn lives_in_memory(folder: &OwnedFd) -> bool {
    let kind = kind_of(folder);
    kind == TMPFS_MAGIC || kind == RAMFS_MAGIC
}

/// File systems that count at each commit, by name: there is no way to try that which takes less
/// than the time between two.
fn counts_late(folder: &OwnedFd) -> bool {
    [BTRFS_MAGIC, BCACHEFS_MAGIC, ZFS_MAGIC].contains(&kind_of(folder))
}

/// Success alone is no proof: ZFS says yes and takes nothing. Nor is failure for want of space: a
/// server that is started on a full disk must not give up what was reserved before.
fn keeps_reservations(file: impl AsFd) -> bool {
    match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, RESERVED_BYTES) {
        Ok(()) => {
            rustix::fs::fstat(&file).is_ok_and(|stat| allocated_bytes(&stat) >= RESERVED_BYTES)
        }
        Err(error) => crate::error::is_full(&error.into()) && kind_of(&file) != ZFS_MAGIC,
    }
}

/// What a file takes on the disk, in bytes. The unit of `st_blocks` is 512 bytes on Linux, whatever
/// the file system.
pub(super) fn allocated_bytes(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512)
}

#[repr(align(4096))]
struct Block([u8; BLOCK_BYTES as usize]);

fn write_and_read_direct(folder: &OwnedFd) -> Result<(), String> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, NAME, flags, Mode::empty())
        .map_err(|e| format!("opening a file with O_DIRECT was refused ({e})"))?;
    let file = File::from(file);
    let mut block = Box::new(Block([0; BLOCK_BYTES as usize]));
    for (index, byte) in block.0.iter_mut().enumerate() {
        *byte = (index * 31) as u8;
    }
    // Not at the beginning: an offset of one block is what must work.
    let written = match rustix::io::pwrite(&file, &block.0, BLOCK_BYTES) {
        // It would have been done: a disk that is full at the start must not be a slow one until
        // the next.
        Err(error) if crate::error::is_full(&error.into()) => return Ok(()),
        written => written.map_err(|e| format!("a direct write was refused ({e})"))?,
    };
    let expected = block.0;
    block.0.fill(0);
    let read = rustix::io::pread(&file, &mut block.0, BLOCK_BYTES)
        .map_err(|e| format!("a direct read was refused ({e})"))?;
    if written == block.0.len() && read == block.0.len() && block.0 == expected {
        Ok(())
    } else {
        Err(format!(
            "a block written directly was not read back ({written} bytes written, {read} read)"
        ))
    }
}

/// Whether a direct write failed because this file can't do it, rather than because of the disk.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::INVAL | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> OwnedFd {
        OwnedFd::from(File::open(folder.path()).unwrap())
    }

    #[test]
    fn memory_is_no_disk() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let findings = probe(&open(&folder), DirectIo::Auto).unwrap();
        assert_eq!(
            findings.write_mode,
            WriteMode::Windowed {
                reason: "this file system lives in memory".to_owned()
            }
        );
        assert!(
            findings.keeps_reservations,
            "tmpfs takes pages when asked to"
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "the probe leaves nothing behind"
        );
    }

    #[test]
    fn what_was_switched_off_is_not_tried() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), b"left by a killed process").unwrap();
        let findings = probe(&open(&folder), DirectIo::Off).unwrap();
        assert_eq!(
            findings.write_mode,
            WriteMode::Windowed {
                reason: "direct I/O is switched off".to_owned()
            }
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
