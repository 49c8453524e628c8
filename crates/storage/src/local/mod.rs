//! Segments as files on a local disk.
//!
//! Measured: direct I/O from aligned buffers is as fast as the disk, steady, and keeps the page
//! cache, which counts against the memory limit, out of the game; buffered writing with a sync at
//! the end is anywhere between a sixth of that and all of it. So buffers go directly and the rest
//! through small windows ([`writer`], [`window`]). A known length is reserved with `fallocate`
//! (under a millisecond per GiB on ext4, and no slower to write into), see [`space`].
//!
//! Rejected: io_uring, which many containers forbid; `mmap`, whose I/O errors are signals; one big
//! file with our own allocator, which is a file system.
//!
//! For the operator: the folder may be on any file system; `WriteMode` says what it is good for. It
//! belongs to one server at a time, which `flock` on the file `lock` sees to. Where its file system
//! takes no changes, segments are read and every change is refused.

mod config;
mod disk;
mod layout;
mod probe;
mod reader;
mod registry;
mod space;
mod sys;
mod window;
mod writer;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddx_id::SegmentId;
use ddx_memory::Ledger;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use self::config::BLOCK_BYTES;
pub use self::config::{DirectIo, LocalDiskConfig};
use self::disk::Disk;
use self::layout::Layout;
use self::reader::LocalReader;
use self::space::Reservations;
use self::writer::{Cover, LocalWriter};
use crate::{Error, ErrorKind, Reader, Space, Store, WriteMode, Writer};

const LOCK: &str = "lock";
const LOCK_POLL_EVERY: Duration = Duration::from_millis(20);

/// A store in a folder of a local disk. Cheap to clone; the folder is free for another server when
/// the last clone, writer and reader are gone.
#[derive(Clone)]
pub struct LocalDisk(Arc<Disk>);

impl std::fmt::Debug for LocalDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDisk")
            .field("write_mode", &self.0.write_mode)
            .finish_non_exhaustive()
    }
}

impl LocalDisk {
    /// Opens the store in `root`, which is made if it does not exist, and tries what its file
    /// system can do. One that takes no changes can be read from until the store is opened anew
    /// ([`WriteMode::ReadOnly`]).
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) if another server has it, [`Setting`](ErrorKind::Setting), I/O.
    pub fn open(root: &Path, config: LocalDiskConfig, ledger: Ledger) -> Result<Self, Error> {
        config.check()?;
        make_durably(root)?;
        let (lock, layout, findings) = match take(root, &config) {
            Err(error) if error.kind() == ErrorKind::ReadOnly => {
                match take_read_only(root, &config) {
                    // Nothing was ever stored in it: what is wrong is that nothing can be.
                    Err(absent) if absent.is_not_found() => return Err(error),
                    taken => taken?,
                }
            }
            taken => taken?,
        };
        let probe::Findings {
            write_mode,
            keeps_reservations,
            lives_in_memory,
            counts_late,
        } = findings;
        let folder = layout
            .folder()
            .try_clone()
            .map_err(|e| Error::io("open the data folder a second time", e))?;
        let memory = lives_in_memory.then(|| ledger.clone());
        let reservations = Reservations::new(folder, config.clone(), memory, counts_late);
        tracing::info!(folder = %root.display(), writes_by = %write_mode, keeps_reservations, "the data folder is open");
        let registry = Arc::default();
        let disk = Disk {
            config,
            ledger,
            layout,
            reservations,
            registry,
            write_mode,
            keeps_reservations,
            _lock: lock,
        };
        Ok(Self(Arc::new(disk)))
    }
}

/// Makes the folder, and its entry in the one above durable.
fn make_durably(root: &Path) -> Result<(), Error> {
    if root.is_dir() {
        return Ok(());
    }
    let what = |e| Error::io(format!("make {}", root.display()), e);
    std::fs::create_dir_all(root).map_err(what)?;
    let above = root.canonicalize().map_err(what)?;
    above
        .parent()
        .map_or(Ok(()), |above| File::open(above)?.sync_all())
        .map_err(what)
}

/// Takes the folder, and tries what can be done in it.
fn take(root: &Path, config: &LocalDiskConfig) -> Result<(File, Layout, probe::Findings), Error> {
    let path = root.join(LOCK);
    let failed = |e| Error::io(format!("lock {}", path.display()), e);
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = lock(root, options.open(&path).map_err(failed)?, config.lock_wait)?;
    file.set_len(0).map_err(failed)?;
    // Only for the message to a second server; on a full disk there is none.
    let _ = writeln!(file, "{}", std::process::id());
    let layout = Layout::make(root)?;
    let findings = probe::probe(layout.folder(), config.direct)?;
    Ok((file, layout, findings))
}

/// Takes the folder where nothing can be written: another mount of it may be one that can be
/// written to.
fn take_read_only(
    root: &Path,
    config: &LocalDiskConfig,
) -> Result<(File, Layout, probe::Findings), Error> {
    let path = root.join(LOCK);
    // A copy of a folder need not have the file; then the folder stands for it.
    let opened = File::open(&path).or_else(|_| File::open(root));
    let opened = opened.map_err(|e| Error::io(format!("lock {}", path.display()), e))?;
    let file = lock(root, opened, config.lock_wait)?;
    Ok((file, Layout::open(root)?, probe::Findings::of_read_only()))
}

/// Locks the folder by this file, for as long as it is open.
fn lock(root: &Path, mut file: File, wait: Duration) -> Result<File, Error> {
    let until = Instant::now() + wait;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            // There is no flock with a time limit.
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOCK_POLL_EVERY),
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let by = match file.read_to_string(&mut holder) {
                    Ok(1..) => format!(" (process {})", holder.trim()),
                    _ => String::new(),
                };
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("another server{by} uses {}", root.display()),
                ));
            }
            Err(error) => {
                return Err(Error::io(format!("lock {}", root.display()), error));
            }
        }
    }
    Ok(file)
}

impl Store for LocalDisk {
    fn create(&self, id: SegmentId, length_bytes: Option<u64>) -> Result<(), Error> {
        let disk = &self.0;
        // Even nothing needs an inode, and an upload of unknown length that can't begin is to hear
        // it now.
        drop(
            disk.reservations
                .claim(length_bytes.unwrap_or(BLOCK_BYTES))?,
        );
        let file = disk.layout.create(id).map_err(|error| match error.kind() {
            ErrorKind::NoSpace { needed_bytes, .. } => disk.reservations.full(needed_bytes),
            _ => error,
        })?;
        let reserved = disk.reserve(id, &file, length_bytes.unwrap_or(0));
        if reserved.is_err()
            && let Err(error) = disk.layout.remove(id)
        {
            tracing::warn!(segment = %id, %error, "the disk is full, and an empty file in the folder `segments` was left behind; the next start removes it");
        }
        reserved
    }

    fn reserve(&self, id: SegmentId, length_bytes: u64) -> Result<(), Error> {
        let file = self.0.layout.open_segment(id, OFlags::WRONLY)?;
        self.0.reserve(id, &file, length_bytes)
    }

    fn open_writer(&self, id: SegmentId, at: u64) -> Result<Box<dyn Writer>, Error> {
        let disk = &self.0;
        let mark = disk.registry.open(id, at)?;
        let file = disk.layout.open_segment(id, OFlags::WRONLY)?;
        let examine =
            || rustix::fs::fstat(&file).map_err(|e| Error::io(format!("look at segment {id}"), e));
        let mut stat = examine()?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < at {
            let detail = format!("segment {id} has {size} bytes, but {at} were saved");
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        if size > at {
            disk.cut(id, &file, at, &stat)?;
            stat = examine()?;
        }
        let allocated_until = probe::allocated_bytes(&stat).max(at);
        let (until, reservation) = match disk.registry.promise(id) {
            Some(promise) => (
                promise.until.max(allocated_until),
                Some(promise.reservation),
            ),
            None => (allocated_until, None),
        };
        let cover = Cover {
            allocated_until,
            until,
            reservation,
        };
        Ok(Box::new(LocalWriter::new(
            disk.clone(),
            mark,
            file,
            at,
            cover,
        )))
    }

    fn open_reader(&self, id: SegmentId) -> Result<Box<dyn Reader>, Error> {
        let file = self.0.layout.open_segment(id, OFlags::RDONLY)?;
        Ok(Box::new(LocalReader::new(id, file)))
    }

    fn delete(&self, id: SegmentId) -> Result<(), Error> {
        self.0.layout.remove(id)?;
        self.0.reservations.freed();
        self.0.registry.deleted(id);
        Ok(())
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>, Error> {
        self.0.layout.list(after, limit)
    }

    fn length(&self, id: SegmentId) -> Result<u64, Error> {
        self.0.layout.length(id)
    }

    fn space(&self) -> Result<Space, Error> {
        self.0.reservations.space()
    }

    fn try_change(&self) -> Result<(), Error> {
        probe::try_change(self.0.layout.folder())
    }

    fn written_beside(&self, bytes: u64) {
        self.0.reservations.written(bytes);
    }

    fn write_mode(&self) -> WriteMode {
        self.0.write_mode.clone()
    }
}
