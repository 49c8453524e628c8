//! Where a file's bytes lie: in the catalog, or in segments one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ddx_catalog::{FileRecord, State};
use ddx_memory::{Account, Charge};
use ddx_storage::ErrorKind;

use crate::download::span::SegmentFile;
use crate::engine::{Core, in_catalog, on_disk};
use crate::error::Error;
use crate::housekeeping::late_digests::OTHER_BYTES;
use crate::upload::body::refused;

/// What one segment of a file takes while that is read: its record, its place in the file, and its
/// file descriptor's holder.
const SEGMENT_BYTES: u64 = 256;
/// So many are in what a request is charged anyway.
const SEGMENTS_COVERED: usize = 16;

/// A piece of the file: where it begins in the file, how long it is, and what it is read from.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) begins_at: u64,
    pub(super) length_bytes: u64,
    pub(super) segment: SegmentFile,
}

#[derive(Clone)]
pub(super) enum Layout {
    Inline(Bytes),
    Pieces(VecDeque<Piece>),
}

impl Core {
    /// A file that was joined of a thousand parts has a list of them, for each that reads it.
    pub(super) fn charge_segments(&self, count: usize) -> Result<Option<Arc<Charge>>, Error> {
        if count <= SEGMENTS_COVERED {
            return Ok(None);
        }
        let charge = self
            .ledger
            .charge(Account::Answers, count as u64 * SEGMENT_BYTES);
        charge.map(Arc::new).map(Some).map_err(refused)
    }

    /// What to answer to a client that asked for bytes that are known to be wrong now. The file is
    /// damaged whether that can be written down or not.
    pub(super) async fn found_damaged(&self, record: &FileRecord, what: &str) -> Error {
        match self.mark_damaged(record, what).await {
            Err(Error::NotFound) => return Error::NotFound,
            Err(error) => {
                tracing::error!(file = ?record.file_id, what, error = &error as &dyn std::error::Error, "a file is damaged, which can't be saved in the catalog; its downloads fail; upload it again, and see to the disk");
            }
            Ok(()) => {}
        }
        damaged(what)
    }

    pub(super) async fn layout(&self, record: &FileRecord) -> Result<Layout, Error> {
        if record.inline {
            let bytes = self
                .catalog
                .inline(record.file_id)
                .await
                .map_err(in_catalog)?
                .ok_or(Error::NotFound)?;
            return inline(record, bytes);
        }
        if record.state == State::Joining {
            return Ok(Layout::Pieces(VecDeque::new()));
        }
        let is_complete = record.state == State::Complete;
        let segments_bytes: u64 = record.segments.iter().map(|it| it.length_bytes).sum();
        if is_complete && segments_bytes != record.offset_bytes {
            return Err(damaged(
                "what is stored of it has another length than the file",
            ));
        }
        let has_bytes = is_complete || record.offset_bytes > 0;
        let mut begins_at = 0;
        let mut pieces = VecDeque::with_capacity(record.segments.len());
        for segment in &record.segments {
            // The one segment of a file that still arrives is as long as it will become.
            let length_bytes = match is_complete {
                true => segment.length_bytes,
                false => u64::MAX,
            };
            pieces.push_back(Piece {
                begins_at,
                length_bytes,
                segment: SegmentFile::new(self.store.clone(), segment.segment_id),
            });
            begins_at = begins_at.saturating_add(length_bytes);
        }
        self.blocking(move |_| {
            // The others are opened when it is their turn.
            let opened = pieces.front().map(|first| first.segment.reader().map(drop));
            match opened.transpose() {
                // Not durable before its first bytes are: it is made anew with them.
                Err(error) if !has_bytes && error.kind() == ErrorKind::NotFound => {
                    Ok(Layout::Pieces(VecDeque::new()))
                }
                Err(error) if is_complete && error.kind() == ErrorKind::NotFound => {
                    Err(damaged(MISSING))
                }
                opened => opened.map(|_| Layout::Pieces(pieces)).map_err(on_disk),
            }
        })
        .await
    }
}

/// What is wrong with a file whose segment is not there.
pub(super) const MISSING: &str = "a part of what is stored is missing on the disk";

/// Bytes that lie in the catalog, whose pages have no checksum: one that was damaged is refused,
/// not delivered.
fn inline(record: &FileRecord, bytes: Vec<u8>) -> Result<Layout, Error> {
    let mut crc64 = ddx_digest::Crc64::new();
    crc64.update(&bytes);
    if bytes.len() as u64 != record.offset_bytes || crc64.value() != record.crc64 {
        return Err(damaged(OTHER_BYTES));
    }
    Ok(Layout::Inline(Bytes::from(bytes)))
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Damaged {
        what: what.to_owned(),
    }
}
