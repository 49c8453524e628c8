//! The end of a file: deletion, limits, damage.

use std::time::Duration;

use ddx_catalog::{FileRecord, Kind, State};
use ddx_id::{DeleteKey, UploadKey};

use crate::deadline::after;
use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;
use crate::stats::Counted;

/// Segments of a file that are deleted before its deletion is answered.
const SEGMENTS_AT_ONCE: usize = 16;

impl Engine {
    /// Ends an upload, or deletes the file that it has become: its bytes and its space are given
    /// back.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn cancel(&self, upload_key: UploadKey) -> Result<(), Error> {
        let record = self.0.by_upload_key(upload_key).await?;
        self.0.remove(&record).await?;
        if record.state != State::Complete {
            self.0.stats.count(&record.protocol, Counted::Cancelled, 1);
        }
        Ok(())
    }

    /// Deletes the file that this secret belongs to.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn delete(&self, delete_key: DeleteKey) -> Result<FileRecord, Error> {
        let found = self
            .0
            .catalog
            .file_by_delete_key(delete_key.hash())
            .await
            .map_err(in_catalog)?;
        let record = found.ok_or(Error::NotFound)?;
        self.0.remove(&record).await?;
        Ok(record)
    }

    /// Sets how often a complete file may be downloaded, and how long it stays, counted from its
    /// completion; what is `None` stays as configured.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn limit(
        &self,
        record: &FileRecord,
        max_downloads: Option<u64>,
        keep: Option<Duration>,
    ) -> Result<FileRecord, Error> {
        let mut record = record.clone();
        if max_downloads.is_none() && keep.is_none() {
            return Ok(record);
        }
        record.max_downloads = max_downloads.or(record.max_downloads);
        if let Some(keep) = keep {
            record.expires_at = Some(after(
                record.completed_at.unwrap_or_else(|| self.0.now()),
                keep,
            ));
        }
        self.0
            .catalog
            .set_limits(record.file_id, record.max_downloads, record.expires_at)
            .await
            .map_err(in_catalog)?;
        Ok(record)
    }
}

impl Core {
    /// Stops who writes to the file, deletes its record, then its bytes.
    pub(crate) async fn remove(&self, record: &FileRecord) -> Result<(), Error> {
        let file_id = record.file_id;
        let _lock = self.lock_upload(file_id).await?;
        self.remove_locked(record).await
    }

    /// As [`Core::remove`], for who has the upload's lock.
    pub(crate) async fn remove_locked(&self, record: &FileRecord) -> Result<(), Error> {
        let gone = self
            .catalog
            .delete(record.file_id)
            .await
            .map_err(in_catalog)?;
        if let Some(gone) = gone {
            self.tell(record, true);
            if record.kind == Kind::Partial {
                // A file that waits for this part waits in vain, and is told so.
                self.join_waiting_or_later(record.file_id).await;
            }
            // As it was recorded last: what the caller has may be older than its first segment.
            self.give_back(&gone).await?;
        }
        Ok(())
    }

    /// Deletes the bytes of a record that is gone: at once, so that its space is there when the
    /// deletion is answered. A long list, and what the disk does not let go, is left to
    /// housekeeping.
    async fn give_back(&self, record: &FileRecord) -> Result<(), Error> {
        let mut pending = Vec::new();
        for segment in record.segments.iter().take(SEGMENTS_AT_ONCE) {
            let id = segment.segment_id;
            if !self.catalog.knows_segment(id).await.map_err(in_catalog)? {
                pending.push(id);
            }
        }
        let (count, asked) = (record.segments.len(), pending.len());
        let gone = match pending.is_empty() {
            true => 0,
            false => self.delete_segments(pending).await?,
        };
        if gone < asked || count > SEGMENTS_AT_ONCE {
            self.chores.deletion.notify_one();
        }
        Ok(())
    }

    /// Marks a complete file whose bytes are known to be wrong, and tells the operator.
    /// Errs with [`Error::NotFound`] where it was deleted meanwhile, and its bytes with it.
    pub(crate) async fn mark_damaged(&self, record: &FileRecord, what: &str) -> Result<(), Error> {
        let marked = self
            .catalog
            .set_damage(record.file_id, what.to_owned())
            .await;
        match marked {
            Ok(()) => {
                tracing::error!(file = ?record.file_id, share = ?record.share_id, what, "a file is damaged: its downloads fail from now on; upload it again, and see to the disk");
                self.tell(record, false);
                Ok(())
            }
            Err(error) => Err(in_catalog(error)),
        }
    }
}
