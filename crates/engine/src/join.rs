//! Concatenation: a file made of parts, by listing their segments. No byte is copied, so its link is ready with the last part.
//!
//! A part does not know its place, so it has no BLAKE3 that could be joined; its CRC can. The file's BLAKE3 follows in the background and is
//! "pending" until then. The parts keep their own records until they expire: a segment goes when the last record that lists it goes.

use std::sync::{MutexGuard, PoisonError};

use ddx_catalog::{Completion, FileRecord, Kind, Segment, State};
use ddx_digest::Crc64;

use crate::create::{Created, NewUpload};
use crate::engine::{Engine, Parts, after, in_catalog};
use crate::error::Error;
use crate::id::Id;
use crate::stats::{Counted, Total};

struct Joined {
    length_bytes: u64,
    crc64: u64,
    segments: Vec<Segment>,
}

fn joined(parts: &[FileRecord]) -> Joined {
    let mut joined = Joined {
        length_bytes: 0,
        crc64: Crc64::new().value(),
        segments: Vec::new(),
    };
    for part in parts {
        joined.crc64 = Crc64::combine(joined.crc64, part.crc64, part.offset_bytes);
        joined.length_bytes += part.offset_bytes;
        joined.segments.extend(
            part.segments
                .iter()
                .filter(|segment| segment.length_bytes > 0),
        );
    }
    joined
}

impl Engine {
    /// Makes a file of these partial uploads, in this order. It is complete at once if they are, else when the last of them is.
    ///
    /// # Errors
    /// [`Error::PartUnknown`], [`Error::TooLarge`], [`Error::Closing`].
    pub async fn join(&self, new: NewUpload, part_keys: &[Id]) -> Result<Created, Error> {
        let engine = &self.0;
        let mut parts = Vec::with_capacity(part_keys.len());
        for (index, key) in part_keys.iter().enumerate() {
            match engine.by_upload_key(*key).await {
                Ok(part) if part.kind == Kind::Partial && part.state != State::Failed => {
                    parts.push(part)
                }
                Ok(_) | Err(Error::NotFound) => {
                    return Err(Error::PartUnknown { place: index + 1 });
                }
                Err(error) => return Err(error),
            }
        }
        let mut draft = engine.draft(new).await?;
        let record = &mut draft.record;
        record.kind = Kind::Final;
        record.parts = parts.iter().map(|part| part.file_id).collect();
        record.length_bytes = parts.iter().map(|part| part.length_bytes).sum();
        if let (Some(length), Some(limit_bytes)) =
            (record.length_bytes, engine.config.file_max_bytes)
            && length > limit_bytes
        {
            return Err(Error::TooLarge { limit_bytes });
        }
        if parts.iter().all(|part| part.state == State::Complete) {
            let joined = joined(&parts);
            let digests = crate::lane::Digests::new(true, false);
            draft.completed(&digests, joined.length_bytes);
            self.0.stats.add(Total::Joins, 1);
            draft.record.crc64 = joined.crc64;
            draft.record.segments = joined.segments;
        } else {
            record.state = State::Joining;
        }
        let created = engine.register(draft).await?;
        if created.record.state == State::Complete {
            engine.chores.notify_one();
            return Ok(created);
        }
        // A part may have been completed between our look at it and the record that waits for it.
        engine.try_join(created.record.clone()).await?;
        let record = self.file(Id(created.record.file_id)).await?;
        Ok(Created { record, ..created })
    }
}

impl Parts {
    /// A part is complete: completes the files that waited for it last.
    pub(crate) async fn join_waiting(&self, part_file_id: [u8; 16]) -> Result<(), Error> {
        for waiting in self
            .catalog
            .finals_waiting_for(part_file_id)
            .await
            .map_err(in_catalog)?
        {
            self.try_join(waiting).await?;
        }
        Ok(())
    }

    /// As [`Parts::join_waiting`]; what fails now is done by housekeeping. The part itself stands or is gone, whatever becomes of the rest.
    pub(crate) async fn join_waiting_or_later(&self, part_file_id: [u8; 16]) {
        if let Err(error) = self.join_waiting(part_file_id).await {
            tracing::error!(
                part = ?Id(part_file_id),
                error = &error as &dyn std::error::Error,
                "a file can't be joined from its parts now; it is tried again"
            );
            self.unjoined().push(part_file_id);
        }
    }

    /// Joins what could not be joined when its part was complete.
    pub(crate) async fn join_late(&self) -> Result<(), Error> {
        loop {
            let Some(part) = self.unjoined().last().copied() else {
                return Ok(());
            };
            self.join_waiting(part).await?;
            self.unjoined().retain(|other| *other != part);
        }
    }

    fn unjoined(&self) -> MutexGuard<'_, Vec<[u8; 16]>> {
        self.unjoined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn try_join(&self, waiting: FileRecord) -> Result<(), Error> {
        let mut parts = Vec::with_capacity(waiting.parts.len());
        for part_id in &waiting.parts {
            match self.catalog.file(*part_id).await.map_err(in_catalog)? {
                Some(part) if part.state == State::Complete => parts.push(part),
                Some(_) => return Ok(()),
                None => {
                    let reason = "one of its parts was deleted".to_owned();
                    self.catalog
                        .fail(waiting.file_id, reason, self.now())
                        .await
                        .map_err(in_catalog)?;
                    self.stats.count(&waiting.protocol, Counted::Failed, 1);
                    self.tell(&waiting, false);
                    return Ok(());
                }
            }
        }
        let joined = joined(&parts);
        let completed_at = self.now();
        let completion = Completion {
            file_id: waiting.file_id,
            length_bytes: joined.length_bytes,
            blake3: None,
            sha256: None,
            crc64: joined.crc64,
            segments: joined.segments,
            inline: None,
            completed_at,
            expires_at: self
                .config
                .file_expires
                .map(|lasts| after(completed_at, lasts)),
        };
        match self.catalog.complete(completion).await {
            Ok(()) => {
                self.stats.add(Total::Joins, 1);
                self.stats.count(&waiting.protocol, Counted::Completed, 1);
                self.tell(&waiting, false);
                self.chores.notify_one();
                Ok(())
            }
            // Another part's request has done it.
            Err(error) if error.kind() == ddx_catalog::ErrorKind::Gone => Ok(()),
            Err(error) => Err(in_catalog(error)),
        }
    }
}
