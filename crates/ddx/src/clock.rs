//! What a run of the server tells the next about the time: the file `clock` in the data folder.
//!
//! It has one line: the boot's id (`-` if unknown), the time of day and the time since boot when it
//! was written, and how far the time of day was ahead, all in milliseconds.
//!
//! It is written once a minute, and at once after a jump. It is not written before the clock has
//! settled: until then, what the last run wrote is more certain. Where it can't be written, the
//! next start knows less, which is no reason to stop.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ddx_engine::{LastRun, Moment, SteadyClock};

use crate::settings::Settings;

const FILE_NAME: &str = "clock";
/// Written under this name, and then renamed.
const NEXT_NAME: &str = "clock.next";

/// How often both clocks are compared while nothing else asks for the time.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The file is written at every so many-th check where nothing has changed.
const CHECKS_PER_SAVE: u32 = 60;

/// The clock that deadlines live by, and its file.
#[derive(Debug, Clone)]
pub(crate) struct ClockFile {
    folder: PathBuf,
    boot_id: String,
    clock: Arc<SteadyClock>,
}

impl ClockFile {
    /// The clock that goes on from the last run in this folder; a new one where the folder
    /// `is_new`.
    pub(crate) fn open(folder: &Path, settings: &Settings, is_new: bool) -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot_id = boot_id.trim().to_owned();
        let now = Moment::now();
        let clock = if is_new {
            SteadyClock::new(settings.clock_jump, now)
        } else {
            let last = fs::read_to_string(folder.join(FILE_NAME)).ok();
            let last = last.and_then(|text| read(&text, &boot_id));
            SteadyClock::after(last, settings.clock_jump, settings.clock_settles, now)
        };
        Self {
            folder: folder.to_owned(),
            boot_id,
            clock: Arc::new(clock),
        }
    }

    pub(crate) fn clock(&self) -> Arc<SteadyClock> {
        self.clock.clone()
    }

    /// Writes the file again and again, without an end.
    pub(crate) async fn keep_saved(self) {
        let mut saved = None;
        for check in 0_u32.. {
            let known = self.clock.known(Moment::now());
            let state = (known.jumps, known.is_settled);
            if saved != Some(state) || check % CHECKS_PER_SAVE == 0 {
                let file = self.clone();
                // It fails only where it panicked or the runtime ends; the next save tries again.
                let _ = tokio::task::spawn_blocking(move || file.save()).await;
                saved = Some(state);
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Writes the file, if the clock has settled.
    pub(crate) fn save(&self) {
        if let Err(error) = self.try_save() {
            tracing::warn!(%error, "the file `clock` in the data folder can't be written: after the next start expired files are deleted later than they could be; see to the disk");
        }
    }

    fn try_save(&self) -> io::Result<()> {
        let now = Moment::now();
        let known = self.clock.known(now);
        if !known.is_settled {
            return Ok(());
        }
        let ahead_ms = known.ahead_ms;
        // Read again it is no boot's id, so both runs are taken for those of different boots.
        let boot_id = match self.boot_id.as_str() {
            "" => "-",
            known => known,
        };
        let next = self.folder.join(NEXT_NAME);
        let mut file = File::create(&next)?;
        writeln!(file, "{boot_id} {} {} {ahead_ms}", now.unix_ms, now.boot_ms)?;
        file.sync_data()?;
        fs::rename(&next, self.folder.join(FILE_NAME))
    }
}

/// Reads the line of the file; `None` if it is not one.
fn read(text: &str, boot_id: &str) -> Option<LastRun> {
    let mut fields = text.split_ascii_whitespace();
    let same_boot = fields.next()? == boot_id;
    let mut number = || fields.next()?.parse::<i64>().ok();
    let seen = Moment {
        unix_ms: number()?,
        boot_ms: number()?,
    };
    Some(LastRun {
        seen,
        ahead_ms: number()?,
        same_boot,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn what_is_no_such_file_tells_nothing() {
        for text in ["", "id", "id 1 2", "id 1 2 x", "1 2 3"] {
            assert_eq!(read(text, "id"), None, "{text:?}");
        }
        let last = read("id 1000 20 -3\n", "id").expect("it is one");
        assert!(last.same_boot);
        assert_eq!((last.seen.unix_ms, last.seen.boot_ms), (1000, 20));
        assert_eq!(last.ahead_ms, -3);
        assert!(!read("id 1 2 3", "other").expect("it is one").same_boot);
        assert!(!read("- 1 2 3", "").expect("it is one").same_boot);
    }
}
