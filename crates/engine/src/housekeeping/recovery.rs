//! The start: disk and catalog are brought to agree, before the first request.
//!
//! Deletions that a crash cut in half are finished. Then folder and catalog are read side by side,
//! both in the order of their ids: segments that no record knows (a crash between making one and
//! recording it) are deleted, complete files whose segments are missing are marked as damaged.
//! Last, unfinished uploads are cut back to what was acknowledged; those whose bytes are missing
//! are marked as failed.
//!
//! On a disk that is mounted read-only nothing is compared, since nothing could be mended; files
//! are read as they are.
//!
//! A disk that can't answer for one segment has not lost it: that is told, and the start goes on.

use std::collections::VecDeque;

use ddx_catalog::{FileRecord, State};
use ddx_id::SegmentId;
use ddx_storage::{ErrorKind, Store};

use crate::engine::{Core, Engine, in_catalog, on_disk};
use crate::error::Error;
use crate::housekeeping::deleted;
use crate::stats::{Counted, Total};

/// Rows that one step looks at.
const PAGE_ROWS: u32 = 256;

/// Ids that are read together, of the folder and of the catalog.
const PAGE_IDS: u32 = 1_000;

/// What recovery found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Unfinished uploads that can be resumed.
    pub resumable: u64,
    /// Unfinished uploads that could not be resumed and were removed.
    pub removed: u64,
    /// Unfinished uploads whose bytes are missing, now marked as failed.
    pub failed: u64,
    /// Complete files whose bytes are missing, now marked as damaged.
    pub damaged: u64,
    /// Pieces of bytes that no record knows, deleted.
    pub stray_segments: u64,
}

impl Engine {
    /// Brings disk and catalog into agreement. Before the first request.
    ///
    /// # Errors
    /// If the store can't be listed, or the catalog fails.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let parts = &self.0;
        let mut recovered = Recovered::default();
        if parts.is_read_only() {
            return Ok(recovered);
        }
        parts.delete_pending().await?;
        parts.reconcile(&mut recovered).await?;
        let mut after = None;
        loop {
            let page = parts
                .catalog
                .unfinished(PAGE_ROWS, after)
                .await
                .map_err(in_catalog)?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.file_id);
            parts.recover_uploads(page, &mut recovered).await?;
        }
        parts.delete_pending().await?;
        Ok(recovered)
    }
}

/// Whether the bytes of an unfinished upload are there, as far as they were acknowledged.
fn stands(store: &dyn Store, record: &FileRecord) -> bool {
    let durable = record.offset_bytes;
    let Some(segment) = record.segments.first() else {
        if durable > 0 {
            tracing::error!(file = ?record.file_id, saved_bytes = durable, "the catalog does not say where the data of an unfinished upload is: the upload is lost and has to be sent again");
        }
        return durable == 0;
    };
    let id = segment.segment_id;
    // Also cuts off what was written and never acknowledged.
    let opened = match store.open_writer(id, durable) {
        // A segment is durable with its first bytes: before them the power may have taken it, and
        // nothing is missing. Where there is no room for it now, it is made when its bytes come.
        Err(error) if durable == 0 && error.kind() == ErrorKind::NotFound => {
            store.create(id, record.length_bytes)
        }
        opened => opened.map(drop),
    };
    let Err(error) = opened else {
        reserve(store, id, record.length_bytes);
        return true;
    };
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Corrupt => {
            tracing::error!(file = ?record.file_id, segment = %id, saved_bytes = durable, %error, "data of an unfinished upload is missing on the disk: the upload is lost and has to be sent again");
            false
        }
        ErrorKind::NoSpace { .. } => true,
        _ => {
            // A disk that fails now has not lost the bytes: the upload is not given up, and its
            // next request tries again.
            tracing::error!(segment = %id, error = &error as &dyn std::error::Error, "the data of an unfinished upload can't be opened now; it is tried again when the upload goes on; if this repeats, see to the disk");
            true
        }
    }
}

/// Not every file system keeps a reservation over a restart.
fn reserve(store: &dyn Store, id: SegmentId, length_bytes: Option<u64>) {
    let Some(length_bytes) = length_bytes else {
        return;
    };
    if let Err(error) = store.reserve(id, length_bytes) {
        tracing::warn!(segment = %id, error = &error as &dyn std::error::Error, "disk space for the rest of an unfinished upload can't be reserved; the upload may go on, and fails if the disk gets full");
    }
}

/// Segments that no record knows, until there are enough of them to be deleted together.
#[derive(Default)]
struct Strays {
    found: Vec<SegmentId>,
    catalog_is_sound: bool,
}

impl Core {
    /// Reads folder and catalog side by side. Memory does not grow with what is in them.
    async fn reconcile(&self, recovered: &mut Recovered) -> Result<(), Error> {
        let mut strays = Strays::default();
        let (mut stored, mut known) = (VecDeque::new(), VecDeque::new());
        let (mut stored_until, mut known_until) = (None, None);
        loop {
            if stored.is_empty() {
                stored.extend(self.stored(stored_until).await?);
                stored_until = stored.back().copied().or(stored_until);
            }
            if known.is_empty() {
                let page = self.catalog.segments(PAGE_IDS, known_until);
                known.extend(page.await.map_err(in_catalog)?);
                known_until = known.back().copied().or(known_until);
            }
            let Some(next) = stored
                .front()
                .into_iter()
                .chain(known.front())
                .min()
                .copied()
            else {
                break;
            };
            self.stats.add(Total::Recovered, 1);
            let is_stored = stored.pop_front_if(|id| *id == next).is_some();
            let is_known = known.pop_front_if(|id| *id == next).is_some();
            if !is_stored {
                recovered.damaged += self.missing(next).await?;
            }
            if !is_known {
                strays.found.push(next);
                if strays.found.len() >= PAGE_ROWS as usize {
                    recovered.stray_segments += self.delete_strays(&mut strays).await?;
                }
            }
        }
        recovered.stray_segments += self.delete_strays(&mut strays).await?;
        Ok(())
    }

    async fn stored(&self, after: Option<SegmentId>) -> Result<Vec<SegmentId>, Error> {
        self.blocking(move |store| store.list(after, PAGE_IDS as usize).map_err(on_disk))
            .await
    }

    /// Deletes segments that no record knows. Only made ones and those of deleted files are left by
    /// a crash; so where one has bytes, the catalog must first show that it is sound: a damaged one
    /// has lost the name of what it should keep.
    async fn delete_strays(&self, strays: &mut Strays) -> Result<u64, Error> {
        let found = std::mem::take(&mut strays.found);
        if found.is_empty() {
            return Ok(0);
        }
        if !strays.catalog_is_sound {
            let ids = found.clone();
            let have_bytes = self.blocking(move |store| {
                // One that can't be examined may have bytes.
                Ok(ids.iter().any(|id| !matches!(store.length(*id), Ok(0))))
            });
            if have_bytes.await? {
                self.catalog.check().await.map_err(in_catalog)?;
                strays.catalog_is_sound = true;
            }
        }
        let gone = self.blocking(move |store| Ok(deleted(store, found)));
        Ok(gone.await?.len() as u64)
    }

    /// A segment that records know is not there: complete files that have it are damaged.
    /// Unfinished ones are looked at by themselves.
    async fn missing(&self, segment_id: SegmentId) -> Result<u64, Error> {
        let files = self
            .catalog
            .files_of_segment(segment_id, PAGE_ROWS)
            .await
            .map_err(in_catalog)?;
        let mut damaged = 0;
        for file in files {
            if file.state == State::Complete && file.damage.is_none() {
                self.mark_damaged(&file, "a part of what is stored is missing on the disk")
                    .await?;
                damaged += 1;
            }
        }
        Ok(damaged)
    }

    async fn recover_uploads(
        &self,
        page: Vec<FileRecord>,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        self.stats.add(Total::Recovered, page.len() as u64);
        let mut receiving = Vec::new();
        for record in page {
            if !self.config.protocol_of(&record).is_resumable {
                recovered.removed += 1;
                self.remove(&record).await?;
            } else if record.state == State::Joining {
                recovered.resumable += 1;
                // Its last part may have been completed, or deleted, and the process have ended
                // before this was noted.
                self.try_join(record).await?;
            } else {
                receiving.push(record);
            }
        }
        let judged = self.blocking(move |store| {
            let judge = |record: FileRecord| (stands(store, &record), record);
            Ok(receiving.into_iter().map(judge).collect::<Vec<_>>())
        });
        for (stands, record) in judged.await? {
            if stands {
                recovered.resumable += 1;
            } else {
                recovered.failed += 1;
                self.fail_upload(&record).await?;
            }
        }
        Ok(())
    }

    async fn fail_upload(&self, record: &FileRecord) -> Result<(), Error> {
        let reason = "its bytes are missing from the store".to_owned();
        self.catalog
            .fail(record.file_id, reason, self.now())
            .await
            .map_err(in_catalog)?;
        self.stats.count(&record.protocol, Counted::Failed, 1);
        Ok(())
    }
}
