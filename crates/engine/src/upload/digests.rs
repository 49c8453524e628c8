//! The digests of an upload, in the order of its bytes.

use ddx_digest::{Algorithm, Checksum, Crc64, FileHasher};
use ddx_storage::Reader;

use crate::error::Error;

/// Digests of an upload, in the order of its bytes. Boxed: they are some KiB together, and every
/// future that they pass through would be as large.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    /// None for a part of a concatenation: it does not know its place in the file.
    file: Option<Box<FileHasher>>,
    crc: Crc64,
    /// Of this request's body only.
    body: Option<(Algorithm, Box<Checksum>)>,
    /// Of the whole file, where one request carries all of it.
    sha256: Option<Box<Checksum>>,
}

/// How far an upload has got and its digests there: what a checkpoint records.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) digest_state: Vec<u8>,
    pub(crate) crc64: u64,
}

impl Digests {
    /// Of an upload with no byte yet.
    pub(crate) fn new(is_part: bool, with_sha256: bool) -> Self {
        Self {
            file: (!is_part).then(|| Box::new(FileHasher::new())),
            crc: Crc64::new(),
            body: None,
            sha256: with_sha256.then(|| Box::new(Checksum::new(Algorithm::Sha256))),
        }
    }

    /// Of an upload that continues: from the state of its last checkpoint, and the bytes since the
    /// last leaf's border, read back through `scratch`.
    pub(crate) fn resume(
        is_part: bool,
        state: &[u8],
        crc64: u64,
        durable: u64,
        reader: &dyn Reader,
        scratch: &mut [u8],
    ) -> Result<Self, Error> {
        let mut digests = Self {
            file: None,
            crc: Crc64::resume(crc64),
            body: None,
            sha256: None,
        };
        if is_part {
            return Ok(digests);
        }
        let mut file = FileHasher::resume(state)
            .map_err(|error| Error::Internal(format!("digest state: {error}")))?;
        while file.offset() < durable {
            let most = usize::try_from(durable - file.offset())
                .unwrap_or(usize::MAX)
                .min(scratch.len());
            let count = reader
                .read_at(file.offset(), &mut scratch[..most])
                .map_err(Error::Storage)?;
            if count == 0 {
                return Err(Error::Internal(format!(
                    "the segment ends at {}, {durable} were recorded",
                    file.offset()
                )));
            }
            file.update(&scratch[..count]);
        }
        digests.file = Some(Box::new(file));
        Ok(digests)
    }

    /// Also of the body that comes now.
    pub(crate) fn expect_body(&mut self, algorithm: Algorithm) {
        self.body = Some((algorithm, Box::new(Checksum::new(algorithm))));
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            file.update(bytes);
        }
        self.crc.update(bytes);
        if let Some((_, body)) = &mut self.body {
            body.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    pub(crate) fn mark(&self, offset: u64) -> Mark {
        Mark {
            offset,
            digest_state: self
                .file
                .as_ref()
                .map(|file| file.state())
                .unwrap_or_default(),
            crc64: self.crc.value(),
        }
    }

    pub(crate) fn blake3(&self) -> Option<[u8; 32]> {
        self.file.as_ref().map(|file| file.finalize())
    }

    pub(crate) fn crc64(&self) -> u64 {
        self.crc.value()
    }

    /// Of this request's body.
    pub(crate) fn take_body(&mut self) -> Option<Vec<u8>> {
        self.body.take().map(|(_, body)| body.finalize())
    }

    pub(crate) fn take_sha256(&mut self) -> Option<[u8; 32]> {
        self.sha256
            .take()
            .and_then(|sha256| sha256.finalize().try_into().ok())
    }
}
