//! The end of an upload: how a file that is whole is recorded, whichever way its bytes came.

use std::time::Duration;

use ddx_catalog::{Completion, FileRecord, Kind, Segment, State};

use crate::config::Config;
use crate::deadline::after;
use crate::engine::{Core, in_catalog};
use crate::error::Error;
use crate::stats::Counted;
use crate::upload::digests::Digests;

/// A file of which every byte is here.
#[derive(Debug)]
pub(crate) struct WholeFile {
    pub(crate) length_bytes: u64,
    /// None where it follows in the background.
    pub(crate) blake3: Option<[u8; 32]>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) crc64: u64,
    /// Its segments in order; none with `inline`.
    pub(crate) segments: Vec<Segment>,
    /// Its bytes, where they are few.
    pub(crate) inline: Option<Vec<u8>>,
}

impl WholeFile {
    /// A small one, its bytes in the catalog.
    pub(crate) fn inline(bytes: Vec<u8>, is_part: bool, with_sha256: bool) -> Self {
        let mut digests = Digests::new(is_part, with_sha256);
        digests.update(&bytes);
        Self {
            length_bytes: bytes.len() as u64,
            inline: Some(bytes),
            ..Self::in_segments(Vec::new(), digests)
        }
    }

    /// One whose bytes are on the disk.
    pub(crate) fn in_segments(segments: Vec<Segment>, mut digests: Digests) -> Self {
        Self {
            length_bytes: segments.iter().map(|segment| segment.length_bytes).sum(),
            blake3: digests.blake3(),
            sha256: digests.take_sha256(),
            crc64: digests.crc64(),
            segments,
            inline: None,
        }
    }
}

/// What the catalog is told of a file that is whole now. It is kept for `keep`, or for as long as
/// is configured.
pub(crate) fn completion(
    config: &Config,
    record: &FileRecord,
    whole: WholeFile,
    keep: Option<Duration>,
    completed_at: i64,
) -> Completion {
    let is_part = record.kind == Kind::Partial;
    let lasts = match is_part {
        true => Some(config.upload_expires),
        false => keep.or(config.file_expires),
    };
    // A SHA-256 that is wanted and could not be computed on the way (its state is not kept between
    // requests) is computed in the background; a file without BLAKE3 is what that looks for.
    let is_late = config.sha256_always && whole.sha256.is_none() && !is_part;
    Completion {
        file_id: record.file_id,
        length_bytes: whole.length_bytes,
        blake3: whole.blake3.filter(|_| !is_late),
        sha256: whole.sha256,
        crc64: whole.crc64,
        segments: whole.segments,
        inline: whole.inline,
        completed_at,
        expires_at: lasts.map(|lasts| after(completed_at, lasts)),
    }
}

/// The record as the catalog has it after a completion.
pub(crate) fn apply(completion: &Completion, record: &mut FileRecord) {
    record.state = State::Complete;
    record.length_bytes = Some(completion.length_bytes);
    record.offset_bytes = completion.length_bytes;
    record.blake3 = completion.blake3;
    record.sha256 = completion.sha256;
    record.crc64 = completion.crc64;
    record.segments.clone_from(&completion.segments);
    record.inline = completion.inline.is_some();
    record.updated_at = completion.completed_at;
    record.completed_at = Some(completion.completed_at);
    record.expires_at = completion.expires_at;
}

impl Core {
    /// Publishes a file whose upload has a record.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it was deleted meanwhile, or is complete already.
    pub(crate) async fn complete(
        &self,
        record: &mut FileRecord,
        whole: WholeFile,
        keep: Option<Duration>,
    ) -> Result<(), Error> {
        let completion = completion(&self.config, record, whole, keep, self.now());
        apply(&completion, record);
        self.catalog
            .complete(completion)
            .await
            .map_err(in_catalog)?;
        self.completed(record).await;
        Ok(())
    }

    /// Counts a file that the catalog has as complete, and tells those who wait for it.
    pub(crate) async fn completed(&self, record: &FileRecord) {
        self.stats.count(&record.protocol, Counted::Completed, 1);
        self.tell(record, false);
        if record.kind == Kind::Partial {
            Box::pin(self.join_waiting_or_later(record.file_id)).await;
        } else if record.blake3.is_none() {
            self.chores.digests.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of_kind(kind: Kind, config: &Config, keep: Option<Duration>) -> Completion {
        let record = FileRecord {
            kind,
            ..FileRecord::default()
        };
        let whole = WholeFile::inline(b"abc".to_vec(), kind == Kind::Partial, false);
        completion(config, &record, whole, keep, 1_000)
    }

    #[test]
    fn a_part_lasts_as_long_as_an_unfinished_upload_and_a_file_as_it_was_asked() {
        let config = Config {
            upload_expires: HOUR,
            file_expires: None,
            ..Config::default()
        };
        let after = |hours: i64| Some(1_000 + hours * 3_600_000);
        assert_eq!(of_kind(Kind::Partial, &config, None).expires_at, after(1));
        assert_eq!(of_kind(Kind::Whole, &config, None).expires_at, None);
        let asked = of_kind(Kind::Whole, &config, Some(2 * HOUR));
        assert_eq!(asked.expires_at, after(2));
        let config = Config {
            file_expires: Some(3 * HOUR),
            ..config
        };
        assert_eq!(of_kind(Kind::Partial, &config, None).expires_at, after(1));
        assert_eq!(of_kind(Kind::Final, &config, None).expires_at, after(3));
    }

    #[test]
    fn a_file_without_a_sha256_that_is_wanted_waits_for_both_digests() {
        let config = Config {
            sha256_always: true,
            ..Config::default()
        };
        assert_eq!(of_kind(Kind::Whole, &config, None).blake3, None);
        let config = Config::default();
        let expected = Some(*blake3_of_abc());
        assert_eq!(
            of_kind(Kind::Whole, &config, None).blake3.as_ref(),
            expected.as_ref()
        );
    }

    /// From the test vectors of RFC 6234's text "abc", by another implementation of BLAKE3.
    fn blake3_of_abc() -> &'static [u8; 32] {
        &[
            0x64, 0x37, 0xb3, 0xac, 0x38, 0x46, 0x51, 0x33, 0xff, 0xb6, 0x3b, 0x75, 0x27, 0x3a,
            0x8d, 0xb5, 0x48, 0xc5, 0x58, 0x46, 0x5d, 0x79, 0xdb, 0x03, 0xfd, 0x35, 0x9c, 0x6c,
            0xd5, 0xbd, 0x9d, 0x85,
        ]
    }

    #[test]
    fn the_record_says_what_the_catalog_was_told() {
        let config = Config::default();
        let completion = of_kind(Kind::Whole, &config, Some(HOUR));
        let mut record = FileRecord::default();
        apply(&completion, &mut record);
        assert_eq!(record.state, State::Complete);
        assert_eq!((record.length_bytes, record.offset_bytes), (Some(3), 3));
        assert!(record.inline && record.segments.is_empty());
        assert_eq!(record.completed_at, Some(1_000));
        assert_eq!(record.expires_at, completion.expires_at);
    }
}
