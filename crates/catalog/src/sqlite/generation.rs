//! Telling the catalog of this folder from an older copy of it.
//!
//! A copy that was put back looks sound, and so does the catalog that is made anew where the old
//! one was deleted or emptied. But recovery makes the disk agree with the catalog: it would delete
//! the bytes of every file that came after the copy, and cut back what went on since. So a number
//! is raised in the catalog, durably, and then in a file beside it: at each start, and each time
//! the log begins anew. A catalog whose number is behind that of its folder is refused until the
//! operator has decided. A catalog that lost its log is found in the same way, since the raise is
//! the first thing in each log.
//!
//! Rejected: to take segments that no record knows for the sign of an old copy. A loss of power can
//! bring a deleted segment back, and a start must not be refused for that.
//!
//! The raise is no condition for a start: on a full disk the server still has to start, so that
//! files can be deleted. What is lost then is only that this start can't be told from the one
//! before.

use crate::{Error, ErrorKind};
use rusqlite::Connection;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the file beside the catalog.
pub(super) const FILE_NAME: &str = "catalog.generation";

/// The first schema version that has the number.
const SINCE_VERSION: i32 = 3;

/// Digits in the file, always as many, so that it is written over in place by one short write.
const DIGITS: usize = 20;

/// The folder's side of the number.
#[derive(Debug)]
pub(super) struct Generation {
    path: PathBuf,
    /// `None` until it is written for the first time.
    file: Option<File>,
}

impl Generation {
    /// Compares the number in a catalog of schema version `found` with that of its folder.
    ///
    /// # Errors
    /// [`ErrorKind::Older`], unless `accept_older`; or if the catalog can't be read.
    pub(super) fn check(
        connection: &Connection,
        database: &Path,
        found: i32,
        accept_older: bool,
    ) -> Result<Self, Error> {
        let generation = Self {
            path: database.with_file_name(FILE_NAME),
            file: None,
        };
        let (ours, folders) = (
            if found < SINCE_VERSION {
                0
            } else {
                number(connection)?
            },
            generation.folders()?,
        );
        if ours >= folders || accept_older {
            return Ok(generation);
        }
        let what = match found {
            0 => "the catalog is missing or empty, though there was one",
            _ => {
                "the catalog is older than the files beside it: it is an old copy, or its -wal file was lost"
            }
        };
        let detail = format!(
            "{what} (its number is {ours}, that of the folder is {folders}). With it the server would delete all files that \
             were uploaded since"
        );
        Err(Error::new(ErrorKind::Older, detail).with_remedy(
            "put the newest catalog.sqlite3, and the -wal file that belongs to it, in its place; if there is none, start once with \
             `--accept-older-catalog`",
        ))
    }

    /// Raises the number, in the catalog first. A failure is told and does no harm.
    pub(super) fn raise(&mut self, connection: &Connection) {
        if let Err(error) = self.try_raise(connection) {
            tracing::warn!(%error, "the number of this start can't be saved: an old copy of the catalog in its place would not be noticed; uploads go on; see to the disk");
        }
    }

    fn try_raise(&mut self, connection: &Connection) -> Result<(), Error> {
        const SQL: &str = "UPDATE generation SET number = max(number, ?1) + 1 WHERE one = 1";
        let folders = i64::try_from(self.folders()?).unwrap_or(i64::MAX - 1);
        connection.prepare_cached(SQL)?.execute([folders])?;
        let raised = format!("{:0DIGITS$}\n", number(connection)?);
        let failed = |error| Error::of_file(&format!("can't write {}", self.path.display()), error);
        let file = match &self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let options = options.create(true).truncate(false).write(true).mode(0o600);
                let file = options.open(&self.path).map_err(failed)?;
                self.file.insert(file)
            }
        };
        file.write_all_at(raised.as_bytes(), 0)
            .and_then(|()| file.sync_data())
            .map_err(failed)
    }

    /// The number that the folder has; 0 where there is none, or none that can be read.
    fn folders(&self) -> Result<u64, Error> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.trim().parse().unwrap_or_else(|_| {
                tracing::warn!(path = %self.path.display(), "the file held no number and is written again; nothing has to be done");
                0
            })),
            Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::InvalidData) => Ok(0),
            Err(error) => Err(Error::of_file(
                &format!("can't read {}", self.path.display()),
                error,
            )),
        }
    }
}

fn number(connection: &Connection) -> Result<u64, Error> {
    const SQL: &str = "SELECT number FROM generation WHERE one = 1";
    let number: i64 = connection
        .prepare_cached(SQL)?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// Marks a copy as older than what it was taken from, as it will be by the time it is needed.
pub(super) fn mark_copy(copy: &Path) -> Result<(), Error> {
    const SQL: &str = "UPDATE generation SET number = number - 1 WHERE number > 0";
    let connection = Connection::open(copy)?;
    connection.pragma_update(None, "journal_mode", "MEMORY")?; // a copy that is cut off here is begun anew
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'generation'";
    if connection.prepare(table)?.exists([])? {
        connection.execute(SQL, [])?;
    }
    connection.close().map_err(|(_, error)| Error::from(error))
}
