//! Between rows and records.

use crate::{Error, ErrorKind, FileRecord, FileSummary, Kind, Segment, ShareRecord, State};
use ddx_id::{FileId, KeyHash, ShareId};
use rusqlite::{Connection, OptionalExtension, Row};

pub(super) fn kind_code(kind: Kind) -> i64 {
    match kind {
        Kind::Whole => 0,
        Kind::Partial => 1,
        Kind::Final => 2,
    }
}

pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Receiving => 0,
        State::Joining => 1,
        State::Complete => 2,
        State::Failed => 3,
    }
}

pub(super) fn kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Kind> {
    match row.get(column)? {
        0_i64 => Ok(Kind::Whole),
        1 => Ok(Kind::Partial),
        2 => Ok(Kind::Final),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) fn state_at(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    match row.get(column)? {
        0_i64 => Ok(State::Receiving),
        1 => Ok(State::Joining),
        2 => Ok(State::Complete),
        3 => Ok(State::Failed),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

/// SQLite's integers are signed: a number of bytes beyond 2^63 can't be kept.
pub(super) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("{number} is above 2^63")))
}

pub(super) fn size_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn size_or_none_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    number
        .map(|number| {
            u64::try_from(number)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
        })
        .transpose()
}

/// A CRC is 64 bits and not a number: its sign is a bit like others.
pub(super) fn crc_to_row(crc64: u64) -> i64 {
    crc64.cast_signed()
}

fn crc_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// An all-zero hash is no key, and NULL in the table.
pub(super) fn key_to_row<Key>(hash: &KeyHash<Key>) -> Option<&[u8; 32]> {
    (!hash.is_none()).then_some(hash.as_bytes())
}

/// An id is its bytes.
pub(super) fn id_at<T: From<[u8; 16]>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get::<_, [u8; 16]>(column).map(T::from)
}

fn key_at<Key>(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyHash<Key>> {
    row.get::<_, Option<[u8; 32]>>(column)
        .map(|hash| hash.map_or(KeyHash::NONE, KeyHash::from_bytes))
}

pub(super) fn share_from(row: &Row<'_>) -> rusqlite::Result<ShareRecord> {
    Ok(ShareRecord {
        share_id: id_at(row, 0)?,
        share_key_hash: key_at(row, 1)?,
        created_at: row.get(2)?,
    })
}

const FILE: &str = "SELECT f.file_id, s.share_id, f.upload_key_hash, f.delete_key_hash, f.owner, f.path, \
    f.content_type, f.metadata, f.kind, f.state, f.protocol, f.length_bytes, \
    iif(f.state = 2, f.length_bytes, u.offset_bytes), u.digest_state, iif(f.state = 2, f.crc64, u.crc64), \
    f.blake3, f.sha256, f.created_at, iif(f.state = 2, f.updated_at, u.updated_at), f.completed_at, \
    iif(f.state = 2, f.expires_at, u.expires_at), f.max_downloads, f.downloads, f.inline, f.failure, f.damage, f.sealed_metadata \
    FROM files f JOIN shares s USING (share_no) LEFT JOIN uploads u USING (file_no) WHERE f.file_no = ?1";

pub(super) fn file_from(row: &Row<'_>) -> rusqlite::Result<FileRecord> {
    Ok(FileRecord {
        file_id: id_at(row, 0)?,
        share_id: id_at(row, 1)?,
        upload_key_hash: key_at(row, 2)?,
        delete_key_hash: key_at(row, 3)?,
        owner: row.get(4)?,
        path: row.get(5)?,
        content_type: row.get(6)?,
        metadata: row.get(7)?,
        kind: kind_at(row, 8)?,
        state: state_at(row, 9)?,
        protocol: row.get(10)?,
        length_bytes: size_or_none_at(row, 11)?,
        offset_bytes: size_at(row, 12)?,
        digest_state: row.get::<_, Option<Vec<u8>>>(13)?.unwrap_or_default(),
        crc64: crc_at(row, 14)?,
        blake3: row.get(15)?,
        sha256: row.get(16)?,
        created_at: row.get(17)?,
        updated_at: row.get(18)?,
        completed_at: row.get(19)?,
        expires_at: row.get(20)?,
        max_downloads: size_or_none_at(row, 21)?,
        downloads: size_at(row, 22)?,
        segments: Vec::new(),
        inline: row.get(23)?,
        parts: Vec::new(),
        failure: row.get(24)?,
        damage: row.get(25)?,
        sealed_metadata: row.get(26)?,
    })
}

/// A row of a share's listing.
pub(super) fn summary_from(row: &Row<'_>, share_id: &ShareId) -> rusqlite::Result<FileSummary> {
    Ok(FileSummary {
        file_id: id_at(row, 0)?,
        share_id: *share_id,
        path: row.get(1)?,
        content_type: row.get(2)?,
        kind: kind_at(row, 3)?,
        state: state_at(row, 4)?,
        length_bytes: size_or_none_at(row, 5)?,
        offset_bytes: size_at(row, 6)?,
        crc64: crc_at(row, 7)?,
        blake3: row.get(8)?,
        sha256: row.get(9)?,
        created_at: row.get(10)?,
        completed_at: row.get(11)?,
        expires_at: row.get(12)?,
        failure: row.get(13)?,
        damage: row.get(14)?,
    })
}

/// The whole record of a row that is there.
pub(super) fn load(connection: &Connection, file_no: i64) -> Result<FileRecord, Error> {
    let mut file = connection
        .prepare_cached(FILE)?
        .query_row([file_no], file_from)?;
    if !file.inline {
        file.segments = load_segments(connection, file_no)?;
    }
    if file.kind == Kind::Final {
        file.parts = load_parts(connection, file_no)?;
    }
    Ok(file)
}

pub(super) fn load_segments(connection: &Connection, file_no: i64) -> Result<Vec<Segment>, Error> {
    const SQL: &str = "SELECT segment_id, length_bytes, crc64 FROM file_segments WHERE file_no = ?1 ORDER BY position";
    let segment = |row: &Row<'_>| {
        Ok(Segment {
            segment_id: id_at(row, 0)?,
            length_bytes: size_at(row, 1)?,
            crc64: crc_at(row, 2)?,
        })
    };
    Ok(connection
        .prepare_cached(SQL)?
        .query_map([file_no], segment)?
        .collect::<Result<_, _>>()?)
}

pub(super) fn load_parts(connection: &Connection, file_no: i64) -> Result<Vec<FileId>, Error> {
    const SQL: &str = "SELECT part_file_id FROM file_parts WHERE file_no = ?1 ORDER BY position";
    Ok(connection
        .prepare_cached(SQL)?
        .query_map([file_no], |row| id_at(row, 0))?
        .collect::<Result<_, _>>()?)
}

/// The row number of a file.
pub(super) fn file_no(connection: &Connection, file_id: &FileId) -> Result<Option<i64>, Error> {
    const SQL: &str = "SELECT file_no FROM files WHERE file_id = ?1";
    Ok(connection
        .prepare_cached(SQL)?
        .query_row([file_id.as_bytes()], |row| row.get(0))
        .optional()?)
}
