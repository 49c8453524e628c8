//! What can go wrong with bytes, as values.
//!
//! The kind is what a caller decides on and is small; what happened in detail (path, system call,
//! error number) is for the log and appears only in `Display` and `source`.

use std::io;

use ddx_id::SegmentId;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    /// Not its `source`: the detail has its text, which a chain of causes would repeat.
    system: Option<io::Error>,
}

/// What a caller decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It doesn't fit: after it, less than the floor would be free, or the disk or a quota is full.
    NoSpace {
        /// What was to be stored or reserved, in bytes.
        needed_bytes: u64,
        /// What is free and not promised, the floor included, in bytes.
        free_bytes: u64,
        /// What has to stay free, in bytes.
        floor_bytes: u64,
    },
    /// There is no such segment.
    NotFound,
    /// There is such a segment already.
    Exists,
    /// The data folder belongs to another server that runs.
    Busy,
    /// Another writer of this segment is still open. Wait for it.
    WriterOpen,
    /// The segment is not what it must be: shorter than what was durable, or its last bytes were
    /// lost by the disk.
    Corrupt,
    /// A setting can't be met.
    Setting,
    /// The file system takes no changes: it is mounted read-only, or has met an error.
    ReadOnly,
    /// The disk or the system failed.
    Io {
        /// Whether the same call may succeed later without anyone's help (no descriptors left, for
        /// instance).
        retryable: bool,
    },
}

impl Error {
    /// What to decide on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anyone's help. [`ErrorKind::NoSpace`] is
    /// not: the operator has to make room.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Io { retryable } => retryable,
            ErrorKind::WriterOpen => true,
            ErrorKind::NoSpace { .. }
            | ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::Busy
            | ErrorKind::Corrupt
            | ErrorKind::Setting
            | ErrorKind::ReadOnly => false,
        }
    }

    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            system: None,
        }
    }

    pub(crate) fn no_space(needed_bytes: u64, free_bytes: u64, floor_bytes: u64) -> Self {
        let detail = format!(
            "{needed_bytes} bytes are needed, {free_bytes} are free, and {floor_bytes} of them have to stay free (free_space_floor)"
        );
        Self::new(
            ErrorKind::NoSpace {
                needed_bytes,
                free_bytes,
                floor_bytes,
            },
            detail,
        )
    }

    pub(crate) fn not_found(id: SegmentId) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no segment {id}"))
    }

    pub(crate) fn exists(id: SegmentId) -> Self {
        Self::new(
            ErrorKind::Exists,
            format!("there is a segment {id} already"),
        )
    }

    pub(crate) fn writer_open(id: SegmentId) -> Self {
        Self::new(
            ErrorKind::WriterOpen,
            format!("another writer of segment {id} is still open"),
        )
    }

    /// What the system said, where it refused.
    #[must_use]
    pub fn system(&self) -> Option<&io::Error> {
        self.system.as_ref()
    }

    /// Whether the system said that a file or folder is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.system()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The system refused; `what` says which step on what could not be done, as "open /data/lock".
    pub(crate) fn io(what: impl std::fmt::Display, system: impl Into<io::Error>) -> Self {
        let system = system.into();
        let kind = if system.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error()) {
            ErrorKind::ReadOnly
        } else {
            ErrorKind::Io {
                retryable: is_passing(&system),
            }
        };
        Self {
            kind,
            detail: format!("can't {what}: {system}"),
            system: Some(system),
        }
    }
}

/// Shortages of the moment. An I/O error of the disk is none of them: once the kernel has reported
/// one, trying again may "succeed" on bytes that are gone.
fn is_passing(error: &io::Error) -> bool {
    let number = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    matches!(
        number,
        Some(
            rustix::io::Errno::MFILE
                | rustix::io::Errno::NFILE
                | rustix::io::Errno::NOMEM
                | rustix::io::Errno::NOBUFS
                | rustix::io::Errno::AGAIN
                | rustix::io::Errno::INTR
                | rustix::io::Errno::BUSY
                | rustix::io::Errno::TIMEDOUT
        )
    )
}

/// Whether the disk, or the quota of this user on it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let number = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    matches!(
        number,
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)
    )
}
