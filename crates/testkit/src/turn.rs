//! Who may use the machine now.
//!
//! Tests that fill a memory box or measure time disturb, and are disturbed by, whatever runs beside
//! them. The rule must hold for threads of one test binary and for the processes that a runner
//! starts beside each other, so it is a lock on a file beside the test binaries, not a mutex: most
//! tests share it, the loud ones hold it alone. Those whose server lives in a memory box of its own
//! need only a processor, so a few of them run at a time.

use std::fs::{File, TryLockError};

use anyhow::{Context, Result};

/// Tests with a box of their own that run at a time: each rests for half of its time.
const BOXES_MAX: usize = 3;

/// A turn on the machine; it ends when this is dropped. Take it as the first thing in a test.
#[derive(Debug)]
#[must_use = "the turn ends at once if it is not kept"]
pub struct Turn {
    _lock: File,
    _place: Option<File>,
}

impl Turn {
    fn file() -> Result<File> {
        Self::named("ddx-testkit.turn")
    }

    fn named(name: &str) -> Result<File> {
        let path = std::env::current_exe()?.with_file_name(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))
    }

    /// Runs beside other tests.
    pub fn shared() -> Result<Self> {
        let lock = Self::file()?;
        lock.lock_shared().context("wait for a shared turn")?;
        Ok(Self {
            _lock: lock,
            _place: None,
        })
    }

    /// Runs beside other tests, and few of this kind.
    pub fn boxed() -> Result<Self> {
        let place = Self::place()?;
        Ok(Self {
            _place: Some(place),
            ..Self::shared()?
        })
    }

    fn place() -> Result<File> {
        let places: Vec<File> = (0..BOXES_MAX)
            .map(|at| Self::named(&format!("ddx-testkit.turn-{at}")))
            .collect::<Result<_>>()?;
        // By its process, so that those who wait are spread over the places.
        let own = std::process::id() as usize % BOXES_MAX;
        let mut waits_for = None;
        for (at, place) in places.into_iter().enumerate() {
            match place.try_lock() {
                Ok(()) => return Ok(place),
                Err(TryLockError::WouldBlock) if at == own => waits_for = Some(place),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).context("lock a place"),
            }
        }
        let place = waits_for.context("there is a place for each process")?;
        place.lock().context("wait for a place")?;
        Ok(place)
    }

    /// Runs while no other test does.
    pub fn alone() -> Result<Self> {
        let lock = Self::file()?;
        lock.lock().context("wait for a turn alone")?;
        Ok(Self {
            _lock: lock,
            _place: None,
        })
    }
}
