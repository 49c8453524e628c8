//! A body out of a file, which the kernel can send itself.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ddx_engine::Download;

/// Bytes `first` to `last` of a file, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub first: u64,
    /// Last byte; never before the first, always inside the file.
    pub last: u64,
}

impl Span {
    /// How many bytes it has; at least one.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.last - self.first + 1
    }
}

/// One piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Frame(Bytes),
    /// These bytes of the file.
    File(Span),
}

/// In the extensions of a request: its connection can let the kernel send files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendsFiles;

/// A body that is a list of pieces, those of the file to be sent by the kernel.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) download: Download,
    pub(crate) length_bytes: u64,
    pub(crate) pieces: Vec<Piece>,
}

/// In the extensions of an answer to such a request: the body, in place of the one that is there.
#[derive(Debug, Clone)]
pub(crate) struct FileBody(Arc<Mutex<Option<Pieces>>>);

impl FileBody {
    pub(crate) fn new(pieces: Pieces) -> Self {
        Self(Arc::new(Mutex::new(Some(pieces))))
    }

    /// Takes it out.
    pub(super) fn take(&self) -> Option<Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
