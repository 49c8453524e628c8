//! The catalog as plainly as it can be written: vectors in memory, no index, no transaction, rules
//! written anew and not taken from the library.
//!
//! The backends are compared with it call by call (`tests/model.rs`), and the simulation of the
//! whole server keeps its records in it.

use std::collections::BTreeMap;

use ddx_id::{FileId, KeyHash, SegmentId, ShareId};

use crate::{
    Checkpoint, Completion, ErrorKind, FileRecord, Kind, NewFile, OwnerTotals, Segment,
    ShareRecord, State, Totals,
};

/// What the reference answers.
pub type Verdict<T = ()> = Result<T, ErrorKind>;

/// All records of a catalog.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    /// Shares, in the order in which they were made.
    pub shares: Vec<ShareRecord>,
    /// Files, in the order in which they were made.
    pub files: Vec<FileRecord>,
    /// Bytes of small files.
    pub inline: Vec<(FileId, Vec<u8>)>,
    /// Segments to be deleted, oldest first.
    pub pending_deletions: Vec<SegmentId>,
    /// Since when files have, or had, segments and no byte.
    reserved_at: BTreeMap<FileId, i64>,
}

fn ensure(holds: bool, otherwise: ErrorKind) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Whether it is one key: where there is none, it is not.
fn same<Key>(one: KeyHash<Key>, two: KeyHash<Key>) -> bool {
    one == two && !one.is_none()
}

fn sum(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.length_bytes).sum()
}

impl Reference {
    /// As [`Catalog::file`](crate::Catalog::file).
    pub fn file(&self, file_id: FileId) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.file_id == file_id)
    }

    fn file_mut(&mut self, file_id: FileId) -> Verdict<&mut FileRecord> {
        self.files
            .iter_mut()
            .find(|file| file.file_id == file_id)
            .ok_or(ErrorKind::Gone)
    }

    /// As [`Catalog::knows_segment`](crate::Catalog::knows_segment).
    pub fn knows(&self, segment: SegmentId) -> bool {
        self.files
            .iter()
            .flat_map(|file| &file.segments)
            .any(|known| known.segment_id == segment)
    }

    fn mark_for_deletion(&mut self, segments: &[Segment]) {
        for segment in segments {
            if !self.knows(segment.segment_id)
                && !self.pending_deletions.contains(&segment.segment_id)
            {
                self.pending_deletions.push(segment.segment_id);
            }
        }
    }

    fn none_pending_deletion(&self, segments: &[Segment]) -> Verdict {
        ensure(
            !segments
                .iter()
                .any(|segment| self.pending_deletions.contains(&segment.segment_id)),
            ErrorKind::Gone,
        )
    }

    /// Whether a final of these parts may have these segments.
    fn joins(&self, parts: &[FileId], segments: &[Segment]) -> Verdict {
        let mut joined = Vec::new();
        for part in parts {
            let part = self.file(*part).ok_or(ErrorKind::Gone)?;
            ensure(
                part.kind == Kind::Partial && part.state == State::Complete,
                ErrorKind::Invalid,
            )?;
            joined.extend_from_slice(&part.segments);
        }
        joined.retain(|segment| segment.length_bytes > 0);
        let mut given = segments.to_vec();
        given.retain(|segment| segment.length_bytes > 0);
        ensure(joined == given, ErrorKind::Invalid)
    }

    /// As [`Catalog::create_share`](crate::Catalog::create_share).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn create_share(&mut self, share: ShareRecord) -> Verdict {
        let taken = self.shares.iter().any(|other| {
            other.share_id == share.share_id
                || (other.share_key_hash == share.share_key_hash && !share.share_key_hash.is_none())
        });
        ensure(!taken, ErrorKind::Taken)?;
        self.shares.push(share);
        Ok(())
    }

    /// As [`Catalog::create`](crate::Catalog::create).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn create(&mut self, new: &NewFile) -> Verdict {
        let file = &new.record;
        let length = file.length_bytes.unwrap_or(u64::MAX);
        let sound = match file.state {
            // What a database can't count, no disk can hold.
            _ if i64::try_from(file.length_bytes.unwrap_or(0)).is_err() => false,
            State::Failed => false,
            State::Joining => file.kind == Kind::Final && file.offset_bytes == 0,
            State::Receiving => file.kind != Kind::Final && file.offset_bytes <= length,
            State::Complete => {
                file.length_bytes == Some(file.offset_bytes) && file.digest_state.is_empty()
            }
        };
        ensure(
            sound && (file.state == State::Complete) == file.completed_at.is_some(),
            ErrorKind::Invalid,
        )?;
        ensure(
            file.kind == Kind::Final || file.parts.is_empty(),
            ErrorKind::Invalid,
        )?;
        if file.state == State::Complete {
            Self::holds(file.kind, length, &file.segments, new.inline.as_ref())?;
        } else {
            ensure(new.inline.is_none(), ErrorKind::Invalid)?;
        }
        if file.state == State::Complete && file.kind == Kind::Final {
            self.joins(&file.parts, &file.segments)?;
        }
        let share = ShareRecord {
            share_id: file.share_id,
            share_key_hash: new.share_key_hash,
            created_at: file.created_at,
        };
        let makes_share = !self
            .shares
            .iter()
            .any(|other| other.share_id == share.share_id);
        let key_taken = !share.share_key_hash.is_none()
            && self
                .shares
                .iter()
                .any(|other| other.share_key_hash == share.share_key_hash);
        ensure(!(makes_share && key_taken), ErrorKind::Taken)?;
        let taken = self.files.iter().any(|other| {
            other.file_id == file.file_id
                || (other.share_id == file.share_id && other.path == file.path)
                || same(other.upload_key_hash, file.upload_key_hash)
                || same(other.delete_key_hash, file.delete_key_hash)
        });
        ensure(!taken, ErrorKind::Taken)?;
        self.none_pending_deletion(&file.segments)?;
        if makes_share {
            self.shares.push(share);
        }
        if let Some(bytes) = &new.inline {
            self.inline.push((file.file_id, bytes.clone()));
        }
        if file.reserves_unbegun() {
            self.reserved_at.insert(file.file_id, file.updated_at);
        }
        self.files.push(FileRecord {
            inline: new.inline.is_some(),
            damage: None,
            ..file.clone()
        });
        if let Some(expires_at) = file.expires_at.filter(|_| file.state == State::Joining) {
            self.keep_family(file.file_id, expires_at);
        }
        Ok(())
    }

    /// Joining finals of this part that expire soon, and all their parts, last as long as it does.
    fn keep_families_of(&mut self, part: FileId, at: i64, expires_at: i64) {
        let soon = expires_at - (expires_at - at).max(0) / 8;
        for id in self.waiting_for(part) {
            if self
                .file(id)
                .and_then(|file| file.expires_at)
                .is_some_and(|at| at < soon)
            {
                self.keep_family(id, expires_at);
            }
        }
    }

    fn keep_family(&mut self, of: FileId, expires_at: i64) {
        let parts = self.file(of).map(|file| file.parts.clone());
        for file in &mut self.files {
            let is_in =
                file.file_id == of || parts.iter().flatten().any(|part| *part == file.file_id);
            if is_in && file.expires_at.is_some_and(|at| at < expires_at) {
                file.expires_at = Some(expires_at);
            }
        }
    }

    fn holds(kind: Kind, length: u64, segments: &[Segment], inline: Option<&Vec<u8>>) -> Verdict {
        let right = match inline {
            None => sum(segments) == length,
            Some(bytes) => {
                segments.is_empty()
                    && bytes.len() as u64 == length
                    && (kind != Kind::Partial || bytes.is_empty())
            }
        };
        ensure(right, ErrorKind::Invalid)
    }

    /// As [`Catalog::checkpoint`](crate::Catalog::checkpoint).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn checkpoint(&mut self, to: &Checkpoint) -> Verdict {
        let file = self.file(to.file_id).ok_or(ErrorKind::Gone)?;
        ensure(file.state == State::Receiving, ErrorKind::Gone)?;
        ensure(to.offset_bytes >= file.offset_bytes, ErrorKind::Invalid)?;
        let known = file.length_bytes.or(to.length_bytes);
        ensure(
            to.length_bytes.is_none() || to.length_bytes == known,
            ErrorKind::Invalid,
        )?;
        ensure(
            to.offset_bytes <= known.unwrap_or(u64::MAX),
            ErrorKind::Invalid,
        )?;
        let before = file.segments.clone();
        if let Some(segments) = to.segments.as_ref().filter(|segments| **segments != before) {
            self.none_pending_deletion(segments)?;
            self.file_mut(to.file_id)?.segments.clone_from(segments);
            self.mark_for_deletion(&before);
        }
        let file = self.file_mut(to.file_id)?;
        file.offset_bytes = to.offset_bytes;
        file.digest_state.clone_from(&to.digest_state);
        file.crc64 = to.crc64;
        file.length_bytes = known;
        file.updated_at = to.updated_at;
        let is_reserved = to.segments.is_some() && file.reserves_unbegun();
        file.expires_at = to.expires_at.or(file.expires_at);
        if let Some(expires_at) = to.expires_at.filter(|_| file.kind == Kind::Partial) {
            self.keep_families_of(to.file_id, to.updated_at, expires_at);
        }
        if is_reserved {
            self.reserved_at.insert(to.file_id, to.updated_at);
        }
        Ok(())
    }

    /// As [`Catalog::complete`](crate::Catalog::complete).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn complete(&mut self, last: &Completion) -> Verdict {
        let file = self.file(last.file_id).ok_or(ErrorKind::Gone)?;
        ensure(
            matches!(file.state, State::Receiving | State::Joining),
            ErrorKind::Gone,
        )?;
        ensure(
            file.length_bytes
                .is_none_or(|length| length == last.length_bytes),
            ErrorKind::Invalid,
        )?;
        ensure(file.offset_bytes <= last.length_bytes, ErrorKind::Invalid)?;
        Self::holds(
            file.kind,
            last.length_bytes,
            &last.segments,
            last.inline.as_ref(),
        )?;
        if file.kind == Kind::Final {
            self.joins(&file.parts, &last.segments)?;
        }
        let before = file.segments.clone();
        if before != last.segments {
            self.none_pending_deletion(&last.segments)?;
        }
        let file = self.file_mut(last.file_id)?;
        file.state = State::Complete;
        file.segments.clone_from(&last.segments);
        file.length_bytes = Some(last.length_bytes);
        file.offset_bytes = last.length_bytes;
        file.digest_state = Vec::new();
        file.crc64 = last.crc64;
        file.blake3 = last.blake3.or(file.blake3);
        file.sha256 = last.sha256.or(file.sha256);
        file.updated_at = last.completed_at;
        file.completed_at = Some(last.completed_at);
        file.expires_at = last.expires_at;
        file.inline = last.inline.is_some();
        if let Some(expires_at) = last.expires_at.filter(|_| file.kind == Kind::Partial) {
            self.keep_families_of(last.file_id, last.completed_at, expires_at);
        }
        self.mark_for_deletion(&before);
        self.inline.extend(
            last.inline
                .as_ref()
                .map(|bytes| (last.file_id, bytes.clone())),
        );
        Ok(())
    }

    /// As [`Catalog::fail`](crate::Catalog::fail).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn fail(&mut self, file_id: FileId, reason: &str, failed_at: i64) -> Verdict {
        let file = self.file_mut(file_id)?;
        ensure(
            matches!(file.state, State::Receiving | State::Joining),
            ErrorKind::Gone,
        )?;
        file.state = State::Failed;
        file.failure = Some(reason.to_owned());
        file.digest_state = Vec::new();
        file.updated_at = failed_at;
        Ok(())
    }

    /// As [`Catalog::set_digest`](crate::Catalog::set_digest).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn set_digest(
        &mut self,
        file_id: FileId,
        blake3: [u8; 32],
        sha256: Option<[u8; 32]>,
    ) -> Verdict {
        let file = self.file_mut(file_id)?;
        ensure(
            file.state == State::Complete && file.damage.is_none(),
            ErrorKind::Gone,
        )?;
        ensure(
            file.blake3.is_none_or(|known| known == blake3),
            ErrorKind::Invalid,
        )?;
        ensure(
            file.sha256.is_none() || sha256.is_none() || file.sha256 == sha256,
            ErrorKind::Invalid,
        )?;
        file.blake3 = Some(blake3);
        file.sha256 = sha256.or(file.sha256);
        Ok(())
    }

    /// As [`Catalog::set_damage`](crate::Catalog::set_damage).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn set_damage(&mut self, file_id: FileId, damage: &str) -> Verdict {
        let file = self.file_mut(file_id)?;
        ensure(file.state == State::Complete, ErrorKind::Gone)?;
        file.damage.get_or_insert_with(|| damage.to_owned());
        Ok(())
    }

    /// As [`Catalog::set_limits`](crate::Catalog::set_limits).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn set_limits(
        &mut self,
        file_id: FileId,
        max_downloads: Option<u64>,
        expires_at: Option<i64>,
    ) -> Verdict {
        let file = self.file_mut(file_id)?;
        ensure(file.state == State::Complete, ErrorKind::Gone)?;
        file.max_downloads = max_downloads;
        file.expires_at = expires_at;
        Ok(())
    }

    /// As [`Catalog::delete`](crate::Catalog::delete).
    pub fn delete(&mut self, file_id: FileId) -> Option<FileRecord> {
        let place = self.files.iter().position(|file| file.file_id == file_id)?;
        let file = self.files.remove(place);
        self.inline.retain(|(id, _)| *id != file_id);
        self.reserved_at.remove(&file_id);
        self.mark_for_deletion(&file.segments);
        if !self
            .files
            .iter()
            .any(|other| other.share_id == file.share_id)
        {
            self.shares.retain(|share| share.share_id != file.share_id);
        }
        Some(file)
    }

    /// As [`Catalog::delete_expired`](crate::Catalog::delete_expired).
    pub fn delete_expired(&mut self, now: i64, files: &[FileId]) -> Vec<FileRecord> {
        let mut gone = Vec::new();
        for file_id in files {
            let expires_at = self.file(*file_id).and_then(|file| file.expires_at);
            if expires_at.is_some_and(|at| at <= now) {
                gone.extend(self.delete(*file_id));
            }
        }
        gone
    }

    /// As [`Catalog::count_download`](crate::Catalog::count_download).
    ///
    /// # Errors
    /// The kinds that the trait names.
    pub fn count_download(&mut self, file_id: FileId, now: i64) -> Verdict<bool> {
        let file = self.file_mut(file_id).map_err(|_| ErrorKind::NotFound)?;
        ensure(file.state == State::Complete, ErrorKind::NotFound)?;
        let allowed = file.max_downloads.is_none_or(|max| file.downloads < max)
            && file.expires_at.is_none_or(|expires_at| expires_at > now);
        file.downloads += u64::from(allowed);
        Ok(allowed)
    }

    /// As [`Catalog::forget_empty_shares`](crate::Catalog::forget_empty_shares).
    pub fn forget_empty_shares(&mut self, created_before: i64, limit: u32) -> u64 {
        let mut forgotten = 0;
        let files = &self.files;
        self.shares.retain(|share| {
            let stays = forgotten == u64::from(limit)
                || share.created_at >= created_before
                || files.iter().any(|file| file.share_id == share.share_id);
            forgotten += u64::from(!stays);
            stays
        });
        forgotten
    }

    /// All files of a share in the order of their paths.
    pub fn share_files(&self, share_id: ShareId) -> Vec<FileRecord> {
        let mut files: Vec<_> = self
            .files
            .iter()
            .filter(|file| file.share_id == share_id)
            .cloned()
            .collect();
        files.sort_by(|one, two| one.path.as_bytes().cmp(two.path.as_bytes()));
        files
    }

    /// All receiving and joining files in the order of their ids.
    pub fn unfinished(&self) -> Vec<FileRecord> {
        let open = |file: &&FileRecord| matches!(file.state, State::Receiving | State::Joining);
        let mut files: Vec<_> = self.files.iter().filter(open).cloned().collect();
        files.sort_by_key(|file| file.file_id);
        files
    }

    /// As [`Catalog::reserved_unbegun`](crate::Catalog::reserved_unbegun), with the times.
    pub fn reserved_unbegun(&self, before: i64) -> Vec<(i64, FileId)> {
        let since = |file: &FileRecord| Some((*self.reserved_at.get(&file.file_id)?, file.file_id));
        let files = self.files.iter().filter(|file| file.reserves_unbegun());
        let mut files: Vec<_> = files
            .filter_map(since)
            .filter(|(at, _)| *at < before)
            .collect();
        files.sort_unstable();
        files
    }

    /// Ids only: files that expire in the same moment have no order.
    pub fn expired(&self, now: i64) -> Vec<(i64, FileId)> {
        let mut files: Vec<_> = self
            .files
            .iter()
            .filter_map(|file| {
                file.expires_at
                    .filter(|at| *at <= now)
                    .map(|at| (at, file.file_id))
            })
            .collect();
        files.sort_unstable();
        files
    }

    /// As [`Catalog::finals_waiting_for`](crate::Catalog::finals_waiting_for), ids only.
    pub fn waiting_for(&self, part: FileId) -> Vec<FileId> {
        let waits = |file: &&FileRecord| file.state == State::Joining && file.parts.contains(&part);
        let mut ids: Vec<_> = self
            .files
            .iter()
            .filter(waits)
            .map(|file| file.file_id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// All segments that files refer to, each once, in their order.
    pub fn segments(&self) -> Vec<SegmentId> {
        let mut ids: Vec<_> = self
            .files
            .iter()
            .flat_map(|file| &file.segments)
            .map(|known| known.segment_id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// As [`Catalog::owner_totals`](crate::Catalog::owner_totals).
    pub fn owner_totals(&self, owner: &str) -> OwnerTotals {
        let open = |file: &&FileRecord| matches!(file.state, State::Receiving | State::Joining);
        let own = self.files.iter().filter(open);
        let lengths = own.filter(|file| file.owner == owner);
        let lengths = lengths.map(|file| file.length_bytes.unwrap_or(0));
        lengths.fold(OwnerTotals::default(), |sum, length_bytes| OwnerTotals {
            unfinished: sum.unfinished + 1,
            promised_bytes: sum.promised_bytes + length_bytes,
        })
    }

    /// As [`Catalog::totals`](crate::Catalog::totals).
    pub fn totals(&self) -> Totals {
        let done = || {
            self.files
                .iter()
                .filter(|file| file.state == State::Complete && file.kind != Kind::Partial)
        };
        Totals {
            files: done().count() as u64,
            bytes: done().filter_map(|file| file.length_bytes).sum(),
            unfinished: self.unfinished().len() as u64,
            damaged: self
                .files
                .iter()
                .filter(|file| file.damage.is_some())
                .count() as u64,
        }
    }
}
