//! What is done without being asked: recovery on start, expiry, freed space, digests that were left for later.
//!
//! Deleting is done in two steps that may lie on either side of a crash: the record goes and names its segments as doomed, in one transaction; then the bytes
//! go, and the names after them. On start the same list is finished, segments that no record knows (a crash between making one and recording it) are
//! deleted, and uploads whose bytes are missing are marked as failed, so that disk and catalog agree in both directions.

use std::sync::Arc;

use ddx_catalog::{FileRecord, State};
use ddx_storage::{ErrorKind, SegmentId, Store};
use futures_util::StreamExt;

use crate::engine::{Engine, Parts, in_catalog, on_disk};
use crate::error::Error;
use crate::id::Id;
use crate::stats::{Counted, Total};

/// Rows that one step of housekeeping looks at.
const PAGE_ROWS: u32 = 256;

/// What recovery found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Unfinished uploads that can be resumed.
    pub resumable: u64,
    /// Unfinished uploads that nobody could resume and that were removed.
    pub removed: u64,
    /// Unfinished uploads whose bytes are missing, now marked as failed.
    pub failed: u64,
    /// Pieces of bytes that no record knows, deleted.
    pub stray_segments: u64,
}

impl Engine {
    /// Brings disk and catalog into agreement. Before the first request.
    ///
    /// # Errors
    /// If the store or the catalog fails.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let parts = &self.0;
        parts.delete_doomed().await?;
        let stray_segments = parts.delete_stray().await?;
        let mut recovered = Recovered {
            stray_segments,
            ..Recovered::default()
        };
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
            for record in page {
                parts.recover_upload(record, &mut recovered).await?;
            }
        }
        parts.delete_doomed().await?;
        Ok(recovered)
    }

    /// Expiry, freed space and late digests, until the engine closes.
    pub fn spawn_housekeeping(&self) {
        let parts = self.0.clone();
        self.0.tasks.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = parts.closing.cancelled() => return,
                    () = parts.chores.notified() => {}
                    () = tokio::time::sleep(parts.config.housekeeping_every) => {}
                }
                if let Err(error) = parts.keep_house().await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "housekeeping failed; it is tried again"
                    );
                }
            }
        });
    }
}

/// Whether the bytes of an unfinished upload are there, as far as they were acknowledged.
fn stands(
    store: &dyn Store,
    segment_id: [u8; 16],
    durable: u64,
    length_bytes: Option<u64>,
) -> Result<bool, Error> {
    let id = SegmentId(segment_id);
    // Also cuts off what was written and never acknowledged.
    let Err(error) = store.open_writer(id, durable) else {
        return Ok(true);
    };
    match error.kind() {
        // A segment is durable with its first bytes: before them the power may have taken it, and nothing is missing. Where
        // there is no room for it now, it is made when its bytes come.
        ErrorKind::NotFound if durable == 0 => match store.create(id, length_bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::NoSpace { .. }) => Err(on_disk(error)),
            _ => Ok(true),
        },
        ErrorKind::NotFound | ErrorKind::Corrupt => Ok(false),
        _ if error.is_retryable() => Err(on_disk(error)),
        _ => {
            // A disk that fails now has not lost the bytes: the upload is not given up, and its next request tries again.
            tracing::error!(segment = %id, error = &error as &dyn std::error::Error, "the segment of an unfinished upload can't be opened");
            Ok(true)
        }
    }
}

/// Deletes these segments; those that are gone now.
fn deleted(store: &dyn Store, mut segments: Vec<[u8; 16]>) -> Vec<[u8; 16]> {
    segments.retain(|segment| match store.delete(SegmentId(*segment)) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the disk does not let a segment go; it is tried again"
            );
            false
        }
    });
    segments
}

impl Parts {
    async fn keep_house(self: &Arc<Self>) -> Result<(), Error> {
        self.expire().await?;
        self.delete_doomed().await?;
        self.forget_empty_shares().await?;
        self.join_late().await?;
        self.digest_pending().await
    }

    /// A share that was made and never filled goes as an unfinished upload would.
    async fn forget_empty_shares(&self) -> Result<(), Error> {
        let before = self.now()
            - i64::try_from(self.config.upload_expires.as_millis()).unwrap_or(i64::MAX / 2);
        let gone = self
            .catalog
            .forget_empty_shares(before, PAGE_ROWS)
            .await
            .map_err(in_catalog)?;
        if gone > 0 {
            tracing::info!(gone, "shares that nothing was sent into are gone");
        }
        Ok(())
    }

    async fn expire(&self) -> Result<(), Error> {
        loop {
            let page = self
                .catalog
                .expired(self.now(), PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            let mut removed = 0;
            for record in &page {
                // An upload that bytes arrive for at this moment is about to move its own expiry on.
                if self.live.watch(Id(record.file_id)).is_none()
                    && self.remove_expired(record).await?
                {
                    match record.state {
                        State::Complete => self.stats.add(Total::FilesExpired, 1),
                        _ => self.stats.count(&record.protocol, Counted::Expired, 1),
                    }
                    removed += 1;
                    tracing::info!(file = ?Id(record.file_id), state = ?record.state, "expired");
                }
            }
            if removed == 0 {
                return Ok(());
            }
        }
    }

    /// Removes a record that was found expired, unless it is not any more: between the look and the seat a request may have moved it on.
    async fn remove_expired(&self, found: &FileRecord) -> Result<bool, Error> {
        let _session = match self.sessions.take_over(Id(found.file_id)).await {
            Ok(session) => session,
            Err(Error::Superseded) => return Ok(false),
            Err(error) => return Err(error),
        };
        let record = self.catalog.file(found.file_id).await.map_err(in_catalog)?;
        let is_over = |record: &FileRecord| record.expires_at.is_some_and(|at| at <= self.now());
        match record.filter(is_over) {
            Some(record) => self.remove_seated(&record).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Deletes what can be deleted. What the disk does not let go now stays doomed and keeps nothing else from going.
    pub(crate) async fn delete_doomed(&self) -> Result<(), Error> {
        loop {
            let doomed = self
                .catalog
                .doomed_segments(PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            if doomed.is_empty() {
                return Ok(());
            }
            let gone = self
                .blocking(move |store| Ok(deleted(store, doomed)))
                .await?;
            if gone.is_empty() {
                return Ok(());
            }
            self.catalog
                .forget_segments(gone)
                .await
                .map_err(in_catalog)?;
        }
    }

    /// Deletes segments that no record knows. Only made ones and those of deleted files are left by a crash; so where one has
    /// bytes, the catalog must first show that it is sound: a damaged one has lost the name of what it should keep.
    async fn delete_stray(&self) -> Result<u64, Error> {
        let listed = self
            .blocking(|store| {
                let mut listed = Vec::new();
                store
                    .list(&mut |id, length_bytes| listed.push((id, length_bytes)))
                    .map_err(on_disk)?;
                Ok(listed)
            })
            .await?;
        let (mut strays, mut have_bytes) = (Vec::new(), false);
        for (id, length_bytes) in listed {
            if !self.catalog.knows_segment(id.0).await.map_err(in_catalog)? {
                strays.push(id.0);
                have_bytes |= length_bytes > 0;
            }
        }
        if have_bytes {
            self.catalog.check().await.map_err(in_catalog)?;
        }
        let mut gone = 0;
        for stray in strays {
            let deleted = self.blocking(move |store| Ok(deleted(store, vec![stray])));
            gone += deleted.await?.len() as u64;
        }
        Ok(gone)
    }

    async fn recover_upload(
        &self,
        record: FileRecord,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        if record.protocol == crate::PROTOCOL_PLAIN {
            recovered.removed += 1;
            return self.remove(&record).await;
        }
        if record.state == State::Joining {
            recovered.resumable += 1;
            // Its last part may have been completed, or deleted, and the process have ended before this was noted.
            return self.try_join(record).await;
        }
        let (durable, segment) = (record.offset_bytes, record.segments.first().copied());
        let length_bytes = record.length_bytes;
        let stands = self
            .blocking(move |store| match segment {
                None => Ok(durable == 0),
                Some(segment) => stands(store, segment.segment_id, durable, length_bytes),
            })
            .await?;
        if stands {
            recovered.resumable += 1;
        } else {
            recovered.failed += 1;
            tracing::error!(file = ?Id(record.file_id), durable, "the bytes of an unfinished upload are missing");
            let reason = "its bytes are missing from the store".to_owned();
            self.catalog
                .fail(record.file_id, reason, self.now())
                .await
                .map_err(in_catalog)?;
            self.stats.count(&record.protocol, Counted::Failed, 1);
        }
        Ok(())
    }

    /// Files that were joined from parts are read once, and their digests noted.
    async fn digest_pending(self: &Arc<Self>) -> Result<(), Error> {
        loop {
            let page = self
                .catalog
                .pending_digests(PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            let mut digested = false;
            for record in page {
                if self.closing.is_cancelled() {
                    return Ok(());
                }
                digested |= self.digest_file(record).await?;
            }
            // What could not be digested has expired: it goes with the next round, and is not looked at again and again till then.
            if !digested {
                return Ok(());
            }
        }
    }

    /// Notes a file's digest; false where the file can't be read any more.
    async fn digest_file(self: &Arc<Self>, record: FileRecord) -> Result<bool, Error> {
        let (file_id, length) = (record.file_id, record.offset_bytes);
        let mut digests = crate::lane::Digests::new(false, self.config.sha256_always);
        let crc64 = record.crc64;
        let download = match Engine(self.clone())
            .open(record.clone(), "housekeeping")
            .await
        {
            Ok(download) => download,
            Err(Error::NotFound | Error::Expired) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut stream = std::pin::pin!(download.stream(0, Some(length)));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            digests = self
                .surroundings
                .begin(move || {
                    digests.update(&chunk);
                    digests
                })
                .done()
                .await?;
        }
        if digests.crc64() != crc64 {
            tracing::error!(file = ?Id(file_id), "the bytes on disk are not those that arrived: their CRC differs");
        }
        let Some(blake3) = digests.blake3() else {
            return Ok(false);
        };
        match self
            .catalog
            .set_digest(file_id, blake3, digests.take_sha256())
            .await
        {
            Ok(()) => self.tell(&record, false),
            Err(error) if error.kind() == ddx_catalog::ErrorKind::Gone => {}
            Err(error) => return Err(in_catalog(error)),
        }
        Ok(true)
    }
}
