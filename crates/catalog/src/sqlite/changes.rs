//! Changes that make files and bring them further. Each runs in a savepoint of the writer's
//! transaction and may be run again, so it changes nothing but the database.

use super::rows::{
    crc_to_row, file_no, key_to_row, kind_at, kind_code, load_parts, load_segments, signed,
    size_at, state_at, state_code,
};
use crate::rules::{
    PartStanding, Standing, check_checkpoint, check_completion, check_joined, check_new,
    family_due_before,
};
use crate::{
    Checkpoint, Completion, Error, ErrorKind, FileRecord, Kind, NewFile, Segment, ShareRecord,
    State,
};
use ddx_id::{FileId, SegmentId};
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) fn create_share(connection: &Connection, share: &ShareRecord) -> Result<(), Error> {
    insert_share(connection, share, true).map(drop)
}

fn insert_share(connection: &Connection, share: &ShareRecord, empty: bool) -> Result<i64, Error> {
    const SQL: &str =
        "INSERT INTO shares (share_id, share_key_hash, created_at, empty) VALUES (?1, ?2, ?3, ?4)";
    Ok(connection.prepare_cached(SQL)?.insert(params![
        share.share_id.as_bytes(),
        key_to_row(&share.share_key_hash),
        share.created_at,
        empty
    ])?)
}

/// The number of the share that a file goes into, made if it is absent.
fn share_for(connection: &Connection, new: &NewFile) -> Result<i64, Error> {
    const FIND: &str = "SELECT share_no, empty FROM shares WHERE share_id = ?1";
    const FILL: &str = "UPDATE shares SET empty = 0 WHERE share_no = ?1";
    let file = &new.record;
    let found: Option<(i64, bool)> = connection
        .prepare_cached(FIND)?
        .query_row([file.share_id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((share_no, empty)) = found else {
        let share = ShareRecord {
            share_id: file.share_id,
            share_key_hash: new.share_key_hash,
            created_at: file.created_at,
        };
        return insert_share(connection, &share, false);
    };
    if empty {
        connection.prepare_cached(FILL)?.execute([share_no])?;
    }
    Ok(share_no)
}

pub(super) fn create(connection: &Connection, new: &NewFile) -> Result<(), Error> {
    check_new(new)?;
    let file = &new.record;
    if file.state == State::Complete && file.kind == Kind::Final {
        check_joined(&parts_standing(connection, &file.parts)?, &file.segments)?;
    }
    let share_no = share_for(connection, new)?;
    let file_no = insert_file(connection, new, share_no)?;
    if let Some(bytes) = &new.inline {
        insert_inline(connection, file_no, bytes)?;
    }
    if file.state != State::Complete {
        insert_upload(connection, file_no, file)?;
    }
    insert_segments(connection, file_no, &file.segments)?;
    const PART: &str =
        "INSERT INTO file_parts (file_no, position, part_file_id) VALUES (?1, ?2, ?3)";
    for (position, part) in (0_i64..).zip(&file.parts) {
        connection
            .prepare_cached(PART)?
            .execute((file_no, position, part.as_bytes()))?;
    }
    match file.expires_at.filter(|_| file.state == State::Joining) {
        Some(expires_at) => keep_family(connection, file_no, expires_at),
        None => Ok(()),
    }
}

fn insert_file(connection: &Connection, new: &NewFile, share_no: i64) -> Result<i64, Error> {
    const SQL: &str = "INSERT INTO files (file_id, share_no, path, upload_key_hash, delete_key_hash, owner, \
        content_type, metadata, kind, state, protocol, length_bytes, inline, crc64, blake3, sha256, created_at, \
        updated_at, completed_at, expires_at, max_downloads, downloads, sealed_metadata) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
    let file = &new.record;
    let complete = file.state == State::Complete;
    Ok(connection.prepare_cached(SQL)?.insert(params![
        file.file_id.as_bytes(),
        share_no,
        file.path,
        key_to_row(&file.upload_key_hash),
        key_to_row(&file.delete_key_hash),
        file.owner,
        file.content_type,
        file.metadata,
        kind_code(file.kind),
        state_code(file.state),
        file.protocol,
        file.length_bytes.map(signed).transpose()?,
        new.inline.is_some(),
        crc_to_row(if complete { file.crc64 } else { 0 }),
        file.blake3,
        file.sha256,
        file.created_at,
        file.updated_at,
        file.completed_at,
        file.expires_at.filter(|_| complete),
        file.max_downloads.map(signed).transpose()?,
        signed(file.downloads)?,
        file.sealed_metadata,
    ])?)
}

fn insert_upload(connection: &Connection, file_no: i64, file: &FileRecord) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO uploads (file_no, offset_bytes, crc64, digest_state, updated_at, expires_at, reserved_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(SQL)?.execute(params![
        file_no,
        signed(file.offset_bytes)?,
        crc_to_row(file.crc64),
        file.digest_state,
        file.updated_at,
        file.expires_at,
        file.reserves_unbegun().then_some(file.updated_at),
    ])?;
    Ok(())
}

fn insert_inline(connection: &Connection, file_no: i64, bytes: &[u8]) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO inline_bytes (file_no, bytes) VALUES (?1, ?2)";
    connection.prepare_cached(SQL)?.execute((file_no, bytes))?;
    Ok(())
}

fn insert_segments(
    connection: &Connection,
    file_no: i64,
    segments: &[Segment],
) -> Result<(), Error> {
    const PENDING: &str = "SELECT EXISTS (SELECT 1 FROM pending_deletions WHERE segment_id = ?1)";
    const SQL: &str = "INSERT INTO file_segments (file_no, position, segment_id, length_bytes, crc64) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    for (position, segment) in (0_i64..).zip(segments) {
        let pending: bool = connection
            .prepare_cached(PENDING)?
            .query_row([segment.segment_id.as_bytes()], |row| row.get(0))?;
        if pending {
            return Err(Error::new(
                ErrorKind::Gone,
                "a segment is pending deletion: its bytes are being deleted",
            ));
        }
        connection.prepare_cached(SQL)?.execute((
            file_no,
            position,
            segment.segment_id.as_bytes(),
            signed(segment.length_bytes)?,
            crc_to_row(segment.crc64),
        ))?;
    }
    Ok(())
}

/// Gives a file other segments; those that no file has any more are pending deletion.
fn replace_segments(
    connection: &Connection,
    file_no: i64,
    segments: &[Segment],
) -> Result<(), Error> {
    let before = load_segments(connection, file_no)?;
    if before == segments {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM file_segments WHERE file_no = ?1")?
        .execute([file_no])?;
    insert_segments(connection, file_no, segments)?;
    mark_for_deletion(connection, before.iter().map(|segment| segment.segment_id))
}

/// Puts those of the segments that no file refers to on the list of pending deletions.
pub(super) fn mark_for_deletion(
    connection: &Connection,
    segments: impl Iterator<Item = SegmentId>,
) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO pending_deletions (segment_id) SELECT ?1 \
        WHERE NOT EXISTS (SELECT 1 FROM file_segments WHERE segment_id = ?1) ON CONFLICT DO NOTHING";
    for segment in segments {
        connection
            .prepare_cached(SQL)?
            .execute([segment.as_bytes()])?;
    }
    Ok(())
}

/// The row number of a file and how it stands; [`ErrorKind::Gone`] if it is not there.
fn standing(connection: &Connection, file_id: &FileId) -> Result<(i64, Standing), Error> {
    const SQL: &str = "SELECT f.file_no, f.kind, f.state, f.length_bytes, \
        coalesce(u.offset_bytes, f.length_bytes) FROM files f LEFT JOIN uploads u USING (file_no) WHERE f.file_id = ?1";
    let read = |row: &Row<'_>| {
        let length_bytes = match row.get::<_, Option<i64>>(3)? {
            Some(_) => Some(size_at(row, 3)?),
            None => None,
        };
        let standing = Standing {
            kind: kind_at(row, 1)?,
            state: state_at(row, 2)?,
            length_bytes,
            offset_bytes: size_at(row, 4)?,
        };
        Ok((row.get(0)?, standing))
    };
    connection
        .prepare_cached(SQL)?
        .query_row([file_id.as_bytes()], read)
        .optional()?
        .ok_or_else(|| Error::new(ErrorKind::Gone, "there is no such file"))
}

fn parts_standing(connection: &Connection, parts: &[FileId]) -> Result<Vec<PartStanding>, Error> {
    let standing_of = |file_id: &FileId| {
        let Some(file_no) = file_no(connection, file_id)? else {
            return Ok(PartStanding {
                file_id: *file_id,
                state: None,
                segments: Vec::new(),
            });
        };
        let (_, now) = standing(connection, file_id)?;
        let segments = load_segments(connection, file_no)?;
        Ok(PartStanding {
            file_id: *file_id,
            state: Some((now.kind, now.state)),
            segments,
        })
    };
    parts.iter().map(standing_of).collect()
}

pub(super) fn checkpoint(connection: &Connection, next: &Checkpoint) -> Result<(), Error> {
    const UPLOAD: &str = "UPDATE uploads SET offset_bytes = ?2, crc64 = ?3, digest_state = ?4, updated_at = ?5, \
        expires_at = coalesce(?6, expires_at), \
        reserved_at = CASE WHEN ?2 > 0 OR NOT ?7 THEN NULL WHEN ?7 THEN ?5 ELSE reserved_at END WHERE file_no = ?1";
    const LENGTH: &str = "UPDATE files SET length_bytes = ?2 WHERE file_no = ?1";
    let (file_no, now) = standing(connection, &next.file_id)?;
    check_checkpoint(&now, next)?;
    connection.prepare_cached(UPLOAD)?.execute(params![
        file_no,
        signed(next.offset_bytes)?,
        crc_to_row(next.crc64),
        next.digest_state,
        next.updated_at,
        next.expires_at,
        next.segments.as_ref().map(|segments| !segments.is_empty()),
    ])?;
    if let (None, Some(length)) = (now.length_bytes, next.length_bytes) {
        connection
            .prepare_cached(LENGTH)?
            .execute((file_no, signed(length)?))?;
    }
    if let Some(segments) = &next.segments {
        replace_segments(connection, file_no, segments)?;
    }
    match next.expires_at.filter(|_| now.kind == Kind::Partial) {
        Some(expires_at) => {
            keep_families_of(connection, &next.file_id, next.updated_at, expires_at)
        }
        None => Ok(()),
    }
}

/// A part has come further: joining finals that it is in, and all their parts, last as long as it
/// does.
fn keep_families_of(
    connection: &Connection,
    part: &FileId,
    at: i64,
    expires_at: i64,
) -> Result<(), Error> {
    const DUE: &str = "SELECT DISTINCT p.file_no FROM file_parts p JOIN files f USING (file_no) \
        JOIN uploads u USING (file_no) WHERE p.part_file_id = ?1 AND f.state = 1 AND u.expires_at < ?2";
    let due: Vec<i64> = connection
        .prepare_cached(DUE)?
        .query_map(
            (part.as_bytes(), family_due_before(at, expires_at)),
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for file_no in due {
        keep_family(connection, file_no, expires_at)?;
    }
    Ok(())
}

/// Has a final and its parts expire no earlier than this.
fn keep_family(connection: &Connection, final_no: i64, expires_at: i64) -> Result<(), Error> {
    const FINAL: &str = "UPDATE uploads SET expires_at = ?2 WHERE file_no = ?1 AND expires_at < ?2";
    const PARTS: &str = "UPDATE uploads SET expires_at = ?2 WHERE expires_at < ?2 AND file_no IN \
        (SELECT f.file_no FROM file_parts p JOIN files f ON f.file_id = p.part_file_id WHERE p.file_no = ?1)";
    const COMPLETE_PARTS: &str = "UPDATE files SET expires_at = ?2 WHERE expires_at < ?2 AND file_no IN \
        (SELECT f.file_no FROM file_parts p JOIN files f ON f.file_id = p.part_file_id WHERE p.file_no = ?1)";
    for sql in [FINAL, PARTS, COMPLETE_PARTS] {
        connection
            .prepare_cached(sql)?
            .execute((final_no, expires_at))?;
    }
    Ok(())
}

pub(super) fn complete(connection: &Connection, last: &Completion) -> Result<(), Error> {
    const FILE: &str = "UPDATE files SET state = 2, length_bytes = ?2, inline = ?3, crc64 = ?4, \
        blake3 = coalesce(?5, blake3), sha256 = coalesce(?6, sha256), updated_at = ?7, completed_at = ?7, \
        expires_at = ?8 WHERE file_no = ?1";
    let (file_no, now) = standing(connection, &last.file_id)?;
    check_completion(&now, last)?;
    if now.kind == Kind::Final {
        let parts = load_parts(connection, file_no)?;
        check_joined(&parts_standing(connection, &parts)?, &last.segments)?;
    }
    connection
        .prepare_cached("DELETE FROM uploads WHERE file_no = ?1")?
        .execute([file_no])?;
    replace_segments(connection, file_no, &last.segments)?;
    if let Some(bytes) = &last.inline {
        insert_inline(connection, file_no, bytes)?;
    }
    connection.prepare_cached(FILE)?.execute(params![
        file_no,
        signed(last.length_bytes)?,
        last.inline.is_some(),
        crc_to_row(last.crc64),
        last.blake3,
        last.sha256,
        last.completed_at,
        last.expires_at,
    ])?;
    match last.expires_at.filter(|_| now.kind == Kind::Partial) {
        Some(expires_at) => {
            keep_families_of(connection, &last.file_id, last.completed_at, expires_at)
        }
        None => Ok(()),
    }
}

pub(super) fn fail(
    connection: &Connection,
    file_id: &FileId,
    reason: &str,
    failed_at: i64,
) -> Result<(), Error> {
    let (file_no, now) = standing(connection, file_id)?;
    if !matches!(now.state, State::Receiving | State::Joining) {
        return Err(Error::new(
            ErrorKind::Gone,
            format!("failure of a file that is {:?}", now.state),
        ));
    }
    connection
        .prepare_cached(
            "UPDATE files SET state = 3, failure = ?2, updated_at = ?3 WHERE file_no = ?1",
        )?
        .execute((file_no, reason, failed_at))?;
    connection
        .prepare_cached(
            "UPDATE uploads SET digest_state = x'', updated_at = ?2, reserved_at = NULL WHERE file_no = ?1",
        )?
        .execute((file_no, failed_at))?;
    Ok(())
}

pub(super) fn set_digest(
    connection: &Connection,
    file_id: &FileId,
    blake3: &[u8; 32],
    sha256: Option<&[u8; 32]>,
) -> Result<(), Error> {
    let (file_no, now) = standing(connection, file_id)?;
    if now.state != State::Complete {
        return Err(Error::new(
            ErrorKind::Gone,
            format!("digest of a file that is {:?}", now.state),
        ));
    }
    // A trigger refuses to change a known digest.
    let changed = connection
        .prepare_cached(
            "UPDATE files SET blake3 = ?2, sha256 = coalesce(?3, sha256) \
             WHERE file_no = ?1 AND damage IS NULL",
        )?
        .execute((file_no, blake3, sha256))?;
    if changed == 0 {
        return Err(Error::new(ErrorKind::Gone, "digest of a damaged file"));
    }
    Ok(())
}

pub(super) fn set_damage(
    connection: &Connection,
    file_id: &FileId,
    damage: &str,
) -> Result<(), Error> {
    const SQL: &str =
        "UPDATE files SET damage = coalesce(damage, ?2) WHERE file_id = ?1 AND state = 2";
    let changed = connection
        .prepare_cached(SQL)?
        .execute((file_id.as_bytes(), damage))?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::Gone,
            "there is no such complete file",
        ));
    }
    Ok(())
}

pub(super) fn set_limits(
    connection: &Connection,
    file_id: &FileId,
    max_downloads: Option<u64>,
    expires_at: Option<i64>,
) -> Result<(), Error> {
    const SQL: &str =
        "UPDATE files SET max_downloads = ?2, expires_at = ?3 WHERE file_id = ?1 AND state = 2";
    let max_downloads = max_downloads.map(signed).transpose()?;
    let changed =
        connection
            .prepare_cached(SQL)?
            .execute((file_id.as_bytes(), max_downloads, expires_at))?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::Gone,
            "there is no such complete file",
        ));
    }
    Ok(())
}

pub(super) fn count_download(
    connection: &Connection,
    file_id: &FileId,
    now: i64,
) -> Result<bool, Error> {
    const SQL: &str = "UPDATE files SET downloads = downloads + 1 WHERE file_id = ?1 AND state = 2 \
        AND (max_downloads IS NULL OR downloads < max_downloads) AND (expires_at IS NULL OR expires_at > ?2)";
    const THERE: &str = "SELECT EXISTS (SELECT 1 FROM files WHERE file_id = ?1 AND state = 2)";
    if connection
        .prepare_cached(SQL)?
        .execute((file_id.as_bytes(), now))?
        == 1
    {
        return Ok(true);
    }
    let there: bool = connection
        .prepare_cached(THERE)?
        .query_row([file_id.as_bytes()], |row| row.get(0))?;
    if there {
        Ok(false)
    } else {
        Err(Error::new(
            ErrorKind::NotFound,
            "there is no such complete file",
        ))
    }
}

/// Changes what means nothing, so that a page is written: SQLite sees where a row stays as it is.
/// The generation may run ahead of the folder's.
pub(super) fn settle(to: &Connection) -> Result<(), Error> {
    const SQL: &str = "UPDATE generation SET number = number + 1 WHERE one = 1";
    to.prepare_cached(SQL)?.execute([])?;
    Ok(())
}
