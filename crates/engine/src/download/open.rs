//! A file that is opened to be read.

use std::sync::Arc;

use ddx_catalog::{FileRecord, State};
use ddx_memory::{Charge, Holder};

use crate::download::layout::{Layout, damaged};
use crate::download::span::{Span, Stretch};
use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;

/// A file that is open for reading.
#[derive(Clone)]
pub struct Download {
    pub(super) core: Arc<Core>,
    pub(super) record: FileRecord,
    pub(super) layout: Layout,
    pub(super) holder: Holder,
    pub(super) limited: Option<Arc<crate::download::readers::Reading>>,
    /// For the list of its segments, where that is long.
    _charge: Option<Arc<Charge>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("file", &self.record.file_id)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Counts one download of a complete file.
    ///
    /// # Errors
    /// [`Error::DownloadsUsedUp`], [`Error::Expired`], or if the catalog fails.
    pub async fn count_download(&self, record: &FileRecord) -> Result<(), Error> {
        if record.state != State::Complete {
            return Ok(());
        }
        let counted = self
            .0
            .catalog
            .count_download(record.file_id, self.0.now())
            .await
            .map_err(in_catalog);
        match counted {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Where no count decides, a file can be read from a disk that can't be written to.
            Err(Error::ReadOnly) if record.max_downloads.is_none() => return Ok(()),
            Err(Error::Catalog(error)) if record.max_downloads.is_none() => {
                tracing::warn!(file = ?record.file_id, error = &error as &dyn std::error::Error, "a download could not be counted and was given all the same; if this repeats, see to the disk");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        match record.max_downloads {
            Some(limit) if record.expires_at.is_none_or(|at| at > self.0.now()) => {
                Err(Error::DownloadsUsedUp { limit })
            }
            _ => Err(Error::Expired),
        }
    }

    /// Opens a file's bytes for `reader`, an account or an address. A file that still arrives can
    /// be opened too.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what has no bytes of its own or will never have them,
    /// [`Error::Expired`], [`Error::Damaged`], [`Error::NoMemory`] for a list of very many parts,
    /// or if the store fails.
    pub async fn open(&self, record: FileRecord, reader: &str) -> Result<Download, Error> {
        if record.state == State::Failed {
            return Err(Error::NotFound);
        }
        self.0.check_lives(&record, self.0.now())?;
        if let Some(what) = &record.damage {
            return Err(damaged(what));
        }
        let charge = self.0.charge_segments(record.segments.len())?;
        let layout = match self.0.layout(&record).await {
            Err(Error::Damaged { what }) => {
                return Err(self.0.found_damaged(&record, &what).await);
            }
            layout => layout?,
        };
        let holder = self.0.reader(reader);
        Ok(Download {
            core: self.0.clone(),
            record,
            layout,
            holder,
            limited: None,
            _charge: charge,
        })
    }
}

impl Download {
    /// The file's record, as it was when it was opened.
    #[must_use]
    pub fn record(&self) -> &FileRecord {
        &self.record
    }

    /// Notes what goes out for this reader.
    pub fn noted_by(&mut self, reading: crate::download::readers::Reading) {
        self.limited = Some(Arc::new(reading));
    }

    /// Whether the kernel can send its bytes by itself: it is complete, and there are files behind
    /// it.
    #[must_use]
    pub fn is_in_files(&self) -> bool {
        let Layout::Pieces(pieces) = &self.layout else {
            return false;
        };
        // One store keeps them all, so the first one tells.
        self.record.state == State::Complete
            && pieces.front().is_none_or(|first| first.segment.is_file())
    }

    /// The bytes from `start` to before `end`, for the kernel to send them. None where it can't.
    #[must_use]
    pub fn span(&self, start: u64, end: u64) -> Option<Span> {
        let Layout::Pieces(pieces) = &self.layout else {
            return None;
        };
        let stretches = pieces.iter().filter_map(|piece| {
            let ends_at = piece.begins_at + piece.length_bytes;
            let (from, until) = (start.max(piece.begins_at), end.min(ends_at));
            (from < until).then(|| Stretch {
                segment: Arc::new(piece.segment.clone()),
                offset: from - piece.begins_at,
                bytes: until - from,
            })
        });
        self.is_in_files().then(|| {
            let noted = self.limited.clone().map(|reading| (reading, start));
            Span::new(self.core.clone(), self.holder, stretches.collect(), noted)
        })
    }
}
