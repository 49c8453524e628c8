//! Files and folders: `segments/ab/<id>`, where `ab` are the first two characters of the id.
//!
//! 1,024 folders, so that none has millions of entries; they are made when first needed. All calls
//! go relative to one open descriptor of `segments`, which keeps paths short and the store in one
//! place if the folder is moved.
//!
//! A new file survives a power cut only if its folder was flushed after it was made, and a folder
//! only if `segments` was. Flushing at each creation would cost more than the creation; so every
//! folder counts what was added, and the first `sync` of a segment flushes its folder unless
//! another one already did since. After a start nothing is known to be flushed: the process before
//! may have been killed between the two. So every folder is flushed once again when first used.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ddx_id::SegmentId;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

const FOLDER: &str = "segments";
const SHARDS: usize = 1 << 10;
/// Only the server's user may read what people send.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER_MODE: Mode = Mode::RWXU;

pub(super) struct Layout {
    segments: OwnedFd,
    /// The entries of `segments`, which are folders.
    shards_added: Entries,
    /// The entries of each of these.
    added: Box<[Entries]>,
}

/// Proof that an entry was added, to be made durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Layout {
    /// Makes `root/segments` if need be, and opens it.
    pub(super) fn make(root: &Path) -> Result<Self, Error> {
        let root_fd = open_folder(rustix::fs::CWD, root)
            .map_err(|e| Error::io(format!("open {}", root.display()), e))?;
        match rustix::fs::mkdirat(&root_fd, FOLDER, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                let path = root.join(FOLDER);
                return Err(Error::io(format!("make {}", path.display()), error));
            }
        }
        rustix::fs::fsync(&root_fd)
            .map_err(|e| Error::io(format!("flush {}", root.display()), e))?;
        Self::open(root)
    }

    /// Opens `root/segments`.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let path = root.join(FOLDER);
        let segments = open_folder(rustix::fs::CWD, &path)
            .map_err(|e| Error::io(format!("open {}", path.display()), e))?;
        Ok(Self {
            segments,
            shards_added: Entries::new(),
            added: (0..SHARDS).map(|_| Entries::new()).collect(),
        })
    }

    /// A descriptor of `segments`.
    pub(super) fn folder(&self) -> &OwnedFd {
        &self.segments
    }

    /// Makes the file of a segment.
    pub(super) fn create(&self, id: SegmentId) -> Result<File, Error> {
        let path = path_of(id);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&self.segments, &path, flags, FILE_MODE);
        let opened = match open() {
            Err(Errno::NOENT) => {
                self.make_shard(id)?;
                open()
            }
            opened => opened,
        };
        match opened {
            Ok(fd) => {
                self.added[shard_of(id)].add();
                Ok(File::from(fd))
            }
            Err(Errno::EXIST) => Err(Error::exists(id)),
            Err(error) if crate::error::is_full(&error.into()) => Err(Error::no_space(BLOCK, 0, 0)),
            Err(error) => Err(Error::io(format!("make segment {id}"), error)),
        }
    }

    fn make_shard(&self, id: SegmentId) -> Result<(), Error> {
        match rustix::fs::mkdirat(&self.segments, &path_of(id)[..2], FOLDER_MODE) {
            Ok(()) => {
                self.shards_added.add();
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) if crate::error::is_full(&error.into()) => Err(Error::no_space(BLOCK, 0, 0)),
            Err(error) => Err(Error::io(format!("make the folder of segment {id}"), error)),
        }
    }

    /// Opens the file of a segment.
    pub(super) fn open_segment(&self, id: SegmentId, flags: OFlags) -> Result<File, Error> {
        match rustix::fs::openat(
            &self.segments,
            path_of(id),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::NOENT) => Err(Error::not_found(id)),
            Err(error) => Err(Error::io(format!("open segment {id}"), error)),
        }
    }

    /// Removes the file of a segment, if there is one.
    pub(super) fn remove(&self, id: SegmentId) -> Result<(), Error> {
        match rustix::fs::unlinkat(&self.segments, path_of(id), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io(format!("delete segment {id}"), error)),
        }
    }

    /// To be asked after the segment was found or made, and before its bytes count as durable.
    pub(super) fn ticket(&self, id: SegmentId) -> Ticket {
        self.added[shard_of(id)].ticket()
    }

    /// Makes the entry of the segment durable. No system call if it is already.
    pub(super) fn sync_dir(&self, id: SegmentId, ticket: Ticket) -> Result<(), Error> {
        let flush_shard = || {
            let shard = open_folder(&self.segments, &path_of(id)[..2])?;
            rustix::fs::fsync(shard)?;
            // The folder itself is an entry of the folder above.
            self.shards_added.sync_once(self.shards_added.ticket(), || {
                Ok(rustix::fs::fsync(&self.segments)?)
            })
        };
        self.added[shard_of(id)]
            .sync_once(ticket, flush_shard)
            .map_err(|error| Error::io(format!("flush the folder of segment {id}"), error))
    }

    /// Segments in the order of their ids, which is that of their folders. Entries that are no
    /// segments are left alone.
    pub(super) fn list(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>, Error> {
        let mut found = Vec::new();
        for shard in after.map_or(0, shard_of)..SHARDS {
            let mut ids = self.list_shard(shard)?;
            ids.retain(|id| Some(*id) > after);
            ids.sort_unstable();
            found.extend(ids);
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn list_shard(&self, shard: usize) -> Result<Vec<SegmentId>, Error> {
        let name = shard_name(shard);
        let what = |error: io::Error| Error::io(format!("list segments/{name}"), error);
        let folder = match open_folder(&self.segments, name.as_str()) {
            Ok(folder) => folder,
            // It is made when it is first needed, and whatever else has its name is not ours.
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(what(error)),
        };
        let names = names_in(&folder).map_err(what)?;
        let (ours, others): (Vec<_>, Vec<_>) = names
            .iter()
            .map(|entry| entry.parse().ok().filter(|id| shard_of(*id) == shard))
            .partition(Option::is_some);
        if !others.is_empty() {
            tracing::warn!(
                folder = name,
                entries = others.len(),
                "the folder `segments` has files that this server did not make; they are left alone, and nothing has to be done"
            );
        }
        Ok(ours.into_iter().flatten().collect())
    }

    /// How many bytes the file of a segment has.
    pub(super) fn length(&self, id: SegmentId) -> Result<u64, Error> {
        match rustix::fs::statat(&self.segments, path_of(id), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(Errno::NOENT) => Err(Error::not_found(id)),
            Err(error) => Err(Error::io(format!("look at segment {id}"), error)),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [Errno::NOENT, Errno::NOTDIR]
        .iter()
        .any(|absent| errno == Some(absent.raw_os_error()))
}

/// A block for the entry itself: what [`Layout::create`] asks for when the disk has no room for it.
const BLOCK: u64 = super::config::BLOCK_BYTES;

fn path_of(id: SegmentId) -> String {
    let name = id.to_string();
    format!("{}/{name}", &name[..2])
}

/// The name of a folder: the first two characters of the ids in it.
fn shard_name(shard: usize) -> String {
    // 1,024 of them: the number is the ten bits that the characters stand for.
    let bits = u16::try_from(shard << 6).unwrap_or(u16::MAX).to_be_bytes();
    let mut id = [0; 16];
    id[..2].copy_from_slice(&bits);
    path_of(SegmentId::from_bytes(id))[..2].to_owned()
}

fn shard_of(id: SegmentId) -> usize {
    // Two characters of five bits.
    usize::from(id.as_bytes()[0]) << 2 | usize::from(id.as_bytes()[1]) >> 6
}

fn open_folder(at: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

/// The names in a folder that are UTF-8, without `.` and `..`; ours all are.
fn names_in(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => names.push(name.to_owned()),
            Err(_) => names.push(String::new()),
        }
    }
    Ok(names)
}

/// What was added to a folder and what of it is durable.
struct Entries {
    added: AtomicU64,
    durable: AtomicU64,
    flushing: Mutex<()>,
}

impl Entries {
    fn new() -> Self {
        // One more added than durable: what was there before us.
        Self {
            added: AtomicU64::new(1),
            durable: AtomicU64::new(0),
            flushing: Mutex::new(()),
        }
    }

    fn add(&self) {
        self.added.fetch_add(1, Ordering::AcqRel);
    }

    fn ticket(&self) -> Ticket {
        Ticket(self.added.load(Ordering::Acquire))
    }

    /// Those who come while one flushes wait for it, and often find that it flushed for them.
    fn sync_once(&self, ticket: Ticket, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.durable.load(Ordering::Acquire) >= ticket.0 {
            return Ok(());
        }
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.durable.load(Ordering::Acquire) >= ticket.0 {
            return Ok(());
        }
        let Ticket(added) = self.ticket();
        flush()?;
        self.durable.store(added, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_flushed_once_for_all_that_came_before() {
        let entries = Entries::new();
        let mut flushes = 0;
        let first = entries.ticket();
        entries.add();
        let second = entries.ticket();
        let failed = entries.sync_once(second, || Err(io::Error::from_raw_os_error(5)));
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(5));
        for ticket in [second, first, second] {
            entries
                .sync_once(ticket, || {
                    flushes += 1;
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(flushes, 1);
        entries.add();
        entries
            .sync_once(entries.ticket(), || {
                flushes += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(flushes, 2);
    }

    #[test]
    fn the_shard_is_the_first_two_characters() {
        for bytes in [[0u8; 16], [0xff; 16], [0x5a; 16], *b"0123456789abcdef"] {
            let id = SegmentId::from_bytes(bytes);
            let alphabet = "abcdefghijklmnopqrstuvwxyz234567";
            let shard = shard_of(id);
            let expected: String = [shard >> 5, shard & 31]
                .iter()
                .map(|i| alphabet.chars().nth(*i).unwrap())
                .collect();
            assert!(path_of(id).starts_with(&format!("{expected}/{expected}")));
        }
    }

    #[test]
    fn unknown_entries_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::make(root.path()).unwrap();
        let id = SegmentId::from_bytes([7; 16]);
        layout.create(id).unwrap();
        let folder = root.path().join("segments");
        std::fs::write(folder.join("file"), b"x").unwrap();
        std::fs::create_dir(folder.join("long")).unwrap();
        std::fs::write(folder.join(&path_of(id)[..2]).join("notes.txt"), b"x").unwrap();
        assert_eq!(layout.list(None, 9).unwrap(), [id]);
        assert_eq!(layout.list(Some(id), 9).unwrap(), []);
        assert_eq!(layout.length(id).unwrap(), 0);
    }
}
