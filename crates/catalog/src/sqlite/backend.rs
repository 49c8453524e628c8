//! [`Catalog`] on SQLite: each method bounds what it was given and hands it to the writer or to a
//! reader.

use super::{SqliteCatalog, changes, check, queries, removal, schema};
use crate::{
    Answer, Catalog, Checkpoint, Completion, Error, ErrorKind, FileRecord, FileSummary, NewFile,
    OwnerTotals, ShareRecord, Totals, Work,
};
use ddx_id::{DeleteKey, FileId, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};
use std::path::PathBuf;

impl SqliteCatalog {
    /// The bytes of a record that is within the limits.
    fn bounded(
        &self,
        texts: &[usize],
        inline: Option<&Vec<u8>>,
        lists: &[usize],
    ) -> Result<u64, Error> {
        let refuse = |what: &str, limit: u64| {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("{what} exceeds {limit}"),
            ))
        };
        let record_bytes: u64 = texts.iter().map(|&length| length as u64).sum();
        let inline_bytes = inline.map_or(0, |bytes| bytes.len() as u64);
        if record_bytes > self.config.record_bytes_max {
            return refuse("the record's size", self.config.record_bytes_max);
        }
        if inline_bytes > self.config.inline_bytes_max {
            return refuse("the size of inline bytes", self.config.inline_bytes_max);
        }
        if lists.iter().any(|&length| length > self.config.list_max) {
            return refuse(
                "the number of segments or parts",
                self.config.list_max as u64,
            );
        }
        let list_bytes: u64 = lists.iter().map(|&length| length as u64 * 32).sum();
        Ok(record_bytes + inline_bytes + list_bytes)
    }
}

impl Catalog for SqliteCatalog {
    fn create_share(&self, share: ShareRecord) -> Answer<'_, ()> {
        Box::pin(async move {
            self.change(0, move |to| changes::create_share(to, &share))
                .await
        })
    }

    fn share(&self, share_id: ShareId) -> Answer<'_, Option<ShareRecord>> {
        Box::pin(self.query(move |from| queries::share(from, &share_id)))
    }

    fn share_by_key(&self, share_key_hash: KeyHash<ShareKey>) -> Answer<'_, Option<ShareRecord>> {
        Box::pin(self.query(move |from| queries::share_by_key(from, &share_key_hash)))
    }

    fn share_files(
        &self,
        share_id: ShareId,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<FileSummary>> {
        Box::pin(
            self.query(move |from| queries::share_files(from, &share_id, after.as_deref(), limit)),
        )
    }

    fn forget_empty_shares(&self, created_before: i64, limit: u32) -> Answer<'_, u64> {
        Box::pin(self.change(0, move |to| {
            removal::forget_empty_shares(to, created_before, limit)
        }))
    }

    fn create(&self, new: NewFile) -> Answer<'_, ()> {
        Box::pin(async move {
            let file = &new.record;
            let texts = [
                file.owner.len(),
                file.path.len(),
                file.content_type.as_ref().map_or(0, String::len),
                file.metadata.len(),
                file.sealed_metadata.as_ref().map_or(0, String::len),
                file.protocol.len(),
                file.digest_state.len(),
            ];
            let bytes = self.bounded(
                &texts,
                new.inline.as_ref(),
                &[file.segments.len(), file.parts.len()],
            )?;
            self.change(bytes, move |to| changes::create(to, &new))
                .await
        })
    }

    fn file(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>> {
        Box::pin(self.query(move |from| queries::file(from, &file_id)))
    }

    fn file_by_upload_key(
        &self,
        upload_key_hash: KeyHash<UploadKey>,
    ) -> Answer<'_, Option<FileRecord>> {
        Box::pin(self.query(move |from| queries::file_by_upload_key(from, &upload_key_hash)))
    }

    fn file_by_delete_key(
        &self,
        delete_key_hash: KeyHash<DeleteKey>,
    ) -> Answer<'_, Option<FileRecord>> {
        Box::pin(self.query(move |from| queries::file_by_delete_key(from, &delete_key_hash)))
    }

    fn file_by_path(&self, share_id: ShareId, path: String) -> Answer<'_, Option<FileRecord>> {
        Box::pin(self.query(move |from| queries::file_by_path(from, &share_id, &path)))
    }

    fn inline(&self, file_id: FileId) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(self.query(move |from| queries::inline(from, &file_id)))
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Answer<'_, ()> {
        Box::pin(async move {
            let segments = checkpoint.segments.as_ref().map_or(0, Vec::len);
            let bytes = self.bounded(&[checkpoint.digest_state.len()], None, &[segments])?;
            self.change(bytes, move |to| changes::checkpoint(to, &checkpoint))
                .await
        })
    }

    fn complete(&self, completion: Completion) -> Answer<'_, ()> {
        Box::pin(async move {
            let bytes = self.bounded(
                &[],
                completion.inline.as_ref(),
                &[completion.segments.len()],
            )?;
            self.change(bytes, move |to| changes::complete(to, &completion))
                .await
        })
    }

    fn fail(&self, file_id: FileId, reason: String, failed_at: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let bytes = self.bounded(&[reason.len()], None, &[])?;
            self.change(bytes, move |to| {
                changes::fail(to, &file_id, &reason, failed_at)
            })
            .await
        })
    }

    fn finals_waiting_for(
        &self,
        part_file_id: FileId,
        after: Option<FileId>,
        limit: u32,
    ) -> Answer<'_, Vec<FileRecord>> {
        Box::pin(self.query(move |from| {
            queries::finals_waiting_for(from, &part_file_id, after.as_ref(), limit)
        }))
    }

    fn set_digest(
        &self,
        file_id: FileId,
        blake3: [u8; 32],
        sha256: Option<[u8; 32]>,
    ) -> Answer<'_, ()> {
        Box::pin(self.change(0, move |to| {
            changes::set_digest(to, &file_id, &blake3, sha256.as_ref())
        }))
    }

    fn set_damage(&self, file_id: FileId, damage: String) -> Answer<'_, ()> {
        Box::pin(async move {
            let bytes = self.bounded(&[damage.len()], None, &[])?;
            self.change(bytes, move |to| changes::set_damage(to, &file_id, &damage))
                .await
        })
    }

    fn set_limits(
        &self,
        file_id: FileId,
        max_downloads: Option<u64>,
        expires_at: Option<i64>,
    ) -> Answer<'_, ()> {
        Box::pin(self.change(0, move |to| {
            changes::set_limits(to, &file_id, max_downloads, expires_at)
        }))
    }

    fn pending_digests(&self, limit: u32) -> Answer<'_, Vec<FileRecord>> {
        Box::pin(self.query(move |from| queries::pending_digests(from, limit)))
    }

    fn delete(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>> {
        Box::pin(self.change(0, move |to| removal::delete(to, &file_id)))
    }

    fn pending_deletions(&self, limit: u32) -> Answer<'_, Vec<SegmentId>> {
        Box::pin(self.query(move |from| queries::pending_deletions(from, limit)))
    }

    fn forget_segments(&self, segments: Vec<SegmentId>) -> Answer<'_, ()> {
        Box::pin(async move {
            let bytes = self.bounded(&[], None, &[segments.len()])?;
            self.change(bytes, move |to| removal::forget_segments(to, &segments))
                .await
        })
    }

    fn expired(&self, now: i64, skip: u32, limit: u32) -> Answer<'_, Vec<FileId>> {
        Box::pin(self.query(move |from| queries::expired(from, now, skip, limit)))
    }

    fn delete_expired(&self, now: i64, files: Vec<FileId>) -> Answer<'_, Vec<FileRecord>> {
        Box::pin(async move {
            let bytes = self.bounded(&[], None, &[files.len()])?;
            self.change(bytes, move |to| removal::delete_expired(to, now, &files))
                .await
        })
    }

    fn reserved_unbegun(&self, before: i64, limit: u32) -> Answer<'_, Vec<FileId>> {
        Box::pin(self.query(move |from| queries::reserved_unbegun(from, before, limit)))
    }

    fn unfinished(&self, limit: u32, after: Option<FileId>) -> Answer<'_, Vec<FileRecord>> {
        Box::pin(self.query(move |from| queries::unfinished(from, limit, after.as_ref())))
    }

    fn files_of_segment(&self, segment_id: SegmentId, limit: u32) -> Answer<'_, Vec<FileRecord>> {
        Box::pin(self.query(move |from| queries::files_of_segment(from, &segment_id, limit)))
    }

    fn knows_segment(&self, segment_id: SegmentId) -> Answer<'_, bool> {
        Box::pin(self.query(move |from| queries::knows_segment(from, &segment_id)))
    }

    fn segments(&self, limit: u32, after: Option<SegmentId>) -> Answer<'_, Vec<SegmentId>> {
        Box::pin(self.query(move |from| queries::segments(from, limit, after.as_ref())))
    }

    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async {
            match self.is_in_doubt() {
                true => self.change(0, changes::settle).await,
                false => Ok(()),
            }
        })
    }

    fn work(&self) -> Work {
        let stats = self.stats();
        Work {
            commits: stats.commits,
            operations: stats.operations,
            log_bytes: stats.log_bytes,
        }
    }

    fn totals(&self) -> Answer<'_, Totals> {
        Box::pin(self.query(queries::totals))
    }

    fn owner_totals(&self, owner: String) -> Answer<'_, OwnerTotals> {
        Box::pin(self.query(move |from| queries::owner_totals(from, &owner)))
    }

    fn count_download(&self, file_id: FileId, now: i64) -> Answer<'_, bool> {
        Box::pin(self.change(0, move |to| changes::count_download(to, &file_id, now)))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, ()> {
        Box::pin(self.aside(move |from| schema::copy(from, &to)))
    }

    fn check(&self) -> Answer<'_, ()> {
        Box::pin(self.aside(check::check))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            // An error is how each tells that it has ended.
            let (changes, threads) = self.hang_up();
            for (_, ended) in threads.readers {
                let _ = ended.await;
            }
            drop(changes);
            if let Some((_, ended)) = threads.writer {
                let _ = ended.await;
            }
            Ok(())
        })
    }
}
