//! Which system calls are looked at, and which file each of them touches.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// A kind of call on files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Reading a file at a place.
    Read,
    /// Writing to a file at a place.
    Write,
    /// `fsync`, `fdatasync` and starting to write back.
    Sync,
    /// `fallocate`.
    Allocate,
    /// `ftruncate`, which makes files longer, too.
    Cut,
    /// Opening, and making, files and folders.
    Open,
    /// Removing a name.
    Remove,
    /// Giving another name; judged by the old one.
    Rename,
}

impl Call {
    /// All that change something.
    pub const CHANGES: &'static [Self] = &[
        Self::Write,
        Self::Sync,
        Self::Allocate,
        Self::Cut,
        Self::Remove,
        Self::Rename,
    ];
}

/// What of a call's arguments says which file it is about.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The first is a descriptor.
    Descriptor,
    /// The second is a descriptor.
    Second,
    /// The first is a folder's descriptor, the second a path.
    In,
    /// The first is a path.
    #[cfg(target_arch = "x86_64")]
    Path,
}

/// The calls that the filter hands over.
const CALLS: &[(libc::c_long, Call, Place)] = &[
    (libc::SYS_pread64, Call::Read, Place::Descriptor),
    (libc::SYS_preadv, Call::Read, Place::Descriptor),
    (libc::SYS_preadv2, Call::Read, Place::Descriptor),
    (libc::SYS_sendfile, Call::Read, Place::Second),
    (libc::SYS_pwrite64, Call::Write, Place::Descriptor),
    (libc::SYS_pwritev, Call::Write, Place::Descriptor),
    (libc::SYS_pwritev2, Call::Write, Place::Descriptor),
    (libc::SYS_fsync, Call::Sync, Place::Descriptor),
    (libc::SYS_fdatasync, Call::Sync, Place::Descriptor),
    (libc::SYS_sync_file_range, Call::Sync, Place::Descriptor),
    (libc::SYS_fallocate, Call::Allocate, Place::Descriptor),
    (libc::SYS_ftruncate, Call::Cut, Place::Descriptor),
    (libc::SYS_openat, Call::Open, Place::In),
    (libc::SYS_mkdirat, Call::Open, Place::In),
    (libc::SYS_unlinkat, Call::Remove, Place::In),
    (libc::SYS_renameat, Call::Rename, Place::In),
    (libc::SYS_renameat2, Call::Rename, Place::In),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, Call::Open, Place::Path),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, Call::Open, Place::Path),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, Call::Remove, Place::Path),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, Call::Rename, Place::Path),
];

/// The numbers of all calls that are to be handed over.
pub(super) fn numbers() -> impl Iterator<Item = libc::c_long> {
    CALLS.iter().map(|(number, _, _)| *number)
}

/// A call that a process makes and waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The thread that makes it.
    pub(super) thread: u32,
    pub(super) number: libc::c_long,
    pub(super) args: [u64; 6],
}

/// The longest path that the kernel takes.
const PATH_BYTES_MAX: usize = 4096;

impl Asked {
    /// What kind of call it is and which file it is about; `None` if either is unknown.
    pub(super) fn about(&self) -> Option<(Call, PathBuf)> {
        let (_, call, place) = CALLS.iter().find(|(number, _, _)| *number == self.number)?;
        let path = match place {
            Place::Descriptor => self.descriptor(self.args[0]).ok()?,
            Place::Second => self.descriptor(self.args[1]).ok()?,
            Place::In => {
                let name = self.text(self.args[1]).ok()?;
                if name.is_absolute() {
                    name
                } else {
                    self.descriptor(self.args[0]).ok()?.join(name)
                }
            }
            #[cfg(target_arch = "x86_64")]
            Place::Path => self.text(self.args[0]).ok()?,
        };
        Some((*call, path))
    }

    fn descriptor_link(&self, descriptor: u64) -> PathBuf {
        // Arguments are registers: what the kernel takes for a descriptor is their lower half.
        let descriptor = descriptor as i32;
        if descriptor == libc::AT_FDCWD {
            return format!("/proc/{}/cwd", self.thread).into();
        }
        format!("/proc/{}/fd/{descriptor}", self.thread).into()
    }

    fn descriptor(&self, descriptor: u64) -> io::Result<PathBuf> {
        std::fs::read_link(self.descriptor_link(descriptor))
    }

    fn memory(&self) -> io::Result<File> {
        File::open(format!("/proc/{}/mem", self.thread))
    }

    /// A text in the process's memory, up to its end.
    fn text(&self, address: u64) -> io::Result<PathBuf> {
        let memory = self.memory()?;
        let mut text = Vec::new();
        let mut page = [0; 256];
        while text.len() < PATH_BYTES_MAX {
            let read = memory.read_at(&mut page, address + text.len() as u64)?;
            let piece = &page[..read];
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return Ok(OsStr::from_bytes(&text).into());
            }
            if read == 0 {
                break;
            }
            text.extend_from_slice(piece);
        }
        Err(io::ErrorKind::InvalidInput.into())
    }

    /// Does half of a write in the process's place; how many bytes that was. `None` if it is not a
    /// write of more than a byte.
    pub(super) fn write_half(&self) -> Option<u64> {
        if self.number != libc::SYS_pwrite64 || self.args[2] < 2 {
            return None;
        }
        let [descriptor, address, length, offset, ..] = self.args;
        let half = match length / 2 {
            // As a disk with small sectors may end a write past the cache.
            half if half >= 512 => half / 512 * 512,
            half => half,
        };
        let mut bytes = vec![0; usize::try_from(half).ok()?];
        self.memory()
            .ok()?
            .read_exact_at(&mut bytes, address)
            .ok()?;
        let file = File::options()
            .write(true)
            .open(self.descriptor_link(descriptor))
            .ok()?;
        file.write_all_at(&bytes, offset).ok()?;
        Some(half)
    }
}
