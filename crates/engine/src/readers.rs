//! Who may read a file whose number of downloads is limited, and when one of them is used up.
//!
//! A download is one reader's: it counts when that reader has had every byte, in however many requests. Until then the reader has a lease, so
//! that a cut download can be continued and several connections can share one. What a preview takes holds no lease against others.
//! Leases are in memory: after a restart a reader that has had a part begins a new one, which costs nobody a download.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_catalog::FileRecord;
use tokio::sync::Notify;

use crate::engine::{Engine, Parts, after};
use crate::error::Error;
use crate::id::Id;

/// Leases that are remembered at once, of all files.
const LEASES_MAX: usize = 16_384;
/// Pieces that are remembered of what one reader had. Where there are more the closest two become one, which counts a download early, never late.
const PIECES_MAX: usize = 256;
/// A client that has its last byte may ask anew before this is noted here: so long is waited for it.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

/// Who reads, as far as can be told.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The lease that the client says is its own.
    pub lease: Option<Id>,
    /// Where it asks from, and by which program.
    pub traits: String,
}

#[derive(Debug)]
struct Lease {
    id: Id,
    traits: String,
    had: Vec<Range<u64>>,
    requests: usize,
    expires_at: i64,
    is_counted: bool,
}

impl Lease {
    fn had_bytes(&self) -> u64 {
        self.had.iter().map(|it| it.end - it.start).sum()
    }

    /// Whether it keeps a download from others.
    fn holds(&self, preview_bytes: u64) -> bool {
        !self.is_counted && (self.requests > 0 || self.had_bytes() > preview_bytes)
    }

    fn add(&mut self, range: Range<u64>) {
        let begin = self.had.partition_point(|it| it.end < range.start);
        let end = self.had.partition_point(|it| it.start <= range.end);
        let touched = self.had.get(begin..end).unwrap_or_default();
        let start = touched
            .first()
            .map_or(range.start, |it| it.start.min(range.start));
        let stop = touched.last().map_or(range.end, |it| it.end.max(range.end));
        let piece = std::iter::once(start..stop);
        self.had.splice(begin..end.max(begin), piece);
        if self.had.len() > PIECES_MAX {
            let gaps = self.had.windows(2).enumerate();
            let closest = gaps.min_by_key(|(_, pair)| pair[1].start - pair[0].end);
            if let Some((at, _)) = closest {
                let next = self.had.remove(at + 1);
                self.had[at].end = next.end;
            }
        }
    }
}

#[derive(Debug, Default)]
struct File {
    /// As many downloads as are known to be used up.
    downloads: u64,
    leases: Vec<Lease>,
}

/// The leases of all files.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    files: Mutex<HashMap<Id, File>>,
    changed: Notify,
}

impl Readers {
    fn files(&self) -> MutexGuard<'_, HashMap<Id, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is over. Whether one more has place.
    fn has_place(files: &mut HashMap<Id, File>, now: i64) -> bool {
        if files.values().map(|file| file.leases.len()).sum::<usize>() < LEASES_MAX {
            return true;
        }
        files.retain(|_, file| {
            file.leases
                .retain(|lease| lease.requests > 0 || lease.expires_at > now);
            !file.leases.is_empty()
        });
        files.values().map(|file| file.leases.len()).sum::<usize>() < LEASES_MAX
    }
}

/// One request's part in a lease.
pub struct Reading {
    parts: Arc<Parts>,
    file_id: Id,
    length_bytes: u64,
    lease: Id,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("file", &self.file_id)
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// What names the lease. Only its reader should know it.
    #[must_use]
    pub fn lease(&self) -> Id {
        self.lease
    }

    /// These bytes of the file went out. With the last one the download counts.
    pub(crate) fn had(&self, range: Range<u64>) {
        let mut files = self.parts.readers.files();
        let Some(file) = files.get_mut(&self.file_id) else {
            return;
        };
        let Some(lease) = file.leases.iter_mut().find(|it| it.id == self.lease) else {
            return;
        };
        lease.add(range);
        if lease.is_counted || lease.had_bytes() < self.length_bytes {
            return;
        }
        lease.is_counted = true;
        file.downloads += 1;
        drop(files);
        let (parts, file_id) = (self.parts.clone(), self.file_id);
        let count = async move {
            let counted = parts.catalog.count_download(file_id.0, parts.now()).await;
            if let Err(error) = counted {
                tracing::error!(file = ?file_id, error = &error as &dyn std::error::Error, "a download was not counted");
            }
        };
        self.parts.tasks.spawn(count);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut files = self.parts.readers.files();
        let lease = files
            .get_mut(&self.file_id)
            .and_then(|file| file.leases.iter_mut().find(|it| it.id == self.lease));
        if let Some(lease) = lease {
            lease.requests -= 1;
            let lasts = self.parts.config.download_lease;
            lease.expires_at = after(self.parts.now(), lasts);
        }
        drop(files);
        self.parts.readers.changed.notify_waiters();
    }
}

impl Engine {
    /// Lets a reader have bytes of a file whose number of downloads is limited; `is_whole` if it asks for all of them.
    ///
    /// # Errors
    /// [`Error::DownloadsUsedUp`]; [`Error::DownloadTaken`] while others have all that is left; [`Error::ReadOnly`] where
    /// it could not be counted.
    pub async fn read_limited(
        &self,
        record: &FileRecord,
        limit: u64,
        reader: &Reader,
        is_whole: bool,
    ) -> Result<Reading, Error> {
        let parts = &self.0;
        self.try_change().await?;
        if is_whole {
            let _ = tokio::time::timeout(NOTED_WITHIN, parts.before_is_noted(record, reader)).await;
        }
        let (file_id, now) = (Id(record.file_id), parts.now());
        let preview_bytes = parts.config.preview_bytes;
        let mut files = parts.readers.files();
        let has_place = Readers::has_place(&mut files, now);
        let file = files.entry(file_id).or_default();
        file.downloads = file.downloads.max(record.downloads);
        file.leases
            .retain(|lease| lease.requests > 0 || lease.expires_at > now);
        let is_theirs =
            |lease: &Lease| Some(lease.id) == reader.lease || lease.traits == reader.traits;
        let own = file
            .leases
            .iter()
            .position(|lease| is_theirs(lease) && !lease.is_counted)
            .or_else(|| {
                // What it has had it may have again in pieces: not all that went out has arrived.
                let counted = |lease: &Lease| is_theirs(lease) && lease.is_counted && !is_whole;
                file.leases.iter().position(counted)
            });
        let others = file.leases.iter().enumerate();
        let held = others.filter(|(at, lease)| Some(*at) != own && lease.holds(preview_bytes));
        let is_free = file.downloads.saturating_add(held.count() as u64) < limit;
        let goes_on = own.is_some_and(|at| file.leases[at].is_counted);
        if !goes_on && !is_free {
            return Err(match file.downloads >= limit {
                true => Error::DownloadsUsedUp { limit },
                false => Error::DownloadTaken,
            });
        }
        let at = match own {
            Some(at) => at,
            None if !has_place => return Err(Error::DownloadTaken),
            None => {
                file.leases.push(Lease {
                    id: parts.surroundings.id(),
                    traits: reader.traits.clone(),
                    had: Vec::new(),
                    requests: 0,
                    expires_at: now,
                    is_counted: false,
                });
                file.leases.len() - 1
            }
        };
        let lease = &mut file.leases[at];
        lease.requests += 1;
        Ok(Reading {
            parts: parts.clone(),
            file_id,
            length_bytes: record.offset_bytes,
            lease: lease.id,
        })
    }
}

impl Parts {
    /// Returns when no request of this reader's is under way.
    async fn before_is_noted(&self, record: &FileRecord, reader: &Reader) {
        loop {
            let mut changed = std::pin::pin!(self.readers.changed.notified());
            changed.as_mut().enable();
            let is_busy = {
                let files = self.readers.files();
                let leases = files.get(&Id(record.file_id)).map(|file| &file.leases);
                leases.into_iter().flatten().any(|lease| {
                    lease.requests > 0
                        && (Some(lease.id) == reader.lease || lease.traits == reader.traits)
                })
            };
            if !is_busy {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease {
            id: Id::random(),
            traits: String::new(),
            had: Vec::new(),
            requests: 0,
            expires_at: 0,
            is_counted: false,
        }
    }

    #[test]
    fn pieces_in_any_order_are_had_once() {
        let mut lease = lease();
        for range in [10..20, 40..50, 0..5, 15..30, 5..10, 30..40, 45..46] {
            lease.add(range);
        }
        assert_eq!(lease.had.len(), 1, "all that touches is one piece");
        assert_eq!(lease.had.first(), Some(&(0..50)));
        lease.add(60..70);
        lease.add(52..58);
        assert_eq!(lease.had, [0..50, 52..58, 60..70]);
        assert_eq!(lease.had_bytes(), 66);
    }

    #[test]
    fn many_pieces_are_bounded_and_none_is_lost() {
        let mut lease = lease();
        let had: u64 = (0..10_000)
            .map(|at| at * 10)
            .map(|at| {
                lease.add(at..at + 1);
                1
            })
            .sum();
        assert_eq!(lease.had.len(), PIECES_MAX);
        assert!(lease.had_bytes() >= had);
    }
}
