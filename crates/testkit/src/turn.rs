//! Who may use the machine now.
//!
//! Tests that fill a memory box or measure time disturb, and are disturbed by, whatever runs beside them. The rule
//! must hold for threads of one test binary and for the processes that a runner starts beside each other, so it is
//! a lock on a file beside the test binaries, not a mutex: most tests share it, the loud ones hold it alone.

use std::fs::File;

use anyhow::{Context, Result};

/// A turn on the machine; it ends when this is dropped. Take it as the first thing in a test.
#[derive(Debug)]
#[must_use = "the turn ends at once if it is not kept"]
pub struct Turn {
    _lock: File,
}

impl Turn {
    fn file() -> Result<File> {
        let path = std::env::current_exe()?.with_file_name("ddx-testkit.turn");
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
        Ok(Self { _lock: lock })
    }

    /// Runs while no other test does.
    pub fn alone() -> Result<Self> {
        let lock = Self::file()?;
        lock.lock().context("wait for a turn alone")?;
        Ok(Self { _lock: lock })
    }
}
