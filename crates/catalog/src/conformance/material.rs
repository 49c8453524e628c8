//! Records and calls that the cases are made of.

use ddx_id::KeyHash;

use crate::{
    Answer, Catalog, Checkpoint, Completion, Error, ErrorKind, FileRecord, NewFile, Segment, State,
};

fn numbered<const N: usize>(number: u32) -> [u8; N] {
    let mut bytes = [0x5a; N];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// An id that is told by a number.
pub(super) fn id<T: From<[u8; 16]>>(number: u32) -> T {
    numbered(number).into()
}

/// The same for a hash.
pub(super) fn wide<T: From<[u8; 32]>>(number: u32) -> T {
    numbered(number).into()
}

pub(super) fn segment(number: u32, length_bytes: u64) -> Segment {
    Segment {
        segment_id: id(number),
        length_bytes,
        crc64: u64::MAX - u64::from(number),
    }
}

/// A receiving file in a share of its own, 100 bytes long, in one segment of the same number.
pub(super) fn receiving(number: u32) -> FileRecord {
    FileRecord {
        file_id: id(number),
        share_id: id(number),
        upload_key_hash: wide(number),
        delete_key_hash: wide(number),
        owner: "ip:192.0.2.1".to_owned(),
        path: format!("file-{number}"),
        protocol: "tus".to_owned(),
        length_bytes: Some(100),
        created_at: 1_000,
        updated_at: 1_000,
        segments: vec![segment(number, 0)],
        ..FileRecord::default()
    }
}

pub(super) fn new(record: FileRecord) -> NewFile {
    NewFile {
        record,
        ..NewFile::default()
    }
}

/// A complete file of some inline bytes in a share of its own.
pub(super) fn small(number: u32, bytes: &[u8]) -> NewFile {
    let length_bytes = bytes.len() as u64;
    let record = FileRecord {
        state: State::Complete,
        upload_key_hash: KeyHash::NONE,
        length_bytes: Some(length_bytes),
        offset_bytes: length_bytes,
        completed_at: Some(1_000),
        segments: Vec::new(),
        ..receiving(number)
    };
    NewFile {
        record,
        share_key_hash: KeyHash::NONE,
        inline: Some(bytes.to_vec()),
    }
}

pub(super) fn at(number: u32, offset_bytes: u64) -> Checkpoint {
    Checkpoint {
        file_id: id(number),
        offset_bytes,
        digest_state: vec![7; 40],
        crc64: u64::MAX - offset_bytes,
        updated_at: 2_000,
        ..Checkpoint::default()
    }
}

pub(super) fn completion(number: u32, segments: Vec<Segment>) -> Completion {
    Completion {
        file_id: id(number),
        length_bytes: segments.iter().map(|segment| segment.length_bytes).sum(),
        blake3: Some(wide(number)),
        crc64: 5,
        segments,
        completed_at: 3_000,
        ..Completion::default()
    }
}

/// The kind that a call failed with; panics if it succeeded.
pub(super) async fn refused<T: std::fmt::Debug>(answer: Answer<'_, T>) -> ErrorKind {
    answer
        .await
        .map_err(|error: Error| error.kind())
        .unwrap_err()
}

pub(super) async fn file(catalog: &dyn Catalog, number: u32) -> FileRecord {
    catalog
        .file(id(number))
        .await
        .unwrap()
        .expect("the file is there")
}
