//! What can go wrong, as a small number of kinds that a caller acts on, with a detail for the log.
//!
//! The detail may name paths and database messages, so it belongs into the log and not into an
//! answer to a client.

use std::fmt;

/// What a caller can tell failures apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was asked for is not there.
    NotFound,
    /// The file is not there any more, or not in a state that allows the change.
    Gone,
    /// An id, a key or a path exists already.
    Taken,
    /// The call contradicts itself or the rules of states; a caller's mistake.
    Invalid,
    /// The disk, or the quota on it, is full.
    Full,
    /// Another process holds the database's lock.
    Busy,
    /// The disk answered with an error.
    Io,
    /// The disk is mounted read-only.
    ReadOnly,
    /// The database is damaged, or the file is not a catalog.
    Corrupt,
    /// The database was written by a newer version of this program.
    Newer,
    /// The database is older than what its folder had last: a copy, or one without its log.
    Older,
    /// The catalog is closed.
    Closed,
    /// Anything else: a mistake in this crate.
    Other,
}

impl ErrorKind {
    /// Whether the same call may succeed later without any change to it.
    pub fn retryable(self) -> bool {
        match self {
            Self::Full | Self::Busy | Self::Io | Self::ReadOnly | Self::Closed => true,
            Self::NotFound
            | Self::Gone
            | Self::Taken
            | Self::Invalid
            | Self::Corrupt
            | Self::Newer
            | Self::Older
            | Self::Other => false,
        }
    }

    /// A stable name of one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Taken => "taken",
            Self::Invalid => "invalid",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Io => "io",
            Self::ReadOnly => "read_only",
            Self::Corrupt => "corrupt",
            Self::Newer => "newer",
            Self::Older => "older",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed call: a [`kind`](Error::kind) to act on and a detail for the log.
#[derive(Debug, thiserror::Error)]
#[error("{detail}{}", remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}")))]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    remedy: Option<String>,
}

impl Error {
    /// An error of a kind with a detail for the log. Backends make their errors with it.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// The same error with what an operator can do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What to act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, for the log: it may name paths and database messages.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What an operator can do about it, where that is known here.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Whether the same call may succeed later: [`ErrorKind::retryable`].
    pub fn retryable(&self) -> bool {
        self.kind.retryable()
    }
}
