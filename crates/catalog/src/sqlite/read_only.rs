//! Opening the catalog where nothing can be written.
//!
//! SQLite reads a database that has a log over an index of it, a mapped file beside the two, which
//! can't be made there. So:
//!
//! - Without a log the file is all there is. It is opened as one that does not change
//!   (`immutable`), which needs no index.
//! - With a log, each connection makes the index in its own memory. SQLite does so for a connection
//!   that has the database to itself, and locks it for that, which needs a file open for writing:
//!   hence the VFS without locks. The lock of the data folder keeps writers away.
//!
//! Never the first way with a log: the commits in it would be missing without a word.

use super::Config;
use super::generation::Generation;
use super::log_check;
use super::schema::{self, FILE_NAME, NO_MUTEX, VERSION};
use crate::{Error, ErrorKind};
use rusqlite::{Connection, OpenFlags};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Why each change is refused.
pub(super) fn refusal() -> Error {
    Error::new(
        ErrorKind::ReadOnly,
        "the catalog's disk is mounted read-only",
    )
}

/// Looks whether the catalog in `folder` is one that this program can read as it is.
pub(super) fn check(folder: &Path, config: &Config) -> Result<(), Error> {
    let path = folder.join(FILE_NAME);
    let cannot = |what: &str| {
        let detail = format!(
            "{} {what}, but its disk is mounted read-only",
            path.display()
        );
        Error::new(ErrorKind::ReadOnly, detail).with_remedy("mount it for writing and start once")
    };
    if !schema::is_in(folder) {
        return Err(cannot("does not exist yet"));
    }
    if !config.accept_older {
        log_check::check(&path)?;
    }
    let named = |error| schema::named(&path, error);
    let connection = open(folder, config).map_err(named)?;
    let found = schema::version_of(&connection).map_err(named)?;
    Generation::check(&connection, &path, found, config.accept_older).map_err(named)?;
    if found < VERSION {
        return Err(cannot(&format!(
            "has to be updated from schema version {found} to {VERSION}"
        )));
    }
    Ok(())
}

/// Opens a connection.
pub(super) fn open(folder: &Path, config: &Config) -> Result<Connection, Error> {
    let path = folder.join(FILE_NAME);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | NO_MUTEX;
    let connection = if has_log(&path)? {
        let connection = Connection::open_with_flags_and_vfs(&path, flags, c"unix-none")?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection
    } else {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(immutable(&path), flags)?
    };
    schema::set(&connection, config.reader_cache_bytes)?;
    Ok(connection)
}

/// Whether there is a log that may have commits in it.
fn has_log(database: &Path) -> Result<bool, Error> {
    let path = log_check::path_of(database);
    match fs::metadata(&path) {
        Ok(log) => Ok(log.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            let what = format!("can't look at {}", path.display());
            Err(Error::of_file(&what, error))
        }
    }
}

/// The address of a file that does not change, for SQLite.
fn immutable(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02x}"); // a string takes all that is written
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_becomes_an_address() {
        let path = Path::new("/srv/a b/50%?#ü/catalog.sqlite3");
        assert_eq!(
            immutable(path),
            "file:/srv/a%20b/50%25%3f%23%c3%bc/catalog.sqlite3?immutable=1"
        );
    }
}
