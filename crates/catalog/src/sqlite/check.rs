//! Reading everything and looking for contradictions: SQLite's own, and those of the rules between
//! tables.

use super::fault::REMEDY;
use crate::{Error, ErrorKind};
use rusqlite::Connection;

/// Each query finds nothing in a sound catalog.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "a complete file has upload state, or one that is not complete has none",
        "SELECT 1 FROM files f LEFT JOIN uploads u USING (file_no) WHERE (f.state = 2) = (u.file_no IS NOT NULL)",
    ),
    (
        "an offset is beyond the length",
        "SELECT 1 FROM uploads JOIN files USING (file_no) WHERE offset_bytes > length_bytes",
    ),
    (
        "the segments of a complete file are not as long as it",
        "SELECT 1 FROM files f WHERE state = 2 AND inline = 0 AND length_bytes <> \
            (SELECT coalesce(sum(length_bytes), 0) FROM file_segments s WHERE s.file_no = f.file_no)",
    ),
    (
        "inline bytes are missing, of another length, or not expected",
        "SELECT 1 FROM files f LEFT JOIN inline_bytes i USING (file_no) \
            WHERE iif(f.inline, i.bytes IS NULL OR length(i.bytes) <> f.length_bytes, i.file_no IS NOT NULL)",
    ),
    (
        "a file refers to a segment pending deletion",
        "SELECT 1 FROM file_segments JOIN pending_deletions USING (segment_id)",
    ),
    (
        "a share is empty and not marked so, or marked and not empty",
        "SELECT 1 FROM shares s WHERE empty = EXISTS (SELECT 1 FROM files f WHERE f.share_no = s.share_no)",
    ),
    (
        "what an owner has unfinished is not what the files say",
        "SELECT 1 FROM (SELECT owner, count(*) AS unfinished, coalesce(sum(length_bytes), 0) AS promised_bytes \
            FROM files WHERE state IN (0, 1) GROUP BY owner) f FULL JOIN owners o USING (owner) \
            WHERE f.unfinished IS NOT o.unfinished OR f.promised_bytes IS NOT o.promised_bytes",
    ),
    (
        "the totals are not those of the files",
        "SELECT 1 FROM (SELECT count(*) FILTER (WHERE state = 2 AND kind <> 1) AS files, \
            coalesce(sum(length_bytes) FILTER (WHERE state = 2 AND kind <> 1), 0) AS bytes, \
            count(*) FILTER (WHERE state IN (0, 1)) AS unfinished, count(damage) AS damaged FROM files) f \
            LEFT JOIN totals t WHERE t.files IS NOT f.files OR t.bytes IS NOT f.bytes \
            OR t.unfinished IS NOT f.unfinished OR t.damaged IS NOT f.damaged",
    ),
];

pub(super) fn check(connection: &Connection) -> Result<(), Error> {
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(corrupt(&verdict));
    }
    if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err(corrupt("a row refers to one that is not there"));
    }
    for (contradiction, sql) in CONTRADICTIONS {
        if connection.prepare(sql)?.exists([])? {
            return Err(corrupt(contradiction));
        }
    }
    Ok(())
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what).with_remedy(REMEDY)
}
