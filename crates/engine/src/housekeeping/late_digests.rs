//! Digests that could not be computed while the bytes came: of files that were joined from parts,
//! and SHA-256 of what came in several requests.
//!
//! Such a file is read once, in the background.

use std::sync::Arc;
use std::time::Duration;

use ddx_catalog::FileRecord;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;

/// What is wrong with a file whose CRC is another than that of the bytes that arrived.
pub(crate) const OTHER_BYTES: &str = "its bytes are not those that arrived";

/// Rows that are looked at together.
const PAGE_ROWS: u32 = 256;

impl Core {
    /// Files that were joined from parts are read once, and their digests noted.
    pub(crate) async fn digest_pending(self: &Arc<Self>) -> Result<(), Error> {
        loop {
            let page = self
                .catalog
                .pending_digests(PAGE_ROWS)
                .await
                .map_err(in_catalog)?;
            let mut digested = false;
            for record in page {
                if self.closing.is_cancelled() {
                    return Ok(());
                }
                digested |= self.digest_file(record).await?;
            }
            // What could not be digested has expired: it goes with the next round, and is not
            // looked at again and again till then.
            if !digested {
                return Ok(());
            }
        }
    }

    /// Notes a file's digest; false where the file can't be read any more.
    async fn digest_file(self: &Arc<Self>, record: FileRecord) -> Result<bool, Error> {
        let (file_id, length) = (record.file_id, record.offset_bytes);
        let mut digests = crate::upload::digests::Digests::new(false, self.config.sha256_always);
        let crc64 = record.crc64;
        let download = match Engine(self.clone())
            .open(record.clone(), "housekeeping")
            .await
        {
            Ok(download) => download,
            Err(Error::NotFound | Error::Expired | Error::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut stream = std::pin::pin!(download.stream(0, Some(length)));
        let (began, mut read_bytes) = (Instant::now(), 0_u64);
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Err(Error::Damaged { .. }) => return Ok(true),
                chunk => chunk?,
            };
            read_bytes += chunk.len() as u64;
            digests = self
                .surroundings
                .begin(move || {
                    digests.update(&chunk);
                    digests
                })
                .done()
                .await?;
            // No client waits for it: disk and processors are there for those that do.
            let rate = self.config.late_digest_bytes_per_second.max(1);
            let due = Duration::from_secs_f64(read_bytes as f64 / rate as f64);
            tokio::time::sleep_until(began + due).await;
        }
        if digests.crc64() != crc64 {
            // A digest of these bytes would vouch for what was never sent.
            return match self.mark_damaged(&record, OTHER_BYTES).await {
                Ok(()) | Err(Error::NotFound) => Ok(true),
                Err(error) => Err(error),
            };
        }
        let Some(blake3) = digests.blake3() else {
            return Ok(false);
        };
        match self
            .catalog
            .set_digest(file_id, blake3, digests.take_sha256())
            .await
        {
            Ok(()) => self.tell(&record, false),
            Err(error) if error.kind() == ddx_catalog::ErrorKind::Gone => {}
            Err(error) => return Err(in_catalog(error)),
        }
        Ok(true)
    }
}
