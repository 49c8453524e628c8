//! What the disk had when it was looked at last, for what is too small to look again: see `space`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_storage::Space;
use tokio::time::Instant;

/// How long a look at the disk counts.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The last look at the disk, and what was admitted since.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    at: Instant,
    /// What was free above the floor.
    available_bytes: u64,
    /// What has been admitted since, and may not be written yet.
    admitted_bytes: u64,
}

impl LastLook {
    fn look(&self) -> MutexGuard<'_, Option<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits so many bytes if the last look still counts and leaves room for them.
    pub(crate) fn admits(&self, bytes: u64) -> bool {
        let mut look = self.look();
        let Some(look) = look.as_mut().filter(|look| look.at.elapsed() < LOOK_EVERY) else {
            return false;
        };
        let admitted_bytes = look.admitted_bytes.saturating_add(bytes);
        let fits = admitted_bytes <= look.available_bytes;
        if fits {
            look.admitted_bytes = admitted_bytes;
        }
        fits
    }

    /// Another look. What was admitted a moment before may not be written yet, so it stays counted
    /// until the look before is over.
    pub(crate) fn renew(&self, space: &Space) {
        let mut look = self.look();
        let available_bytes = space.available_bytes();
        match look.as_mut() {
            Some(recent) if recent.at.elapsed() < LOOK_EVERY => {
                recent.available_bytes = available_bytes;
            }
            _ => {
                *look = Some(Look {
                    at: Instant::now(),
                    available_bytes,
                    admitted_bytes: 0,
                });
            }
        }
    }
}
