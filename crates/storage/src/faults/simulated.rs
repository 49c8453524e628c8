//! A store in memory that knows what a real disk has not promised yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddx_id::SegmentId;

use super::content::Content;
use crate::conformance::Random;
use crate::{Error, ErrorKind, Reader, Space, Store, WriteMode, Writer};

/// A disk in memory. Clones are the same disk.
///
/// [`open`](SimulatedDisk::open) is a server's start; [`power_cut`](SimulatedDisk::power_cut) ends
/// all that was opened before, and with it what was not synced; [`kill`](SimulatedDisk::kill) ends
/// it too, but the kernel lives on and loses nothing.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    total_bytes: u64,
    floor_bytes: u64,
    others_bytes: u64,
    /// Handles of an earlier life are dead.
    life: u64,
    segments: BTreeMap<SegmentId, Segment>,
    /// Deleted since the last power cut, and perhaps not for good.
    deleted: BTreeMap<SegmentId, Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    content: Arc<Mutex<Content>>,
    /// Whether its entry in the folder is durable.
    is_entered: bool,
    reserved_bytes: u64,
    has_writer: bool,
    /// The disk failed to keep what came after this, and the process knows it.
    safe_until: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(total_bytes: u64, floor_bytes: u64) -> Self {
        let (segments, deleted) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Disk {
            total_bytes,
            floor_bytes,
            others_bytes: 0,
            life: 0,
            segments,
            deleted,
        })))
    }

    /// A store on it, until the next [`power_cut`](SimulatedDisk::power_cut) or
    /// [`kill`](SimulatedDisk::kill).
    #[must_use]
    pub fn open(&self) -> impl Store + use<> {
        let life = lock(&self.0).life;
        Handle {
            disk: self.0.clone(),
            life,
        }
    }

    /// The disk fails to keep what was not synced of this segment: what the kernel then takes for
    /// clean is not written by a later sync, and a writer may be opened before it only.
    pub fn fail(&self, id: SegmentId) {
        if let Some(segment) = lock(&self.0).segments.get_mut(&id) {
            let safe = lock(&segment.content).safe_until();
            let before = segment.safe_until.unwrap_or(safe);
            segment.safe_until = Some(safe.min(before));
        }
    }

    /// Others put this many bytes on the disk, in place of those that they had there before.
    pub fn taken_by_others(&self, bytes: u64) {
        lock(&self.0).others_bytes = bytes;
    }

    /// How full it is, whether a process runs or not.
    #[must_use]
    pub fn space(&self) -> Space {
        lock(&self.0).space()
    }

    /// The process ends between two instructions. What it wrote is in the kernel's hands.
    pub fn kill(&self) {
        let mut disk = lock(&self.0);
        disk.life += 1;
        disk.segments.values_mut().for_each(|segment| {
            segment.has_writer = false;
            segment.safe_until = None;
        });
    }

    /// The power goes: bytes that were not synced, entries that were not, and deletions may be
    /// undone, each by chance.
    pub fn power_cut(&self, random: &mut Random) {
        self.kill();
        let mut disk = lock(&self.0);
        disk.segments
            .retain(|_, segment| segment.is_entered || random.once_in(2));
        for (id, segment) in std::mem::take(&mut disk.deleted) {
            if segment.is_entered && random.once_in(2) {
                disk.segments.entry(id).or_insert(segment);
            }
        }
        for segment in disk.segments.values_mut() {
            segment.is_entered = true;
            segment.has_writer = false;
            lock(&segment.content).lose(random);
        }
    }
}

impl Disk {
    fn space(&self) -> Space {
        let taken = |segment: &Segment| {
            segment
                .reserved_bytes
                .max(lock(&segment.content).bytes.len() as u64)
        };
        let used = self.others_bytes + self.segments.values().map(taken).sum::<u64>();
        Space {
            total_bytes: self.total_bytes,
            free_bytes: self.total_bytes.saturating_sub(used),
            floor_bytes: self.floor_bytes,
            reserved_bytes: 0,
        }
    }

    fn claim(&self, bytes: u64) -> Result<(), Error> {
        let space = self.space();
        if bytes <= space.available_bytes() {
            return Ok(());
        }
        Err(Error::no_space(bytes, space.free_bytes, space.floor_bytes))
    }

    fn segment(&mut self, id: SegmentId) -> Result<&mut Segment, Error> {
        self.segments
            .get_mut(&id)
            .ok_or_else(|| Error::not_found(id))
    }

    fn reserve(&mut self, id: SegmentId, length_bytes: u64) -> Result<(), Error> {
        let segment = self.segment(id)?;
        let taken = segment
            .reserved_bytes
            .max(lock(&segment.content).bytes.len() as u64);
        self.claim(length_bytes.saturating_sub(taken))?;
        let segment = self.segment(id)?;
        segment.reserved_bytes = segment.reserved_bytes.max(length_bytes);
        Ok(())
    }
}

/// A store of one life of the disk.
#[derive(Clone)]
struct Handle {
    disk: Arc<Mutex<Disk>>,
    life: u64,
}

impl Handle {
    fn disk(&self) -> Result<MutexGuard<'_, Disk>, Error> {
        let disk = lock(&self.disk);
        if disk.life == self.life {
            return Ok(disk);
        }
        Err(Error::new(
            ErrorKind::Io { retryable: false },
            "this process has ended",
        ))
    }
}

impl Store for Handle {
    fn create(&self, id: SegmentId, length_bytes: Option<u64>) -> Result<(), Error> {
        let mut disk = self.disk()?;
        if disk.segments.contains_key(&id) {
            return Err(Error::exists(id));
        }
        disk.claim(length_bytes.unwrap_or(1))?;
        let segment = Segment {
            content: Arc::default(),
            is_entered: false,
            reserved_bytes: 0,
            has_writer: false,
            safe_until: None,
        };
        disk.segments.insert(id, segment);
        disk.reserve(id, length_bytes.unwrap_or(0))
    }

    fn reserve(&self, id: SegmentId, length_bytes: u64) -> Result<(), Error> {
        self.disk()?.reserve(id, length_bytes)
    }

    fn open_writer(&self, id: SegmentId, at: u64) -> Result<Box<dyn Writer>, Error> {
        let mut disk = self.disk()?;
        let segment = disk.segment(id)?;
        if segment.has_writer {
            return Err(Error::writer_open(id));
        }
        if let Some(safe) = segment.safe_until.filter(|safe| at > *safe) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the disk failed to keep bytes of segment {id} after {safe}; {at} was asked for"
                ),
            ));
        }
        let mut content = lock(&segment.content);
        let length = content.bytes.len();
        let Some(at) = usize::try_from(at).ok().filter(|at| *at <= length) else {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("segment {id} has {length} bytes, {at} were durable"),
            ));
        };
        content.cut(at);
        drop(content);
        // What was in doubt is cut off.
        segment.safe_until = None;
        segment.has_writer = true;
        let content = segment.content.clone();
        Ok(Box::new(SimulatedWriter {
            handle: self.clone(),
            id,
            content,
            offset: at as u64,
        }))
    }

    fn open_reader(&self, id: SegmentId) -> Result<Box<dyn Reader>, Error> {
        let content = self.disk()?.segment(id)?.content.clone();
        Ok(Box::new(SimulatedReader {
            handle: self.clone(),
            content,
        }))
    }

    fn delete(&self, id: SegmentId) -> Result<(), Error> {
        let mut disk = self.disk()?;
        if let Some(segment) = disk.segments.remove(&id) {
            // An image of its own: a writer that is still open changes nothing that could come
            // back.
            let content = Arc::new(Mutex::new(lock(&segment.content).clone()));
            disk.deleted.insert(id, Segment { content, ..segment });
        }
        Ok(())
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>, Error> {
        let disk = self.disk()?;
        let mut found: Vec<_> = disk
            .segments
            .keys()
            .filter(|id| Some(**id) > after)
            .copied()
            .collect();
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }

    fn length(&self, id: SegmentId) -> Result<u64, Error> {
        let disk = self.disk()?;
        let segment = disk.segments.get(&id).ok_or_else(|| Error::not_found(id))?;
        Ok(lock(&segment.content).bytes.len() as u64)
    }

    fn space(&self) -> Result<Space, Error> {
        Ok(self.disk()?.space())
    }

    fn write_mode(&self) -> WriteMode {
        WriteMode::Windowed {
            reason: "a simulated disk".to_owned(),
        }
    }
}

struct SimulatedWriter {
    handle: Handle,
    id: SegmentId,
    content: Arc<Mutex<Content>>,
    offset: u64,
}

impl SimulatedWriter {
    /// Whether the segment in the table is still the one that is written here.
    fn is_mine(&self, segment: &Segment) -> bool {
        Arc::ptr_eq(&segment.content, &self.content)
    }
}

impl Writer for SimulatedWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let disk = self.handle.disk()?;
        if let Some(segment) = disk
            .segments
            .get(&self.id)
            .filter(|segment| self.is_mine(segment))
        {
            let end = self.offset + bytes.len() as u64;
            disk.claim(end.saturating_sub(segment.reserved_bytes.max(self.offset)))?;
        }
        lock(&self.content).append(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let mut disk = self.handle.disk()?;
        lock(&self.content).sync();
        if let Some(segment) = disk
            .segments
            .get_mut(&self.id)
            .filter(|segment| self.is_mine(segment))
        {
            segment.is_entered = true;
            segment.safe_until = None;
        }
        Ok(())
    }

    fn write_back(&mut self) -> Result<(), Error> {
        self.handle.disk().map(drop)
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

impl Drop for SimulatedWriter {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.handle.disk()
            && let Some(segment) = disk.segments.get_mut(&self.id)
            && Arc::ptr_eq(&segment.content, &self.content)
        {
            segment.has_writer = false;
        }
    }
}

struct SimulatedReader {
    handle: Handle,
    content: Arc<Mutex<Content>>,
}

impl Reader for SimulatedReader {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        drop(self.handle.disk()?);
        let content = lock(&self.content);
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| content.bytes.get(at..))
            .unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
