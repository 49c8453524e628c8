//! Reads. A listing first takes the row numbers from one index and then loads each row: one
//! statement makes all records, and none of them sorts.

use super::rows::{file_no, id_at, load, share_from, size_at, summary_from};
use crate::{
    Error, FileRecord, FileSummary, OwnerTotals, PAGE_ROWS_MAX, PAGE_TEXT_BYTES, ShareRecord,
    Totals,
};
use ddx_id::{DeleteKey, FileId, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};
use rusqlite::{Connection, OptionalExtension, Params};

const SHARE: &str = "SELECT share_id, share_key_hash, created_at FROM shares WHERE share_id = ?1";
const SHARE_BY_KEY: &str =
    "SELECT share_id, share_key_hash, created_at FROM shares WHERE share_key_hash = ?1";
/// No path is empty, so an empty one is before all.
const SHARE_FILES: &str = "SELECT f.file_id, f.path, f.content_type, f.kind, f.state, f.length_bytes, \
    iif(f.state = 2, f.length_bytes, u.offset_bytes), iif(f.state = 2, f.crc64, u.crc64), f.blake3, f.sha256, \
    f.created_at, f.completed_at, iif(f.state = 2, f.expires_at, u.expires_at), f.failure, f.damage \
    FROM files f LEFT JOIN uploads u USING (file_no) \
    WHERE f.share_no = (SELECT share_no FROM shares WHERE share_id = ?1) AND f.path > ?2 ORDER BY f.path LIMIT ?3";
const FILE_BY_PATH: &str = "SELECT file_no FROM files WHERE share_no = (SELECT share_no FROM shares WHERE share_id = ?1) \
    AND path = ?2";
const INLINE: &str =
    "SELECT bytes FROM inline_bytes WHERE file_no = (SELECT file_no FROM files WHERE file_id = ?1)";
const FINALS_WAITING_FOR: &str = "SELECT DISTINCT p.file_no FROM file_parts p JOIN files f USING (file_no) \
    WHERE p.part_file_id = ?1 AND f.state = 1 ORDER BY p.file_no LIMIT ?2";
const FINALS_WAITING_FOR_AFTER: &str = "SELECT DISTINCT p.file_no FROM file_parts p JOIN files f USING (file_no) \
    WHERE p.part_file_id = ?1 AND p.file_no > coalesce((SELECT file_no FROM files WHERE file_id = ?3), 0) \
    AND f.state = 1 ORDER BY p.file_no LIMIT ?2";
const PENDING_DIGESTS: &str = "SELECT file_no FROM files WHERE state = 2 AND kind <> 1 AND blake3 IS NULL AND damage IS NULL \
    ORDER BY completed_at, file_no LIMIT ?1";
const EXPIRED: &str = "SELECT file_no, expires_at FROM uploads WHERE expires_at <= ?1 UNION ALL \
    SELECT file_no, expires_at FROM files WHERE expires_at <= ?1 ORDER BY 2, 1 LIMIT ?2 OFFSET ?3";
const FILE_ID: &str = "SELECT file_id FROM files WHERE file_no = ?1";
const UNFINISHED: &str =
    "SELECT file_no FROM files WHERE state IN (0, 1) ORDER BY file_id LIMIT ?1";
const UNFINISHED_AFTER: &str =
    "SELECT file_no FROM files WHERE state IN (0, 1) AND file_id > ?2 ORDER BY file_id LIMIT ?1";
const PENDING_DELETIONS: &str =
    "SELECT segment_id FROM pending_deletions ORDER BY deletion_no LIMIT ?1";
const KNOWS_SEGMENT: &str = "SELECT EXISTS (SELECT 1 FROM file_segments WHERE segment_id = ?1)";
const SEGMENTS: &str = "SELECT DISTINCT segment_id FROM file_segments WHERE segment_id > ?1 ORDER BY segment_id LIMIT ?2";
const FILES_OF_SEGMENT: &str =
    "SELECT DISTINCT file_no FROM file_segments WHERE segment_id = ?1 ORDER BY file_no LIMIT ?2";
const TOTALS: &str = "SELECT files, bytes, unfinished, damaged FROM totals";
const OWNER_TOTALS: &str = "SELECT unfinished, promised_bytes FROM owners WHERE owner = ?1";
const FILE_BY_UPLOAD_KEY: &str = "SELECT file_no FROM files WHERE upload_key_hash = ?1";
const FILE_BY_DELETE_KEY: &str = "SELECT file_no FROM files WHERE delete_key_hash = ?1";

pub(super) fn share(
    connection: &Connection,
    share_id: &ShareId,
) -> Result<Option<ShareRecord>, Error> {
    Ok(connection
        .prepare_cached(SHARE)?
        .query_row([share_id.as_bytes()], share_from)
        .optional()?)
}

pub(super) fn share_by_key(
    connection: &Connection,
    hash: &KeyHash<ShareKey>,
) -> Result<Option<ShareRecord>, Error> {
    Ok(connection
        .prepare_cached(SHARE_BY_KEY)?
        .query_row([hash.as_bytes()], share_from)
        .optional()?)
}

pub(super) fn share_files(
    connection: &Connection,
    share_id: &ShareId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<FileSummary>, Error> {
    let mut statement = connection.prepare_cached(SHARE_FILES)?;
    let rows = statement.query_map(
        (share_id.as_bytes(), after.unwrap_or_default(), page(limit)),
        |row| summary_from(row, share_id),
    )?;
    let (mut files, mut text_bytes) = (Vec::new(), 0);
    for file in rows {
        let file = file?;
        text_bytes += file.text_bytes();
        files.push(file);
        if text_bytes >= PAGE_TEXT_BYTES {
            break;
        }
    }
    Ok(files)
}

pub(super) fn file(connection: &Connection, file_id: &FileId) -> Result<Option<FileRecord>, Error> {
    file_no(connection, file_id)?
        .map(|file_no| load(connection, file_no))
        .transpose()
}

pub(super) fn file_by_upload_key(
    connection: &Connection,
    hash: &KeyHash<UploadKey>,
) -> Result<Option<FileRecord>, Error> {
    one(connection, FILE_BY_UPLOAD_KEY, [hash.as_bytes()])
}

pub(super) fn file_by_delete_key(
    connection: &Connection,
    hash: &KeyHash<DeleteKey>,
) -> Result<Option<FileRecord>, Error> {
    one(connection, FILE_BY_DELETE_KEY, [hash.as_bytes()])
}

pub(super) fn file_by_path(
    connection: &Connection,
    share_id: &ShareId,
    path: &str,
) -> Result<Option<FileRecord>, Error> {
    one(connection, FILE_BY_PATH, (share_id.as_bytes(), path))
}

pub(super) fn inline(connection: &Connection, file_id: &FileId) -> Result<Option<Vec<u8>>, Error> {
    Ok(connection
        .prepare_cached(INLINE)?
        .query_row([file_id.as_bytes()], |row| row.get(0))
        .optional()?)
}

pub(super) fn finals_waiting_for(
    connection: &Connection,
    part: &FileId,
    after: Option<&FileId>,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    match after {
        None => list(
            connection,
            FINALS_WAITING_FOR,
            (part.as_bytes(), page(limit)),
        ),
        Some(after) => list(
            connection,
            FINALS_WAITING_FOR_AFTER,
            (part.as_bytes(), page(limit), after.as_bytes()),
        ),
    }
}

pub(super) fn pending_digests(
    connection: &Connection,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    list(connection, PENDING_DIGESTS, [page(limit)])
}

pub(super) fn expired(
    connection: &Connection,
    now: i64,
    skip: u32,
    limit: u32,
) -> Result<Vec<FileId>, Error> {
    let mut file_id = connection.prepare_cached(FILE_ID)?;
    numbers(connection, EXPIRED, (now, page(limit), skip))?
        .into_iter()
        .map(|file_no| Ok(file_id.query_row([file_no], |row| id_at(row, 0))?))
        .collect()
}

pub(super) fn reserved_unbegun(
    connection: &Connection,
    before: i64,
    limit: u32,
) -> Result<Vec<FileId>, Error> {
    const SQL: &str = "SELECT file_id FROM uploads JOIN files USING (file_no) WHERE reserved_at < ?1 \
        ORDER BY reserved_at LIMIT ?2";
    connection
        .prepare_cached(SQL)?
        .query_map((before, page(limit)), |row| id_at(row, 0))?
        .map(|row| Ok(row?))
        .collect()
}

pub(super) fn unfinished(
    connection: &Connection,
    limit: u32,
    after: Option<&FileId>,
) -> Result<Vec<FileRecord>, Error> {
    match after {
        None => list(connection, UNFINISHED, [page(limit)]),
        Some(after) => list(
            connection,
            UNFINISHED_AFTER,
            (page(limit), after.as_bytes()),
        ),
    }
}

pub(super) fn pending_deletions(
    connection: &Connection,
    limit: u32,
) -> Result<Vec<SegmentId>, Error> {
    Ok(connection
        .prepare_cached(PENDING_DELETIONS)?
        .query_map([page(limit)], |row| id_at(row, 0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn files_of_segment(
    connection: &Connection,
    segment_id: &SegmentId,
    limit: u32,
) -> Result<Vec<FileRecord>, Error> {
    list(
        connection,
        FILES_OF_SEGMENT,
        (segment_id.as_bytes(), page(limit)),
    )
}

pub(super) fn knows_segment(
    connection: &Connection,
    segment_id: &SegmentId,
) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached(KNOWS_SEGMENT)?
        .query_row([segment_id.as_bytes()], |row| row.get(0))?)
}

pub(super) fn segments(
    connection: &Connection,
    limit: u32,
    after: Option<&SegmentId>,
) -> Result<Vec<SegmentId>, Error> {
    // No id is empty, so an empty one is before all.
    let after: &[u8] = after.map_or(&[], |after| after.as_bytes());
    Ok(connection
        .prepare_cached(SEGMENTS)?
        .query_map((after, page(limit)), |row| id_at(row, 0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn totals(connection: &Connection) -> Result<Totals, Error> {
    let totals = |row: &rusqlite::Row<'_>| {
        Ok(Totals {
            files: size_at(row, 0)?,
            bytes: size_at(row, 1)?,
            unfinished: size_at(row, 2)?,
            damaged: size_at(row, 3)?,
        })
    };
    Ok(connection.prepare_cached(TOTALS)?.query_row([], totals)?)
}

pub(super) fn owner_totals(connection: &Connection, owner: &str) -> Result<OwnerTotals, Error> {
    let totals = |row: &rusqlite::Row<'_>| {
        Ok(OwnerTotals {
            unfinished: size_at(row, 0)?,
            promised_bytes: size_at(row, 1)?,
        })
    };
    let mut statement = connection.prepare_cached(OWNER_TOTALS)?;
    let found = statement.query_row([owner], totals).optional()?;
    Ok(found.unwrap_or_default())
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

fn numbers(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<i64>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn list(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<FileRecord>, Error> {
    numbers(connection, sql, params)?
        .into_iter()
        .map(|file_no| load(connection, file_no))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Config, schema};

    const READS: &[&str] = &[
        SHARE,
        SHARE_BY_KEY,
        SHARE_FILES,
        FILE_BY_PATH,
        INLINE,
        FINALS_WAITING_FOR,
        FINALS_WAITING_FOR_AFTER,
        PENDING_DIGESTS,
        EXPIRED,
        FILE_ID,
        UNFINISHED,
        UNFINISHED_AFTER,
        PENDING_DELETIONS,
        FILES_OF_SEGMENT,
        KNOWS_SEGMENT,
        SEGMENTS,
        TOTALS,
        OWNER_TOTALS,
        FILE_BY_UPLOAD_KEY,
        FILE_BY_DELETE_KEY,
    ];

    /// With a million rows, whatever reads or sorts all of them stops the reader for seconds.
    #[test]
    fn no_read_scans_a_table_or_sorts() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = schema::open_writer(folder.path(), &Config::default()).unwrap();
        for sql in READS {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let mut rows = statement.raw_query(); // parameters stay NULL
            let mut plan: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                plan.push(row.get(3).unwrap());
            }
            for step in &plan {
                let whole = step.starts_with("SCAN")
                    && !step.contains("INDEX")
                    && !HARMLESS.contains(&step.as_str());
                assert!(
                    !whole && !step.contains("TEMP B-TREE FOR ORDER BY"),
                    "{sql}: {plan:?}"
                );
            }
        }
    }

    /// One row, and rows in the order of their numbers, of which a page is taken.
    const HARMLESS: &[&str] = &["SCAN totals", "SCAN pending_deletions", "SCAN CONSTANT ROW"];
}
