//! The smallest file system that can carry a loop device: one folder with one file in it, which is
//! a [`Device`].
//!
//! Written against the kernel's protocol (`linux/fuse.h`, version 7.31) and not with a library: a
//! dozen messages of fixed layout are needed, and the libraries bring a dozen crates or the
//! system's libfuse. Messages are little-endian, as every machine that the tests run on.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::device::Device;

/// The file's name in the folder.
pub(super) const FILE: &str = "disk";

const FOLDER_NODE: u64 = 1;
const FILE_NODE: u64 = 2;
/// Answers about names and sizes hold for good: nothing here changes.
const VALID_SECONDS: u64 = 86_400;
const WRITE_BYTES_MAX: u32 = 128 << 10;
const MESSAGE_BYTES_MAX: usize = (WRITE_BYTES_MAX as usize) + 4096;
const HEAD_BYTES: usize = 40;
/// No page cache between the loop device and us.
const DIRECT_IO: u32 = 1;

/// What the kernel asks.
mod ask {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// Mounts the device's file system at `at` and serves it on a thread of its own, which ends when it
/// is unmounted.
pub(super) fn serve(device: Arc<Device>, at: &Path) -> Result<std::thread::JoinHandle<()>> {
    let channel = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .context("open /dev/fuse: the kernel needs FUSE, and the tests root")?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
        channel.as_raw_fd()
    );
    rustix::mount::mount(
        "ddx-power",
        at,
        "fuse",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(CString::new(options)?.as_c_str()),
    )
    .with_context(|| format!("mount FUSE at {}", at.display()))?;
    let thread = std::thread::Builder::new().name("power".to_owned());
    Ok(thread.spawn(move || run(&channel, &device))?)
}

fn run(mut channel: &File, device: &Device) {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = match channel.read(&mut message) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // The request went away before it was read; or the file system was unmounted.
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
            Err(_) => return,
        };
        let question = Question::read(&message[..length]);
        let answer = match question.ask {
            ask::FORGET | ask::BATCH_FORGET | ask::INTERRUPT => continue,
            _ => answer(&question, device),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(errno) => (-errno.raw_os_error(), Bytes::default()),
        };
        let mut whole = Bytes::default();
        whole
            .u32(u32::try_from(16 + body.0.len()).unwrap_or(16))
            .u32(error.cast_unsigned())
            .u64(question.unique);
        whole.0.extend_from_slice(&body.0);
        if let Err(error) = channel.write_all(&whole.0)
            && error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
        {
            return;
        }
        if question.ask == ask::DESTROY {
            return;
        }
    }
}

struct Question<'m> {
    ask: u32,
    unique: u64,
    node: u64,
    body: &'m [u8],
}

impl<'m> Question<'m> {
    fn read(message: &'m [u8]) -> Self {
        Self {
            ask: u32_at(message, 4),
            unique: u64_at(message, 8),
            node: u64_at(message, 16),
            body: message.get(HEAD_BYTES..).unwrap_or_default(),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// An answer as it is put together.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, number: u16) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// `struct fuse_attr`.
    fn attributes(&mut self, node: u64, device: &Device) -> &mut Self {
        let (size, mode) = match node {
            FOLDER_NODE => (0, 0o040_755),
            _ => (device.size_bytes(), 0o100_600),
        };
        // ino, size, blocks, three times with their nanoseconds, mode, links, owner, group, device,
        // block size, flags
        self.u64(node)
            .u64(size)
            .u64(size / 512)
            .zeros(3 * 8 + 3 * 4);
        self.u32(mode).u32(1).u32(0).u32(0).u32(0).u32(4096).u32(0)
    }
}

fn answer(question: &Question<'_>, device: &Device) -> Result<Bytes, Errno> {
    let mut out = Bytes::default();
    let body = question.body;
    match question.ask {
        ask::INIT => {
            // Version 7.31; read-ahead and flags: none; background requests; largest write; times;
            // pages.
            out.u32(7).u32(31).u32(0).u32(0).u16(16).u16(12);
            out.u32(WRITE_BYTES_MAX).u32(1).u16(0).u16(0).zeros(32);
        }
        ask::LOOKUP => {
            if question.node != FOLDER_NODE || body.strip_suffix(b"\0") != Some(FILE.as_bytes()) {
                return Err(Errno::NOENT);
            }
            out.u64(FILE_NODE)
                .u64(0)
                .u64(VALID_SECONDS)
                .u64(VALID_SECONDS)
                .zeros(8);
            out.attributes(FILE_NODE, device);
        }
        ask::GETATTR | ask::SETATTR => {
            out.u64(VALID_SECONDS).zeros(8);
            out.attributes(question.node, device);
        }
        ask::OPEN => drop(out.u64(0).u32(DIRECT_IO).u32(0)),
        ask::OPENDIR => drop(out.zeros(16)),
        ask::READ => {
            let length = usize::try_from(u32_at(body, 16)).unwrap_or(0);
            out.0 = device.read(u64_at(body, 8), length)?;
        }
        ask::WRITE => {
            let length = u32_at(body, 16);
            let bytes = body.get(40..).unwrap_or_default();
            if bytes.len() != usize::try_from(length).unwrap_or(0) {
                return Err(Errno::INVAL);
            }
            device.write(u64_at(body, 8), bytes)?;
            out.u32(length).u32(0);
        }
        ask::FSYNC => device.flush()?,
        ask::STATFS => {
            let blocks = device.size_bytes() / 4096;
            out.u64(blocks).u64(0).u64(0).u64(1).u64(0);
            out.u32(4096).u32(255).u32(4096).zeros(28);
        }
        // Closing is no flush: FLUSH is what close(2) sends.
        ask::FLUSH | ask::RELEASE | ask::RELEASEDIR | ask::DESTROY => {}
        _ => return Err(Errno::NOSYS),
    }
    Ok(out)
}
