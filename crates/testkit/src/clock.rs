//! A clock that jumps while the server runs, as the clocks of small machines do when they learn the
//! time.
//!
//! Only the time of day is changed, by libfaketime (Debian: `faketime`), which a server under test
//! is started with. The monotonic clock runs on as it does when a machine's clock is set: what must
//! not depend on the time of day is found out that way.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// A clock that is ahead of, or behind, the machine's by as much as the test says.
#[derive(Debug)]
pub struct FakeClock {
    folder: tempfile::TempDir,
    library: PathBuf,
    ahead_seconds: std::sync::atomic::AtomicI64,
}

impl FakeClock {
    /// A clock that is right so far.
    pub fn new() -> Result<Self> {
        let clock = Self {
            folder: tempfile::Builder::new().prefix("ddx-clock-").tempdir()?,
            library: library().context(
                "libfaketime is not installed (Debian: `faketime`); `make test` installs what the tests need",
            )?,
            ahead_seconds: 0.into(),
        };
        clock.jump_to(0)?;
        Ok(clock)
    }

    /// Sets it this far ahead of the machine's clock, or behind it, at once.
    pub fn jump_to(&self, ahead_seconds: i64) -> Result<()> {
        let (beside, file) = (self.folder.path().join("next"), self.file());
        std::fs::write(&beside, format!("{ahead_seconds:+}\n"))?;
        // The library reads it at each call, and must never find it half written.
        std::fs::rename(&beside, &file)?;
        self.ahead_seconds
            .store(ahead_seconds, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    /// The time that it tells.
    pub fn now(&self) -> SystemTime {
        let ahead = self.ahead_seconds.load(std::sync::atomic::Ordering::SeqCst);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 {
            SystemTime::now() - by
        } else {
            SystemTime::now() + by
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// What a process is started with to live by this clock.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD", text(self.library.clone())),
            ("FAKETIME_TIMESTAMP_FILE", text(self.file())),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()), // the same in older versions
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// The variant of the library for programs with threads.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.is_file())
}
