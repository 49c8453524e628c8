//! From SQLite's errors to the kinds of this crate.

use crate::{Error, ErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// What an operator can do about a damaged catalog; part of each such error.
pub(super) const REMEDY: &str = "stop the server, keep the damaged catalog.sqlite3 and its -wal file, and put the \
     newest good copy (your own, or one from the folder `backups` beside it) in its place";

/// What an operator can do about another program at the catalog.
const BUSY_REMEDY: &str =
    "end the other program that has catalog.sqlite3 open (a database shell, a backup that runs)";

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let kind = kind_of(&error);
        let said = match &error {
            // Without the statement's text, which may be that of the whole schema.
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            rusqlite::Error::SqliteFailure(failure, _) => {
                format!("{error} (code {} of SQLite)", failure.extended_code)
            }
            other => other.to_string(),
        };
        let error = Error::new(kind, said);
        match kind {
            ErrorKind::Corrupt => error.with_remedy(REMEDY),
            ErrorKind::Busy => error.with_remedy(BUSY_REMEDY),
            _ => error,
        }
    }
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    let failure = match error {
        rusqlite::Error::SqliteFailure(failure, _)
        | rusqlite::Error::SqlInputError { error: failure, .. } => failure,
        // A value that does not read back as what was written, or a row that must be there and is
        // not.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => return ErrorKind::Corrupt,
        _ => return ErrorKind::Other,
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
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => ErrorKind::Io,
        ErrorCode::ReadOnly => ErrorKind::ReadOnly,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Corrupt,
        // Our statements never change, so one that does not fit means that tables or columns are
        // gone from the schema.
        ErrorCode::Unknown if failure.extended_code == ffi::SQLITE_ERROR => ErrorKind::Corrupt,
        _ => ErrorKind::Other,
    }
}

impl Error {
    /// An error of the file system around the database.
    pub(super) fn of_file(what: &str, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{what}: {error}"))
    }

    /// The same failure, for another caller who was in the same transaction.
    pub(super) fn again(&self) -> Self {
        self.about(self.detail())
    }

    /// The same kind and remedy with another detail.
    pub(super) fn about(&self, detail: impl Into<String>) -> Self {
        let error = Error::new(self.kind(), detail);
        match self.remedy() {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}
