//! Reads. A listing first takes the row numbers from one index and then loads each row: one statement makes all
//! records, and none of them sorts.

use super::rows::{file_no, load, share_from, size_at};
use crate::{
    Error, FileId, FileRecord, KeyHash, PAGE_ROWS_MAX, SegmentId, ShareId, ShareRecord, Totals,
};
use rusqlite::{Connection, OptionalExtension, Params};

pub(super) fn share(
    connection: &Connection,
    share_id: &ShareId,
) -> Result<Option<ShareRecord>, Error> {
    const SQL: &str = "SELECT share_id, share_key_hash, created_at FROM shares WHERE share_id = ?1";
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([share_id], share_from)
        .optional()?)
}

pub(super) fn share_by_key(
    connection: &Connection,
    hash: &KeyHash,
) -> Result<Option<ShareRecord>, Error> {
    const SQL: &str =
        "SELECT share_id, share_key_hash, created_at FROM shares WHERE share_key_hash = ?1";
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([hash], share_from)
        .optional()?)
}

pub(super) fn share_files(
    connection: &Connection,
    share_id: &ShareId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    const ALL: &str = "SELECT file_no FROM files WHERE share_no = (SELECT share_no FROM shares WHERE share_id = ?1) \
        ORDER BY path LIMIT ?2";
    const AFTER: &str = "SELECT file_no FROM files WHERE share_no = (SELECT share_no FROM shares WHERE share_id = ?1) \
        AND path > ?3 ORDER BY path LIMIT ?2";
    match after {
        None => list(connection, ALL, (share_id, page(limit))),
        Some(after) => list(connection, AFTER, (share_id, page(limit), after)),
    }
}

pub(super) fn file(connection: &Connection, file_id: &FileId) -> Result<Option<FileRecord>, Error> {
    file_no(connection, file_id)?
        .map(|file_no| load(connection, file_no))
        .transpose()
}

pub(super) fn file_by_upload_key(
    connection: &Connection,
    hash: &KeyHash,
) -> Result<Option<FileRecord>, Error> {
    one(
        connection,
        "SELECT file_no FROM files WHERE upload_key_hash = ?1",
        [hash],
    )
}

pub(super) fn file_by_delete_key(
    connection: &Connection,
    hash: &KeyHash,
) -> Result<Option<FileRecord>, Error> {
    one(
        connection,
        "SELECT file_no FROM files WHERE delete_key_hash = ?1",
        [hash],
    )
}

pub(super) fn file_by_path(
    connection: &Connection,
    share_id: &ShareId,
    path: &str,
) -> Result<Option<FileRecord>, Error> {
    const SQL: &str = "SELECT file_no FROM files WHERE share_no = (SELECT share_no FROM shares WHERE share_id = ?1) \
        AND path = ?2";
    one(connection, SQL, (share_id, path))
}

pub(super) fn inline(connection: &Connection, file_id: &FileId) -> Result<Option<Vec<u8>>, Error> {
    const SQL: &str = "SELECT bytes FROM inline_bytes WHERE file_no = (SELECT file_no FROM files WHERE file_id = ?1)";
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([file_id], |row| row.get(0))
        .optional()?)
}

pub(super) fn finals_waiting_for(
    connection: &Connection,
    part: &FileId,
) -> Result<Vec<FileRecord>, Error> {
    const SQL: &str = "SELECT DISTINCT p.file_no FROM file_parts p JOIN files f USING (file_no) \
        WHERE p.part_file_id = ?1 AND f.state = 1 ORDER BY p.file_no LIMIT ?2";
    list(connection, SQL, (part, page(PAGE_ROWS_MAX)))
}

pub(super) fn pending_digests(
    connection: &Connection,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    const SQL: &str = "SELECT file_no FROM files WHERE state = 2 AND kind <> 1 AND blake3 IS NULL \
        ORDER BY completed_at, file_no LIMIT ?1";
    list(connection, SQL, [page(limit)])
}

pub(super) fn expired(
    connection: &Connection,
    now: i64,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    const SQL: &str = "SELECT file_no, expires_at FROM uploads WHERE expires_at <= ?1 UNION ALL \
        SELECT file_no, expires_at FROM files WHERE expires_at <= ?1 ORDER BY 2, 1 LIMIT ?2";
    list(connection, SQL, (now, page(limit)))
}

pub(super) fn unfinished(
    connection: &Connection,
    limit: u32,
    after: Option<&FileId>,
) -> Result<Vec<FileRecord>, Error> {
    const ALL: &str = "SELECT file_no FROM files WHERE state IN (0, 1) ORDER BY file_id LIMIT ?1";
    const AFTER: &str = "SELECT file_no FROM files WHERE state IN (0, 1) AND file_id > ?2 ORDER BY file_id LIMIT ?1";
    match after {
        None => list(connection, ALL, [page(limit)]),
        Some(after) => list(connection, AFTER, (page(limit), after)),
    }
}

pub(super) fn doomed_segments(
    connection: &Connection,
    limit: u32,
) -> Result<Vec<SegmentId>, Error> {
    const SQL: &str = "SELECT segment_id FROM doomed_segments ORDER BY doomed_no LIMIT ?1";
    Ok(connection
        .prepare_cached(SQL)?
        .query_map([page(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn knows_segment(
    connection: &Connection,
    segment_id: &SegmentId,
) -> Result<bool, Error> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM file_segments WHERE segment_id = ?1)";
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([segment_id], |row| row.get(0))?)
}

pub(super) fn segments(
    connection: &Connection,
    limit: u32,
    after: Option<&SegmentId>,
) -> Result<Vec<SegmentId>, Error> {
    // No id is empty, so an empty one is before all.
    const SQL: &str = "SELECT DISTINCT segment_id FROM file_segments WHERE segment_id > ?1 ORDER BY segment_id LIMIT ?2";
    let after: &[u8] = after.map_or(&[], |after| after);
    Ok(connection
        .prepare_cached(SQL)?
        .query_map((after, page(limit)), |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn totals(connection: &Connection) -> Result<Totals, Error> {
    const SQL: &str = "SELECT files, bytes, unfinished FROM totals";
    let totals = |row: &rusqlite::Row<'_>| {
        Ok(Totals {
            files: size_at(row, 0)?,
            bytes: size_at(row, 1)?,
            unfinished: size_at(row, 2)?,
        })
    };
    Ok(connection.prepare_cached(SQL)?.query_row([], totals)?)
}

fn page(limit: u32) -> u32 {
    limit.min(PAGE_ROWS_MAX)
}

fn one(connection: &Connection, sql: &str, key: impl Params) -> Result<Option<FileRecord>, Error> {
    let file_no: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(key, |row| row.get(0))
        .optional()?;
    file_no.map(|file_no| load(connection, file_no)).transpose()
}

fn list(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<FileRecord>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let numbers: Vec<i64> = statement
        .query_map(params, |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    numbers
        .into_iter()
        .map(|file_no| load(connection, file_no))
        .collect()
}
