//! A request that reads a file whose number of downloads is limited: how it is let in, and what it
//! had.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ddx_catalog::FileRecord;
use ddx_id::{FileId, LeaseId};

use super::leases::Asked;
use super::reader::Reader;
use crate::engine::{Core, Engine};
use crate::error::Error;

/// A client that has its last byte may ask anew, or others may, before this is noted here: so long
/// is waited for it.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

/// One request's part in a lease.
pub struct Reading {
    core: Arc<Core>,
    file_id: FileId,
    length_bytes: u64,
    lease: LeaseId,
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
    pub fn lease(&self) -> LeaseId {
        self.lease
    }

    /// These bytes of the file went out. With the last one the download counts.
    pub(crate) fn had(&self, range: Range<u64>) {
        let mut leases = self.core.readers.leases();
        if !leases.had(self.file_id, self.lease, range, self.length_bytes) {
            return;
        }
        drop(leases);
        let (core, file_id) = (self.core.clone(), self.file_id);
        let count = async move {
            let counted = core.catalog.count_download(file_id, core.now()).await;
            if let Err(error) = counted {
                tracing::error!(file = ?file_id, error = &error as &dyn std::error::Error, "a download that ended could not be counted; if this repeats, see to the disk");
            }
        };
        self.core.tasks.spawn(count);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let now = self.core.now();
        if let Some(lease) = self.core.readers.leases().get_mut(self.file_id, self.lease) {
            lease.requests -= 1;
            lease.ended_at = now;
        }
        self.core.readers.changed.notify_waiters();
    }
}

impl Engine {
    /// Lets a reader have bytes of a file whose number of downloads is limited; `is_whole` if it
    /// asks for all of them.
    ///
    /// # Errors
    /// [`Error::DownloadsUsedUp`]; [`Error::DownloadTaken`] while others have all that is left;
    /// [`Error::TooManyReaders`], [`Error::TooManyOfReader`] and [`Error::NoMemory`] where there is
    /// no place for one more; [`Error::ReadOnly`] where it could not be counted.
    pub async fn read_limited(
        &self,
        record: &FileRecord,
        limit: u64,
        reader: &Reader,
        is_whole: bool,
    ) -> Result<Reading, Error> {
        let core = &self.0;
        self.try_change().await?;
        if is_whole {
            let _ = tokio::time::timeout(NOTED_WITHIN, core.before_is_noted(record, reader)).await;
        }
        let asked = Asked {
            file_id: record.file_id,
            downloads: record.downloads,
            limit,
            reader,
            is_whole,
            now: core.now(),
        };
        let taken = core.while_taken_by_previews(&asked);
        let _ = tokio::time::timeout(NOTED_WITHIN, taken).await;
        let mut leases = core.readers.leases();
        let lease = match leases.choose(&asked, &core.config)? {
            Some(own) => own,
            None => leases.begin(&asked, core.surroundings.id(), &core.config, &core.ledger)?,
        };
        if let Some(lease) = leases.get_mut(asked.file_id, lease) {
            lease.requests += 1;
        }
        Ok(Reading {
            core: core.clone(),
            file_id: asked.file_id,
            length_bytes: record.offset_bytes,
            lease,
        })
    }
}

impl Core {
    /// Returns unless all that is left is taken, and no longer so once a request ends that has had
    /// no more than a preview.
    async fn while_taken_by_previews(&self, asked: &Asked<'_>) {
        loop {
            let mut changed = std::pin::pin!(self.readers.changed.notified());
            changed.as_mut().enable();
            {
                let leases = self.readers.leases();
                let chosen = leases.choose(asked, &self.config);
                if !matches!(chosen, Err(Error::DownloadTaken))
                    || !leases.may_be_free_soon(asked.file_id, self.config.preview_bytes)
                {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Returns when no request of this reader's is under way.
    async fn before_is_noted(&self, record: &FileRecord, reader: &Reader) {
        loop {
            let mut changed = std::pin::pin!(self.readers.changed.notified());
            changed.as_mut().enable();
            let is_busy = {
                let leases = self.readers.leases();
                let mut of_file = leases.of_file(record.file_id);
                of_file.any(|lease| lease.requests > 0 && lease.is_of(reader))
            };
            if !is_busy {
                return;
            }
            changed.await;
        }
    }
}
