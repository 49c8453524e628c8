//! Who was promised how much of the disk.
//!
//! An upload must not fail at 99 %. So what is promised (a known length at creation, the next step
//! of an unknown one) is checked against what is free *and not promised yet*, and the floor stays
//! out of reach. Two kinds of promises:
//!
//! - The file system keeps it (`fallocate`): it is no longer free, survives restarts, and goes with
//!   the file.
//! - We keep it, as a [`Reservation`]: for lengths that are unknown, and on file systems without
//!   `fallocate`. It shrinks as bytes are written, since the file system then counts them, and ends
//!   with the process.
//!
//! Some file systems count late: on btrfs `statvfs` shows neither what was written nor what was
//! deleted before the next commit, half a minute later. There, what was promised stays promised
//! until the file system has been made to commit, which is asked of it when it decides whether
//! something fits.
//!
//! Where files live in memory (tmpfs, ramfs), what is free is also what the ledger has to give: a
//! file there is memory without a lease.
//!
//! Rejected: asking the file system before every write. That is a system call per write, and two
//! that ask at once both hear "yes".

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ddx_memory::{Account, Ledger};

use super::config::LocalDiskConfig;
use crate::{Error, Space};

/// The reservations of one disk.
pub(super) struct Reservations {
    folder: OwnedFd,
    config: LocalDiskConfig,
    /// Where the file system lives in memory.
    memory: Option<Ledger>,
    /// Σ of all reservations.
    reserved: AtomicU64,
    /// Where the file system counts late.
    late: Option<Late>,
    /// How many claims are being turned into `fallocate`d blocks: meanwhile they count twice.
    handing_over: Mutex<u64>,
    handed_over: Condvar,
}

/// What the file system has not counted yet.
#[derive(Default)]
struct Late {
    /// Written or reserved since the last commit that we asked for, in bytes.
    bytes: AtomicU64,
    /// Whether something was deleted since then.
    has_freed: AtomicBool,
    committed: Mutex<Option<Instant>>,
}

/// It is not asked to commit more often than this, unless a claim depends on it.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// It is asked this often while it is looked at: by itself it would have committed by then.
const COMMIT_AT_LAST: Duration = Duration::from_secs(60);
/// So little above the floor is looked at twice.
const NEARLY_FULL_BYTES: u64 = 4 << 20;

impl Late {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    fn is_behind(&self) -> bool {
        self.bytes() > 0 || self.has_freed.load(Ordering::Acquire)
    }

    /// Makes the file system count what has been done until now.
    fn commit(&self, folder: &OwnedFd) -> Result<(), Error> {
        let mut committed = self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counted = self.bytes();
        self.has_freed.store(false, Ordering::Release);
        rustix::fs::syncfs(folder)
            .map_err(|e| Error::io("flush the file system of the data folder", e))?;
        self.bytes.fetch_sub(counted, Ordering::AcqRel);
        *committed = Some(Instant::now());
        Ok(())
    }

    /// Whether a look at the disk, by which so much is free above the floor, is worth a commit.
    fn wants_commit(&self, available_bytes: u64) -> bool {
        let committed = self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let since = committed.map_or(Duration::MAX, |at| at.elapsed());
        let is_near = available_bytes < NEARLY_FULL_BYTES.max(self.bytes());
        self.is_behind() && (since >= COMMIT_AT_LAST || (is_near && since >= COMMIT_EVERY))
    }
}

impl Reservations {
    /// The disk on which this folder lies. `memory` where that is no disk; `counts_late` if it
    /// takes its time to count.
    pub(super) fn new(
        folder: OwnedFd,
        config: LocalDiskConfig,
        memory: Option<Ledger>,
        counts_late: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            folder,
            config,
            memory,
            reserved: AtomicU64::new(0),
            late: counts_late.then(Late::default),
            handing_over: Mutex::new(0),
            handed_over: Condvar::new(),
        })
    }

    /// How full the disk is.
    pub(super) fn space(&self) -> Result<Space, Error> {
        let space = self.look()?;
        match &self.late {
            Some(late) if late.wants_commit(space.available_bytes()) => {
                late.commit(&self.folder)?;
                self.look()
            }
            _ => Ok(space),
        }
    }

    /// So many bytes were written or reserved that the file system may not have counted yet.
    pub(super) fn written(&self, bytes: u64) {
        if let Some(late) = &self.late {
            late.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// Something was deleted.
    pub(super) fn freed(&self) {
        if let Some(late) = &self.late {
            late.has_freed.store(true, Ordering::Release);
        }
    }

    /// One look at the disk.
    fn look(&self) -> Result<Space, Error> {
        // In this order: what is written in between is counted twice, and not never.
        let late = self.late.as_ref().map_or(0, Late::bytes);
        let reserved_bytes = late + self.reserved.load(Ordering::Acquire);
        let disk = rustix::fs::fstatvfs(&self.folder)
            .map_err(|e| Error::io("read how much space is free in the data folder", e))?;
        let total_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        let floor_bytes = self.config.floor_bytes(total_bytes);
        // What root may use beyond it is there for repairs, not for uploads.
        let on_disk = disk.f_bavail.saturating_mul(disk.f_frsize);
        let free_bytes = self.memory.as_ref().map_or(on_disk, |ledger| {
            let in_memory = ledger.snapshot().account(Account::Free);
            on_disk.min(in_memory.saturating_add(floor_bytes))
        });
        Ok(Space {
            total_bytes,
            free_bytes,
            floor_bytes,
            reserved_bytes,
        })
    }

    /// Promises `bytes` out of what is not promised yet.
    pub(super) fn claim(self: &Arc<Self>, bytes: u64) -> Result<Reservation, Error> {
        let mut handing_over = self
            .handing_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut has_committed = false;
        loop {
            let space = self.look()?;
            if bytes <= space.available_bytes() {
                return Ok(self.reserve_unchecked(bytes));
            }
            if let Some(late) = self.late.as_ref().filter(|late| late.is_behind())
                && !has_committed
            {
                has_committed = true;
                late.commit(&self.folder)?;
                continue;
            }
            if *handing_over == 0 {
                return Err(no_space(bytes, space));
            }
            // Another claim stands twice in the sum just now; whether this one fits shows when
            // it doesn't.
            handing_over = self
                .handed_over
                .wait(handing_over)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Promises without asking: for bytes that were ours a moment ago.
    pub(super) fn reserve_unchecked(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.reserved.fetch_add(bytes, Ordering::AcqRel);
        Reservation {
            reservations: self.clone(),
            left_bytes: AtomicU64::new(bytes),
        }
    }

    /// Runs `reserve`, which makes the file system keep `bytes` in place of us.
    pub(super) fn hand_over<T>(
        self: &Arc<Self>,
        bytes: u64,
        reserve: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let claim = self.claim(bytes)?;
        let _handing_over = HandOver::begin(self);
        let reserved = reserve();
        self.written(bytes);
        if let Some(ledger) = &self.memory {
            // What was reserved is used now, and must not be leased.
            ledger.sample();
        }
        drop(claim);
        reserved
    }

    /// What to answer when the file system said that it is full.
    pub(super) fn full(&self, needed_bytes: u64) -> Error {
        match self.space() {
            Ok(space) => no_space(needed_bytes, space),
            Err(error) => error,
        }
    }
}

fn no_space(needed_bytes: u64, space: Space) -> Error {
    Error::no_space(
        needed_bytes,
        space.free_bytes.saturating_sub(space.reserved_bytes),
        space.floor_bytes,
    )
}

/// While it lives, claims that don't fit wait for it instead of being refused.
struct HandOver<'a>(&'a Reservations);

impl<'a> HandOver<'a> {
    fn begin(reservations: &'a Reservations) -> Self {
        *reservations
            .handing_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        Self(reservations)
    }
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        *self
            .0
            .handing_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.handed_over.notify_all();
    }
}

/// Bytes promised to one segment and not written yet. What is left of it goes back when it is
/// dropped.
pub(super) struct Reservation {
    reservations: Arc<Reservations>,
    left_bytes: AtomicU64,
}

impl Reservation {
    /// How much of it is left, in bytes.
    pub(super) fn left_bytes(&self) -> u64 {
        self.left_bytes.load(Ordering::Acquire)
    }

    /// So many bytes were written: the file system counts them now.
    pub(super) fn used(&self, bytes: u64) {
        let take = |left: u64| Some(left.saturating_sub(bytes));
        let before = self
            .left_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .unwrap_or_default();
        self.reservations.written(before.min(bytes));
        self.reservations
            .reserved
            .fetch_sub(before.min(bytes), Ordering::AcqRel);
    }

    /// Takes another promise into this one.
    pub(super) fn join(&self, other: &Reservation) {
        let bytes = other.left_bytes.swap(0, Ordering::AcqRel);
        self.left_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Gives back what is left, also while others hold it.
    pub(super) fn give_back(&self) {
        let left = self.left_bytes.swap(0, Ordering::AcqRel);
        self.reservations.reserved.fetch_sub(left, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// The reservations of the disk under the temporary folder, whose floor leaves `available`
    /// bytes.
    fn reservations(available: u64) -> (tempfile::TempDir, Arc<Reservations>) {
        // tmpfs: others don't write there so much that the figures move between two calls.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let open = || OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        let free = Reservations::new(open(), LocalDiskConfig::default(), None, false)
            .space()
            .unwrap()
            .free_bytes;
        let config = LocalDiskConfig {
            free_floor_bytes: Some(free - available),
            ..LocalDiskConfig::default()
        };
        let reservations = Reservations::new(open(), config, None, false);
        (folder, reservations)
    }

    #[test]
    fn promises_end_at_the_floor_and_come_back() {
        let (_folder, reservations) = reservations(100 << 20);
        let most = reservations.claim(60 << 20).unwrap();
        let refused = reservations.claim(60 << 20).map(drop).unwrap_err();
        let ErrorKind::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        } = refused.kind()
        else {
            panic!("{refused}");
        };
        assert_eq!(needed_bytes, 60 << 20);
        assert!(free_bytes < floor_bytes + (60 << 20));
        most.used(50 << 20);
        assert_eq!(reservations.space().unwrap().reserved_bytes, 10 << 20);
        let more = reservations.claim(60 << 20).unwrap();
        most.join(&more);
        assert_eq!((most.left_bytes(), more.left_bytes()), (70 << 20, 0));
        drop(more);
        assert_eq!(reservations.space().unwrap().reserved_bytes, 70 << 20);
        most.used(u64::MAX);
        assert_eq!(reservations.space().unwrap().reserved_bytes, 0);
        most.join(&reservations.reserve_unchecked(5));
        most.give_back();
        drop(most);
        assert_eq!(reservations.space().unwrap().reserved_bytes, 0);
    }

    /// Two that fit together must both get in, even if the second asks while the first stands twice
    /// in the reservations.
    #[test]
    fn a_claim_waits_for_the_one_that_is_handed_over() {
        let (folder, reservations) = reservations(100 << 20);
        let handed_over = reservations
            .hand_over(60 << 20, || {
                let file = std::fs::File::create(folder.path().join("kept")).unwrap();
                rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 60 << 20)
                    .unwrap();
                // Now 60 are gone from the disk and 60 stand in the reservations: 30 more wait.
                let other = reservations.clone();
                let waiting = std::thread::spawn(move || {
                    other
                        .claim(30 << 20)
                        .map(|reservation| reservation.left_bytes())
                });
                Ok(waiting)
            })
            .unwrap();
        assert_eq!(handed_over.join().unwrap().unwrap(), 30 << 20);
        let refused = reservations.claim(60 << 20).map(drop).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::NoSpace { .. }));
    }
}
