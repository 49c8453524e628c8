//! Changes that take things away.
//!
//! A deletion is two steps: the record goes and its segments are written down as pending deletions,
//! in one transaction; then the bytes go, and then these rows. A crash in between leaves rows that
//! say what is still to be deleted.

use super::changes::mark_for_deletion;
use super::rows::{file_no, load};
use crate::{Error, FileRecord, PAGE_ROWS_MAX};
use ddx_id::{FileId, SegmentId};
use rusqlite::Connection;

pub(super) fn delete(
    connection: &Connection,
    file_id: &FileId,
) -> Result<Option<FileRecord>, Error> {
    const SHARE: &str = "DELETE FROM shares WHERE share_id = ?1 \
        AND NOT EXISTS (SELECT 1 FROM files WHERE share_no = shares.share_no)";
    let Some(file_no) = file_no(connection, file_id)? else {
        return Ok(None);
    };
    let file = load(connection, file_no)?;
    // Uploads, inline bytes, segments and parts follow by ON DELETE CASCADE.
    connection
        .prepare_cached("DELETE FROM files WHERE file_no = ?1")?
        .execute([file_no])?;
    mark_for_deletion(
        connection,
        file.segments.iter().map(|segment| segment.segment_id),
    )?;
    connection
        .prepare_cached(SHARE)?
        .execute([file.share_id.as_bytes()])?;
    Ok(Some(file))
}

pub(super) fn delete_expired(
    connection: &Connection,
    now: i64,
    files: &[FileId],
) -> Result<Vec<FileRecord>, Error> {
    const IS_OVER: &str = "SELECT EXISTS (SELECT 1 FROM files LEFT JOIN uploads u USING (file_no) \
        WHERE file_id = ?1 AND iif(state = 2, files.expires_at, u.expires_at) <= ?2)";
    let mut gone = Vec::new();
    for file_id in files {
        let is_over: bool = connection
            .prepare_cached(IS_OVER)?
            .query_row((file_id.as_bytes(), now), |row| row.get(0))?;
        if is_over {
            gone.extend(delete(connection, file_id)?);
        }
    }
    Ok(gone)
}

pub(super) fn forget_segments(
    connection: &Connection,
    segments: &[SegmentId],
) -> Result<(), Error> {
    let mut statement =
        connection.prepare_cached("DELETE FROM pending_deletions WHERE segment_id = ?1")?;
    for segment in segments {
        statement.execute([segment.as_bytes()])?;
    }
    Ok(())
}

pub(super) fn forget_empty_shares(
    connection: &Connection,
    created_before: i64,
    limit: u32,
) -> Result<u64, Error> {
    const SQL: &str = "DELETE FROM shares WHERE share_no IN \
        (SELECT share_no FROM shares WHERE empty = 1 AND created_at < ?1 ORDER BY created_at LIMIT ?2)";
    let count = connection
        .prepare_cached(SQL)?
        .execute((created_before, limit.min(PAGE_ROWS_MAX)))?;
    Ok(count as u64)
}
