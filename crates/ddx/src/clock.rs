//! What a run of the server leaves to the next of what it knows of the time: the file `clock` in
//! the data folder.
//!
//! It is written over now and then, and at once after a jump, but not before the clock has settled:
//! what the run before left is then better known. On a disk that takes nothing it stays as it was,
//! and the next start knows less: no reason to stop.

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

/// How often both clocks are compared, where the time is not asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the file is written while nothing happens, in looks.
const LOOKS_PER_SAVE: u32 = 60;

/// The clock that deadlines live by, and its file.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    folder: PathBuf,
    boot_id: String,
    clock: Arc<SteadyClock>,
}

impl Keeper {
    /// The clock that goes on from the last run in this folder; a new one where the folder
    /// `is_new`.
    pub(crate) fn of(folder: &Path, settings: &Settings, is_new: bool) -> Self {
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

    /// Writes the file again and again.
    pub(crate) async fn keep(self) {
        let mut saved = None;
        for look in 0_u32.. {
            let known = self.clock.known(Moment::now());
            let state = (known.jumps, known.is_settled);
            if saved != Some(state) || look % LOOKS_PER_SAVE == 0 {
                let keeper = self.clone();
                let _ = tokio::task::spawn_blocking(move || keeper.save()).await;
                saved = Some(state);
            }
            tokio::time::sleep(LOOK_EVERY).await;
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

/// `None` where it is no such file.
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
