//! What moves: uploads that are being received now, as others see them.
//!
//! The catalog knows what is durable; this knows what has been written since, how fast, and who
//! waits in the queue. Status pages, event streams and downloads of a file that still arrives read
//! it. Nothing here is needed to be right after a crash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ddx_id::{FileId, ShareId};
use ddx_memory::Place;
use tokio::sync::watch;
use tokio::time::Instant;

/// Over what time a rate is smoothed.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// An upload as it stands at this moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Bytes written from the file's start; some of them may not be durable yet.
    pub written_bytes: u64,
    /// Of these, what no checksum can take back any more: downloads of a file that still arrives
    /// read so far.
    pub readable_bytes: u64,
    /// Bytes a second, smoothed.
    pub rate_bytes_per_second: u64,
    /// Its place in the queue, while it waits for memory.
    pub waiting: Option<Place>,
    /// No more will come in this request: the record tells the rest.
    pub ended: bool,
}

/// One upload's progress, as its writer tells it.
#[derive(Debug)]
pub(crate) struct Live {
    sender: watch::Sender<Progress>,
    pace: Mutex<Pace>,
    /// What arrives counts only once its digest was checked.
    is_unchecked: bool,
}

#[derive(Debug)]
struct Pace {
    since: Instant,
    since_bytes: u64,
    rate: f64,
}

impl Live {
    fn new(written_bytes: u64, is_unchecked: bool) -> Self {
        Self {
            sender: watch::Sender::new(Progress {
                written_bytes,
                readable_bytes: written_bytes,
                ..Progress::default()
            }),
            pace: Mutex::new(Pace {
                since: Instant::now(),
                since_bytes: written_bytes,
                rate: 0.0,
            }),
            is_unchecked,
        }
    }

    /// The file has been written up to here.
    pub(crate) fn wrote(&self, written_bytes: u64) {
        let rate = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let elapsed = pace.since.elapsed();
            if elapsed >= RATE_WINDOW / 8 {
                let now =
                    written_bytes.saturating_sub(pace.since_bytes) as f64 / elapsed.as_secs_f64();
                let weight = (elapsed.as_secs_f64() / RATE_WINDOW.as_secs_f64()).min(1.0);
                pace.rate = if pace.rate == 0.0 {
                    now
                } else {
                    pace.rate + (now - pace.rate) * weight
                };
                pace.since = Instant::now();
                pace.since_bytes = written_bytes;
            }
            pace.rate as u64
        };
        self.sender.send_modify(|progress| {
            progress.written_bytes = written_bytes;
            if !self.is_unchecked {
                progress.readable_bytes = written_bytes;
            }
            progress.rate_bytes_per_second = rate;
        });
    }

    /// It waits for memory at this place, or no longer.
    pub(crate) fn waits(&self, place: Option<Place>) {
        self.sender.send_if_modified(|progress| {
            let changed = progress.waiting != place;
            progress.waiting = place;
            changed
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.sender.subscribe()
    }
}

/// Uploads by their file.
type Files = HashMap<FileId, Weak<Live>>;

/// All uploads that are being received, by their share: who follows a share asks for these only.
#[derive(Debug, Default)]
pub(crate) struct LiveUploads(Mutex<HashMap<ShareId, Files>>);

/// Keeps an upload among the live ones until dropped.
#[derive(Debug)]
pub(crate) struct LiveGuard {
    uploads: Arc<LiveUploads>,
    share_id: ShareId,
    file_id: FileId,
    live: Arc<Live>,
}

impl LiveUploads {
    fn map(&self) -> MutexGuard<'_, HashMap<ShareId, Files>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(
        self: &Arc<Self>,
        share_id: ShareId,
        file_id: FileId,
        written_bytes: u64,
        is_unchecked: bool,
    ) -> LiveGuard {
        let live = Arc::new(Live::new(written_bytes, is_unchecked));
        let mut map = self.map();
        let files = map.entry(share_id).or_default();
        files.insert(file_id, Arc::downgrade(&live));
        drop(map);
        LiveGuard {
            uploads: self.clone(),
            share_id,
            file_id,
            live,
        }
    }

    pub(crate) fn watch(
        &self,
        share_id: ShareId,
        file_id: FileId,
    ) -> Option<watch::Receiver<Progress>> {
        let map = self.map();
        let live = map.get(&share_id)?.get(&file_id)?.upgrade()?;
        Some(live.watch())
    }

    /// Up to `limit` of those of a share.
    pub(crate) fn of_share(&self, share_id: ShareId, limit: usize) -> Vec<(FileId, Progress)> {
        let map = self.map();
        let files = map.get(&share_id).into_iter().flatten();
        let live = files.filter_map(|(file_id, live)| Some((*file_id, live.upgrade()?)));
        live.take(limit)
            .map(|(file_id, live)| (file_id, live.sender.borrow().clone()))
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.map().values().map(HashMap::len).sum()
    }
}

impl LiveGuard {
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.live.sender.send_modify(|progress| {
            progress.ended = true;
            progress.waiting = None;
        });
        let mut map = self.uploads.map();
        let Some(files) = map.get_mut(&self.share_id) else {
            return;
        };
        // A newer request may have begun its own entry already.
        let entry = files.get(&self.file_id);
        if entry.is_some_and(|entry| std::ptr::eq(entry.as_ptr(), Arc::as_ptr(&self.live))) {
            files.remove(&self.file_id);
        }
        if files.is_empty() {
            map.remove(&self.share_id);
        }
    }
}
