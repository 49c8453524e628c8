//! What is done without being asked: expiry, deletion, late joining, late digests.
//!
//! Each is a task of its own, so that none holds up another, and each ends at once when the server
//! closes: whatever it does can be cut anywhere and is done again.
//!
//! Deleting is done in two steps that may lie on either side of a crash: the record goes and names
//! its segments as pending deletions, in one transaction; then the bytes go, and the names after
//! them.

pub(crate) mod chores;
pub(crate) mod late_digests;
pub(crate) mod recovery;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ddx_catalog::{Checkpoint, FileRecord, Kind, State};
use ddx_id::{FileId, SegmentId};
use ddx_storage::Store;
use futures_util::FutureExt;
use tokio::sync::Notify;

use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;
use crate::housekeeping::chores::Chores;
use crate::stats::{Counted, Total};

/// Rows that one step of housekeeping looks at, and one transaction deletes.
const PAGE_ROWS: u32 = 256;

impl Engine {
    /// Expiry, freed space, late joins and late digests, until the engine closes; none of it where
    /// nothing can be written.
    pub fn spawn_housekeeping(&self) {
        let parts = &self.0;
        if parts.is_read_only() {
            return;
        }
        parts.spawn_chore(
            "expiry",
            |it| &it.never,
            |it| async move { it.expire().await },
        );
        parts.spawn_chore(
            "shares",
            |it| &it.never,
            |it| async move { it.forget_empty_shares().await },
        );
        parts.spawn_chore(
            "reservations",
            |it| &it.never,
            |it| async move { it.end_reservations().await },
        );
        parts.spawn_chore(
            "deletion",
            |it| &it.deletion,
            |it| async move { it.delete_pending().await },
        );
        parts.spawn_chore(
            "joining",
            |it| &it.joining,
            |it| async move { it.join_late().await },
        );
        parts.spawn_chore(
            "digests",
            |it| &it.digests,
            |it| async move { it.digest_pending().await },
        );
    }
}

/// Deletes these segments; those that are gone now.
pub(crate) fn deleted(store: &dyn Store, mut segments: Vec<SegmentId>) -> Vec<SegmentId> {
    segments.retain(|segment| match store.delete(*segment) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the data of a deleted file can't be removed from the disk; it is tried again, and its space stays taken; if this repeats, see to the disk"
            );
            false
        }
    });
    segments
}

impl Core {
    /// Does a chore again and again: when it is woken, and now and then.
    fn spawn_chore<F>(
        self: &Arc<Self>,
        name: &'static str,
        wake: fn(&Chores) -> &Notify,
        chore: impl Fn(Arc<Core>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let parts = self.clone();
        self.tasks.spawn(async move {
            let rounds = async {
                loop {
                    tokio::select! {
                        () = wake(&parts.chores).notified() => {}
                        () = tokio::time::sleep(parts.config.housekeeping_every) => {}
                    }
                    // What a chore does can be cut anywhere, so one that panics is begun anew at
                    // its next time.
                    let done = AssertUnwindSafe(chore(parts.clone())).catch_unwind().await;
                    let done = done.unwrap_or_else(|_| {
                        Err(Error::Internal(format!("the task `{name}` crashed")))
                    });
                    if let Err(error) = done {
                        tracing::error!(
                            task = name,
                            error = &error as &dyn std::error::Error,
                            "a background task failed; it is tried again, and uploads go on; if this repeats, see to the disk"
                        );
                    }
                }
            };
            tokio::select! {
                biased;
                () = parts.closing.cancelled() => {}
                () = rounds => {}
            }
        });
    }

    /// A share that was made and never filled goes as an unfinished upload would.
    async fn forget_empty_shares(&self) -> Result<(), Error> {
        if !self.surroundings.clock().is_settled {
            return Ok(());
        }
        let before = self.now()
            - i64::try_from(self.config.upload_expires.as_millis()).unwrap_or(i64::MAX / 2);
        loop {
            let gone = self
                .catalog
                .forget_empty_shares(before, PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            if gone > 0 {
                tracing::info!(shares = gone, "empty shares were removed");
            }
            if gone < u64::from(PAGE_ROWS) {
                return Ok(());
            }
        }
    }

    /// Gives back the space of uploads to which nothing has come for a while. They stay, and
    /// reserve anew when something comes.
    async fn end_reservations(&self) -> Result<(), Error> {
        let lasts = i64::try_from(self.config.reservation_expires.as_millis());
        loop {
            let before = self.now() - lasts.unwrap_or(i64::MAX / 2);
            // Those that a request has, and that wait for it, may all be the oldest.
            let busy = u32::try_from(self.locks.count()).unwrap_or(u32::MAX);
            let page = self
                .catalog
                .reserved_unbegun(before, PAGE_ROWS.saturating_add(busy));
            let page = page.await.map_err(in_catalog)?;
            let ended = page
                .into_iter()
                .map(|file_id| self.end_reservation(file_id));
            let ended = futures_util::future::try_join_all(ended).await?;
            let count = ended.into_iter().filter(|is_ended| *is_ended).count();
            if count == 0 {
                return Ok(());
            }
            tracing::info!(
                uploads = count,
                "uploads that were created but not begun gave their reserved disk space back; they can still be sent"
            );
            self.chores.deletion.notify_one();
        }
    }

    async fn end_reservation(&self, file_id: FileId) -> Result<bool, Error> {
        let Some(_lock) = self.locks.try_acquire(file_id) else {
            return Ok(false);
        };
        let record = self.catalog.file(file_id).await.map_err(in_catalog)?;
        let Some(record) = record.filter(FileRecord::reserves_unbegun) else {
            return Ok(false);
        };
        let checkpoint = Checkpoint {
            file_id,
            digest_state: record.digest_state,
            crc64: record.crc64,
            segments: Some(Vec::new()),
            updated_at: record.updated_at,
            ..Checkpoint::default()
        };
        match self.catalog.checkpoint(checkpoint).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ddx_catalog::ErrorKind::Gone => Ok(false),
            Err(error) => Err(in_catalog(error)),
        }
    }

    /// Deletes what is expired, a page in one transaction, which asks again whether it is.
    async fn expire(&self) -> Result<(), Error> {
        self.readers.tidy(self.now(), self.config.download_lease);
        // The machine may not know the time yet, and what is deleted does not come back.
        if !self.surroundings.clock().is_settled {
            return Ok(());
        }
        // Those that a request is writing to are left alone: it is about to move their expiry on.
        let mut left_alone = 0;
        loop {
            let now = self.now();
            let page = self
                .catalog
                .expired(now, left_alone, PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            if page.is_empty() {
                return Ok(());
            }
            // A request that comes now waits for the lock and then finds nothing.
            let locks: Vec<_> = page
                .iter()
                .filter_map(|file_id| self.locks.try_acquire(*file_id))
                .collect();
            left_alone += u32::try_from(page.len() - locks.len()).unwrap_or(PAGE_ROWS);
            let files = locks.iter().map(|lock| lock.file_id()).collect();
            let gone = self
                .catalog
                .delete_expired(now, files)
                .await
                .map_err(in_catalog)?;
            drop(locks);
            for record in &gone {
                self.after_expiry(record).await;
            }
            if !gone.is_empty() {
                tracing::info!(
                    files = gone.len(),
                    "uploads and files that had expired were deleted"
                );
                self.chores.deletion.notify_one();
            }
        }
    }

    async fn after_expiry(&self, record: &FileRecord) {
        tracing::debug!(file = ?record.file_id, state = ?record.state, "expired");
        match record.state {
            State::Complete => self.stats.add(Total::FilesExpired, 1),
            _ => self.stats.count(&record.protocol, Counted::Expired, 1),
        }
        self.tell(record, true);
        if record.kind == Kind::Partial {
            self.join_waiting_or_later(record.file_id).await;
        }
    }

    /// Deletes what can be deleted. What the disk does not let go now stays pending and keeps
    /// nothing else from going.
    pub(crate) async fn delete_pending(&self) -> Result<(), Error> {
        loop {
            let pending = self
                .catalog
                .pending_deletions(PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            if pending.is_empty() || self.delete_segments(pending).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Deletes segments that no record refers to; how many are gone.
    pub(crate) async fn delete_segments(&self, pending: Vec<SegmentId>) -> Result<usize, Error> {
        let gone = self
            .blocking(move |store| Ok(deleted(store, pending)))
            .await?;
        let count = gone.len();
        if count > 0 {
            self.catalog
                .forget_segments(gone)
                .await
                .map_err(in_catalog)?;
        }
        Ok(count)
    }
}
