//! What is known of segments beyond their files: who writes, what was promised, and what may be
//! lost.
//!
//! Three things a file can't tell. That a writer is open: a second one would cut the file under it.
//! What space was promised where the file system keeps no promises. And down to where bytes are
//! beyond doubt: after a failed write-back the kernel takes the pages for clean, so a new
//! descriptor would sync them "successfully"; therefore no writer may go on behind the last offset
//! that was synced before. Only segments with something to tell have an entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddx_id::SegmentId;

use super::space::Reservation;
use crate::{Error, ErrorKind};

#[derive(Default)]
pub(super) struct Registry(Mutex<HashMap<SegmentId, Entry>>);

#[derive(Default)]
struct Entry {
    writer_open: bool,
    promise: Option<Promise>,
    doubt: Option<Doubt>,
}

/// What we keep because the file system doesn't.
#[derive(Clone)]
pub(super) struct Promise {
    /// The length promised.
    pub(super) until: u64,
    pub(super) reservation: Arc<Reservation>,
}

#[derive(Clone, Copy)]
struct Doubt {
    /// The last offset that was synced.
    safe_until: u64,
    /// Whether something beyond it was lost, and not only not synced.
    lost: bool,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.writer_open && self.promise.is_none() && self.doubt.is_none()
    }
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, HashMap<SegmentId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, id: SegmentId, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries();
        let entry = entries.entry(id).or_default();
        let result = change(entry);
        if entry.is_empty() {
            entries.remove(&id);
        }
        result
    }

    /// Notes that a writer opens at `at`, if it may.
    pub(super) fn open(self: &Arc<Self>, id: SegmentId, at: u64) -> Result<OpenMark, Error> {
        self.change(id, |entry| {
            if entry.writer_open {
                return Err(Error::writer_open(id));
            }
            if let Some(doubt) = entry
                .doubt
                .filter(|doubt| doubt.lost && at > doubt.safe_until)
            {
                let safe = doubt.safe_until;
                let detail = format!(
                    "the disk lost bytes of segment {id} after byte {safe}, and byte {at} was asked for"
                );
                return Err(Error::new(ErrorKind::Corrupt, detail));
            }
            entry.writer_open = true;
            let safe_until = entry.doubt.map_or(at, |doubt| doubt.safe_until.min(at));
            Ok(OpenMark {
                registry: self.clone(),
                id,
                safe_until,
            })
        })
    }

    /// The promise to this segment, if we keep one.
    pub(super) fn promise(&self, id: SegmentId) -> Option<Promise> {
        self.entries().get(&id)?.promise.clone()
    }

    /// Keeps a promise to this segment; one that was kept before is joined to it.
    pub(super) fn keep(&self, id: SegmentId, until: u64, reservation: Reservation) {
        self.change(id, |entry| match &mut entry.promise {
            Some(promise) => {
                promise.until = promise.until.max(until);
                promise.reservation.join(&reservation);
            }
            None => {
                entry.promise = Some(Promise {
                    until,
                    reservation: Arc::new(reservation),
                })
            }
        });
    }

    /// A promise of which nothing is left is none.
    pub(super) fn forget_promise_if_used_up(&self, id: SegmentId, reservation: &Arc<Reservation>) {
        self.change(id, |entry| {
            if entry.promise.as_ref().is_some_and(|p| {
                Arc::ptr_eq(&p.reservation, reservation) && reservation.left_bytes() == 0
            }) {
                entry.promise = None;
            }
        });
    }

    /// The segment is gone, and with it what was promised to it and what was wrong with it.
    pub(super) fn deleted(&self, id: SegmentId) {
        self.change(id, |entry| {
            entry.doubt = None;
            if let Some(promise) = entry.promise.take() {
                promise.reservation.give_back();
            }
        });
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries().len()
    }
}

/// That a writer is open; ends when dropped.
pub(super) struct OpenMark {
    registry: Arc<Registry>,
    id: SegmentId,
    safe_until: u64,
}

impl OpenMark {
    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    /// To here the bytes below the writer's beginning are known to be durable.
    pub(super) fn safe_until(&self) -> u64 {
        self.safe_until
    }

    /// Everything written is durable.
    pub(super) fn all_safe(&self) {
        self.registry.change(self.id, |entry| entry.doubt = None);
    }

    /// What lies beyond `safe_until` was not synced, but there is no sign that it was lost.
    pub(super) fn safe_only_until(&self, safe_until: u64) {
        self.registry.change(self.id, |entry| {
            entry.doubt = Some(Doubt {
                safe_until,
                lost: false,
            })
        });
    }

    /// The disk failed to keep something beyond `safe_until`.
    pub(super) fn lost_after(&self, safe_until: u64) {
        self.registry.change(self.id, |entry| {
            entry.doubt = Some(Doubt {
                safe_until,
                lost: true,
            })
        });
    }
}

impl Drop for OpenMark {
    fn drop(&mut self) {
        self.registry
            .change(self.id, |entry| entry.writer_open = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SegmentId = SegmentId::from_bytes([3; 16]);

    #[test]
    fn one_writer_at_a_time_and_no_entry_without_need() {
        let registry = Arc::new(Registry::default());
        let first = registry.open(ID, 5).unwrap();
        assert_eq!((first.id(), first.safe_until()), (ID, 5));
        assert_eq!(
            registry.open(ID, 5).map(drop).unwrap_err().kind(),
            ErrorKind::WriterOpen
        );
        drop(first);
        assert_eq!(registry.len(), 0);
        drop(registry.open(ID, 5).unwrap());
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn nobody_builds_on_bytes_that_were_lost() {
        let registry = Arc::new(Registry::default());
        let writer = registry.open(ID, 0).unwrap();
        writer.safe_only_until(100);
        drop(writer);
        // Not synced but not lost: going on at 200 is fine, but only 100 are beyond doubt.
        let writer = registry.open(ID, 200).unwrap();
        assert_eq!(writer.safe_until(), 100);
        writer.lost_after(writer.safe_until());
        drop(writer);
        assert_eq!(
            registry.open(ID, 101).map(drop).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        let writer = registry.open(ID, 100).unwrap();
        writer.all_safe();
        drop(writer);
        assert_eq!(registry.len(), 0);
        registry.open(ID, 0).unwrap().lost_after(0);
        registry.deleted(ID);
        assert_eq!(registry.len(), 0);
    }
}
