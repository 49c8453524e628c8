//! Concatenation: a file made of parts, by listing their segments. No byte is copied, so its link
//! is ready with the last part.
//!
//! A part does not know its place, so it has no BLAKE3 that could be joined; its CRC can. The
//! file's BLAKE3 follows in the background and is "pending" until then. The parts keep their own
//! records until they expire: a segment goes when the last record that lists it goes.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use ddx_catalog::{FileRecord, Kind, State};
use ddx_digest::Crc64;
use ddx_id::{FileId, UploadKey};

use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;
use crate::stats::{Counted, Total};
use crate::upload::completion::WholeFile;
use crate::upload::create::{Created, NewUpload};

/// Files that are joined before the request of their last part is answered, or that one step of
/// housekeeping looks at.
const PAGE_ROWS: u32 = 32;

/// The file that complete parts make, in their order.
fn joined(parts: &[FileRecord]) -> WholeFile {
    let mut joined = WholeFile {
        length_bytes: 0,
        blake3: None,
        sha256: None,
        crc64: Crc64::new().value(),
        segments: Vec::new(),
        inline: None,
    };
    for part in parts {
        joined.crc64 = Crc64::combine(joined.crc64, part.crc64, part.offset_bytes);
        joined.length_bytes = joined.length_bytes.saturating_add(part.offset_bytes);
        joined.segments.extend(
            part.segments
                .iter()
                .filter(|segment| segment.length_bytes > 0),
        );
    }
    joined
}

impl Engine {
    /// Makes a file of these partial uploads, in this order. It is complete at once if they are,
    /// else when the last of them is.
    ///
    /// # Errors
    /// [`Error::TooManyParts`], [`Error::PartUnknown`], [`Error::PartRepeated`],
    /// [`Error::TooLarge`], [`Error::Closing`].
    pub async fn join(&self, new: NewUpload, part_keys: &[UploadKey]) -> Result<Created, Error> {
        let (engine, part_keys) = (self.clone(), part_keys.to_vec());
        self.make(async move { engine.join_now(new, &part_keys).await })
            .await
    }

    async fn join_now(&self, new: NewUpload, part_keys: &[UploadKey]) -> Result<Created, Error> {
        let engine = &self.0;
        let (count, limit) = (part_keys.len(), engine.config.parts_max);
        if count > limit {
            return Err(Error::TooManyParts { count, limit });
        }
        let mut parts = Vec::with_capacity(part_keys.len());
        let mut listed = HashSet::with_capacity(part_keys.len());
        for (index, key) in part_keys.iter().enumerate() {
            // A file of one part many times would be read as often for its digest, and cost its
            // sender a line.
            if !listed.insert(key.hash()) {
                return Err(Error::PartRepeated { place: index + 1 });
            }
            match engine.live_upload(*key).await {
                Ok(part) if part.kind == Kind::Partial && part.state != State::Failed => {
                    parts.push(part)
                }
                Ok(_) | Err(Error::NotFound | Error::Expired) => {
                    return Err(Error::PartUnknown { place: index + 1 });
                }
                Err(error) => return Err(error),
            }
        }
        let mut draft = engine.draft(new).await?;
        let record = &mut draft.record;
        record.kind = Kind::Final;
        record.parts = parts.iter().map(|part| part.file_id).collect();
        record.length_bytes = parts.iter().try_fold(0_u64, |sum, part| {
            Some(sum.saturating_add(part.length_bytes?))
        });
        engine.check_size(record.length_bytes.unwrap_or(0))?;
        if parts.iter().all(|part| part.state == State::Complete) {
            draft = engine.completed_draft(draft, joined(&parts));
            self.0.stats.add(Total::Joins, 1);
        } else {
            record.state = State::Joining;
        }
        let created = engine.register(draft).await?;
        if created.record.state == State::Complete {
            return Ok(created);
        }
        // A part may have been completed between our look at it and the record that waits for it.
        engine.try_join(created.record.clone()).await?;
        let record = self.file(created.record.file_id).await?;
        Ok(Created { record, ..created })
    }
}

impl Core {
    /// A part is complete or gone: completes the files that waited for nothing else, or has them
    /// fail. Only so many at once; the others, and what fails now, are left to housekeeping. The
    /// part itself stands or is gone, whatever becomes of the rest.
    pub(crate) async fn join_waiting_or_later(&self, part_file_id: FileId) {
        let is_done = match self.join_page(part_file_id, None).await {
            Ok(next) => next.is_none(),
            Err(error) => {
                tracing::error!(
                    part = ?part_file_id,
                    error = &error as &dyn std::error::Error,
                    "a file can't be joined from its parts now; it is tried again, and nothing is lost; if this repeats, see to the disk"
                );
                false
            }
        };
        if !is_done {
            self.unjoined().push(part_file_id);
            self.chores.joining.notify_one();
        }
    }

    /// Joins what could not be joined when its part was complete. One that can't be joined now
    /// holds up no other.
    pub(crate) async fn join_late(&self) -> Result<(), Error> {
        let mut failed = Ok(());
        let mut parts = std::mem::take(&mut *self.unjoined());
        while let Some(part) = parts.pop() {
            if let Err(error) = self.join_all(part).await {
                self.unjoined().push(part);
                failed = Err(error);
            }
        }
        failed
    }

    async fn join_all(&self, part_file_id: FileId) -> Result<(), Error> {
        let mut after = None;
        loop {
            after = self.join_page(part_file_id, after).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Joins the files of one page that wait for this part; the last one that it looked at, if
    /// there may be more.
    async fn join_page(
        &self,
        part_file_id: FileId,
        after: Option<FileId>,
    ) -> Result<Option<FileId>, Error> {
        let page = self
            .catalog
            .finals_waiting_for(part_file_id, after, PAGE_ROWS)
            .await
            .map_err(in_catalog)?;
        let is_full = page.len() == PAGE_ROWS as usize;
        let last = page.last().map(|file| file.file_id).filter(|_| is_full);
        for waiting in page {
            self.try_join(waiting).await?;
        }
        Ok(last)
    }

    fn unjoined(&self) -> MutexGuard<'_, Vec<FileId>> {
        self.unjoined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn try_join(&self, mut waiting: FileRecord) -> Result<(), Error> {
        let mut parts = Vec::with_capacity(waiting.parts.len());
        for part_id in &waiting.parts {
            match self.catalog.file(*part_id).await.map_err(in_catalog)? {
                Some(part) if part.state == State::Complete => parts.push(part),
                Some(_) => return Ok(()),
                None => {
                    let reason = "one of its parts was deleted".to_owned();
                    return self.fail_joining(&waiting, reason).await;
                }
            }
        }
        let joined = joined(&parts);
        // Only now is it known how long it is, where a part told its length late.
        if let Err(Error::TooLarge { limit_bytes }) = self.check_size(joined.length_bytes) {
            let reason = format!(
                "its parts have {} bytes together, files of up to {limit_bytes} are taken",
                joined.length_bytes
            );
            return self.fail_joining(&waiting, reason).await;
        }
        match self.complete(&mut waiting, joined, None).await {
            Ok(()) => {
                self.stats.add(Total::Joins, 1);
                Ok(())
            }
            // Another part's request has done it, or it was deleted.
            Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A file that can never be joined says why, until it is deleted or expires.
    async fn fail_joining(&self, waiting: &FileRecord, reason: String) -> Result<(), Error> {
        let failed = self.catalog.fail(waiting.file_id, reason, self.now()).await;
        match failed {
            Ok(()) => {
                self.stats.count(&waiting.protocol, Counted::Failed, 1);
                self.tell(waiting, false);
                Ok(())
            }
            // Another part's request has done it, or it was deleted.
            Err(error) if error.kind() == ddx_catalog::ErrorKind::Gone => Ok(()),
            Err(error) => Err(in_catalog(error)),
        }
    }
}
