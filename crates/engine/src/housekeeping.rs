//! What is done without being asked: recovery on start, expiry, freed space, digests that were left for later.
//!
//! Deleting is done in two steps that may lie on either side of a crash: the record goes and names its segments as doomed, in one transaction; then the bytes
//! go, and the names after them. On start the same list is finished, segments that no record knows (a crash between making one and recording it) are
//! deleted, and uploads whose bytes are missing are marked as failed, so that disk and catalog agree in both directions.

use std::sync::Arc;

use ddx_catalog::{FileRecord, State};
use ddx_storage::SegmentId;
use futures_util::StreamExt;

use crate::engine::{Engine, Parts, in_catalog, now, on_disk};
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

impl Parts {
    async fn keep_house(self: &Arc<Self>) -> Result<(), Error> {
        self.expire().await?;
        self.delete_doomed().await?;
        self.forget_empty_shares().await?;
        self.digest_pending().await
    }

    /// A share that was made and never filled goes as an unfinished upload would.
    async fn forget_empty_shares(&self) -> Result<(), Error> {
        let before =
            now() - i64::try_from(self.config.upload_expires.as_millis()).unwrap_or(i64::MAX / 2);
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
                .expired(now(), PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            let mut removed = 0;
            for record in &page {
                // An upload that bytes arrive for at this moment is about to move its own expiry on.
                if self.live.watch(Id(record.file_id)).is_none() {
                    self.remove(record).await?;
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
            let segments = doomed.clone();
            self.blocking(move |store| {
                segments
                    .iter()
                    .try_for_each(|segment| store.delete(SegmentId(*segment)).map_err(on_disk))
            })
            .await?;
            self.catalog
                .forget_segments(doomed)
                .await
                .map_err(in_catalog)?;
        }
    }

    async fn delete_stray(&self) -> Result<u64, Error> {
        let ids = self
            .blocking(|store| {
                let mut ids = Vec::new();
                store.list(&mut |id, _| ids.push(id)).map_err(on_disk)?;
                Ok(ids)
            })
            .await?;
        let mut strays = 0;
        for id in ids {
            if !self.catalog.knows_segment(id.0).await.map_err(in_catalog)? {
                self.blocking(move |store| store.delete(id).map_err(on_disk))
                    .await?;
                strays += 1;
            }
        }
        Ok(strays)
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
            return Ok(());
        }
        let (durable, segment) = (record.offset_bytes, record.segments.first().copied());
        let stands = self
            .blocking(move |store| match segment {
                None => Ok(durable == 0),
                // Also cuts off what was written and never acknowledged.
                Some(segment) => match store.open_writer(SegmentId(segment.segment_id), durable) {
                    Ok(_) => Ok(true),
                    Err(error) if error.is_retryable() => Err(on_disk(error)),
                    Err(_) => Ok(false),
                },
            })
            .await?;
        if stands {
            recovered.resumable += 1;
        } else {
            recovered.failed += 1;
            tracing::error!(file = ?Id(record.file_id), durable, "the bytes of an unfinished upload are missing");
            let reason = "its bytes are missing from the store".to_owned();
            self.catalog
                .fail(record.file_id, reason, now())
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
            if page.is_empty() {
                return Ok(());
            }
            for record in page {
                if self.closing.is_cancelled() {
                    return Ok(());
                }
                self.digest_file(record).await?;
            }
        }
    }

    async fn digest_file(self: &Arc<Self>, record: FileRecord) -> Result<(), Error> {
        let (file_id, length) = (record.file_id, record.offset_bytes);
        let mut digests = crate::lane::Digests::new(false, self.config.sha256_always);
        let crc64 = record.crc64;
        let download = match Engine(self.clone())
            .open(record.clone(), "housekeeping")
            .await
        {
            Ok(download) => download,
            Err(Error::NotFound | Error::Expired) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut stream = std::pin::pin!(download.stream(0, Some(length)));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            digests = tokio::task::spawn_blocking(move || {
                digests.update(&chunk);
                digests
            })
            .await
            .map_err(|error| Error::Internal(format!("a digest ended: {error}")))?;
        }
        if digests.crc64() != crc64 {
            tracing::error!(file = ?Id(file_id), "the bytes on disk are not those that arrived: their CRC differs");
        }
        let Some(blake3) = digests.blake3() else {
            return Ok(());
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
        Ok(())
    }
}
