//! From SQLite's errors to the kinds of this crate.

use crate::{Error, ErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// What an operator can do about a damaged catalog; part of each such error.
pub(super) const REMEDY: &str = "stop the server, keep the damaged catalog.sqlite3 and its -wal file, and put the \
     newest good copy (of `ddx backup`, or of the folder `backups` beside it) in its place";

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let kind = kind_of(&error);
        let detail = match kind {
            ErrorKind::Corrupt => format!("{error}; {REMEDY}"),
            _ => error.to_string(),
        };
        Error::new(kind, detail).caused_by(error)
    }
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    let Some(failure) = error.sqlite_error() else {
        return match error {
            // A value that does not read back as what was written.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => ErrorKind::Corrupt,
            _ => ErrorKind::Other,
        };
    };
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID => ErrorKind::Taken,
            _ => ErrorKind::Invalid,
        },
        ErrorCode::TooBig => ErrorKind::Invalid,
        ErrorCode::DiskFull => ErrorKind::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Busy,
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => ErrorKind::Io,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Corrupt,
        _ => ErrorKind::Other,
    }
}

impl Error {
    /// An error of the file system around the database.
    pub(super) fn of_file(what: &str, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{what}: {error}")).caused_by(error)
    }

    /// The same failure, for another caller who was in the same transaction.
    pub(super) fn again(&self) -> Self {
        Error::new(self.kind(), self.detail())
    }
}
