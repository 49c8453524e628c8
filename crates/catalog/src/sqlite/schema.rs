//! Opening the database: what it must be, how it is set, and how an older one becomes today's.
//!
//! - **WAL with `synchronous=FULL`.** With `NORMAL` a commit is in the log but not flushed, and
//!   power loss takes back what callers were told is durable. `FULL` flushes once per commit; group
//!   commit makes that cheap.
//! - **No memory map, small caches.** Mapped pages count against a memory box; SQLite's own cache
//!   is bounded.
//! - **`temp_store=MEMORY`.** Nothing is written outside the data folder, which may be the only
//!   writable place.
//! - **`auto_vacuum=INCREMENTAL`.** Inline bytes that are deleted give their space back to the
//!   disk, a little at a time.
//! - Migrations are numbered files in `migrations/`, run in order, each in a transaction. They are
//!   never edited after a release. Before one runs on a catalog that exists, a copy of it is
//!   written to `backups/`: a downgrade of the program needs it, since an older program refuses a
//!   newer catalog.

use super::Config;
use super::fault::REMEDY;
use super::generation::{self, Generation};
use super::log_check;
use crate::{Error, ErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of the database in its folder.
pub const FILE_NAME: &str = "catalog.sqlite3";
/// Name of the folder of copies taken before migrations.
pub const BACKUPS_NAME: &str = "backups";

/// "DDXC" in SQLite's field for what a file is for.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"DDXC");

/// A connection belongs to one thread at a time, so it needs no lock of its own.
pub(super) const NO_MUTEX: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

const STEPS: &[M<'_>] = &[
    M::up(include_str!("../../migrations/0001_records.sql")),
    M::up(include_str!("../../migrations/0002_totals.sql")),
    M::up(include_str!("../../migrations/0003_generation.sql")),
    M::up(include_str!("../../migrations/0004_damage.sql")),
    M::up(include_str!("../../migrations/0005_reservations.sql")),
    M::up(include_str!("../../migrations/0006_no_keys.sql")),
    M::up(include_str!("../../migrations/0007_owners.sql")),
    M::up(include_str!("../../migrations/0008_pending_deletions.sql")),
];

/// The schema version that this program writes.
pub const VERSION: i32 = STEPS.len() as i32;

/// Opens the catalog in `folder` for writing: makes it if it is absent, migrates it if it is older.
pub(super) fn open_writer(
    folder: &Path,
    config: &Config,
) -> Result<(Connection, Generation), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Error::of_file(&format!("can't make {}", folder.display()), error))?;
    let path = folder.join(FILE_NAME);
    if !config.accept_older {
        log_check::check(&path)?;
    }
    make_private(&path)?;
    let opened = open_file(&path, config).map_err(|error| named(&path, error))?;
    sync_folder(folder)?;
    Ok(opened)
}

fn open_file(path: &Path, config: &Config) -> Result<(Connection, Generation), Error> {
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | NO_MUTEX)?;
    connection.busy_timeout(config.busy_timeout)?;
    // What is refused stays as it is: closing would copy the log into the database, and delete it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = version_of(&connection)?;
    if connection.is_readonly("main")? && fs::File::options().write(true).open(path).is_ok() {
        // The disk takes changes; it is the head of the file that forbids them (its write version),
        // which only damage or a format to come does.
        let detail = "its header says that this program must not write it";
        return Err(Error::new(ErrorKind::Corrupt, detail).with_remedy(REMEDY));
    }
    let mut generation = Generation::check(&connection, path, found, config.accept_older)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    if found == 0 {
        // Only before the first table: later it would be a write for nothing, which a full disk
        // refuses, and with it the start.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let detail = format!(
            "its file system allows no write-ahead log (SQLite fell back to journal mode {mode})"
        );
        return Err(
            Error::new(ErrorKind::Io, detail).with_remedy("put the data folder on a local disk")
        );
    }
    set(&connection, config.writer_cache_bytes)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?; // the writer does it, after it has answered
    connection.pragma_update(
        None,
        "journal_size_limit",
        i64::try_from(config.wal_kept_bytes).unwrap_or(i64::MAX),
    )?;
    if found < VERSION {
        if found > 0 {
            keep_copy(&connection, path, found, config.backups_kept)?;
        }
        migrate(&mut connection)?;
        if found > 0
            && let Err(error) = connection.query_row(CUT_LOG, [], |_| Ok(()))
        {
            tracing::warn!(%error, "the catalog was updated, but its -wal file still holds old records until it is written over; nothing has to be done");
        }
        match found {
            0 => {
                tracing::info!(path = %path.display(), version = VERSION, "a new catalog was made")
            }
            _ => {
                tracing::info!(path = %path.display(), from_version = found, to_version = VERSION, "the catalog was updated for this version of the program")
            }
        }
    }
    generation.raise(&connection);
    Ok((connection, generation))
}

/// Whether `folder` has a catalog, as far as can be told without opening it: an empty file is none.
pub(super) fn is_in(folder: &Path) -> bool {
    fs::metadata(folder.join(FILE_NAME)).is_ok_and(|metadata| metadata.len() > 0)
}

/// Copies the log into the database as far as that needs no waiting.
pub(super) const COPY_LOG: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Copies the whole log and cuts it to nothing.
const CUT_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Opens the connection that copies the log and does nothing else.
pub(super) fn open_copier(folder: &Path, config: &Config) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        folder.join(FILE_NAME),
        OpenFlags::SQLITE_OPEN_READ_WRITE | NO_MUTEX,
    )?;
    connection.busy_timeout(config.busy_timeout)?;
    set(&connection, 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Opens one more connection that can only read. The catalog must be open for writing already.
pub(super) fn open_reader(folder: &Path, config: &Config) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        folder.join(FILE_NAME),
        OpenFlags::SQLITE_OPEN_READ_ONLY | NO_MUTEX,
    )?;
    connection.busy_timeout(config.busy_timeout)?;
    set(&connection, config.reader_cache_bytes)?;
    Ok(connection)
}

pub(super) fn set(connection: &Connection, cache_bytes: u64) -> Result<(), Error> {
    let kib = i64::try_from(cache_bytes >> 10).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kib)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(48);
    Ok(())
}

/// The schema version of the file, 0 if it is new; an error if it is no catalog or one from the
/// future.
pub(super) fn version_of(connection: &Connection) -> Result<i32, Error> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && version == 0 && application == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(
            Error::new(ErrorKind::Corrupt, "it is the database of another program")
                .with_remedy(REMEDY),
        );
    }
    if version < 0 || (version == 0 && tables > 0) {
        let detail =
            format!("it has schema version {version} and {tables} tables, which is never written");
        return Err(Error::new(ErrorKind::Corrupt, detail).with_remedy(REMEDY));
    }
    if version > VERSION {
        let detail = format!(
            "a newer program wrote it: it has schema version {version}, and this program knows versions up to {VERSION}"
        );
        return Err(Error::new(ErrorKind::Newer, detail).with_remedy(format!(
            "run the newer program, or put the copy that it made before it changed the catalog (folder `{BACKUPS_NAME}`) in its place"
        )));
    }
    Ok(version)
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    // What a migration takes away is overwritten, since it may be a secret. At all other times that
    // is off: no secret is in a record, and every deleted file would be written once more.
    let secure_delete = |connection: &Connection, is_on| {
        connection.pragma_update_and_check(None, "secure_delete", is_on, |row| row.get::<_, i64>(0))
    };
    secure_delete(connection, true)?;
    Migrations::from_slice(STEPS)
        .to_latest(connection)
        .map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
            other => Error::new(ErrorKind::Other, format!("migration: {other}")),
        })?;
    secure_delete(connection, false)?;
    Ok(())
}

/// The same error with the file's name. What can't be read on a disk that fails is not called
/// damaged: the remedy for that would do harm.
pub(super) fn named(path: &Path, error: Error) -> Error {
    if error.kind() == ErrorKind::Corrupt
        && let Err(failed) = read_whole(path)
    {
        let what = format!(
            "the disk can't read {}, so it is not known whether the file is damaged",
            path.display()
        );
        return Error::of_file(&what, failed)
            .with_remedy("check the disk first (`dmesg` shows its errors)");
    }
    error.about(format!("{}: {}", path.display(), error.detail()))
}

/// Reads a file to its end.
fn read_whole(path: &Path) -> std::io::Result<()> {
    std::io::copy(&mut fs::File::open(path)?, &mut std::io::sink()).map(drop)
}

/// Inline bytes are people's files, so no other user of the machine may read them. SQLite gives the
/// log the same mode.
fn make_private(path: &Path) -> Result<(), Error> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| Error::of_file(&format!("can't open {}", path.display()), error))
}

fn keep_copy(
    connection: &Connection,
    database: &Path,
    version: i32,
    kept: usize,
) -> Result<(), Error> {
    let backups = database.with_file_name(BACKUPS_NAME);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&backups)
        .map_err(|error| Error::of_file(&format!("can't make {}", backups.display()), error))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let to = backups.join(format!("catalog-v{version:04}-{now:015}.sqlite3"));
    copy(connection, &to)?;
    tracing::info!(path = %to.display(), "the catalog was copied before it is changed for this version");
    drop_old_copies(&backups, kept.max(1));
    Ok(())
}

/// Names hold the version and the time with leading zeros, so their order is that of age.
fn drop_old_copies(backups: &Path, kept: usize) {
    let mut names: Vec<PathBuf> = match fs::read_dir(backups) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| is_copy(path))
            .collect(),
        Err(_) => return,
    };
    names.sort();
    let surplus = names.len().saturating_sub(kept);
    for path in &names[..surplus] {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "an old copy of the catalog can't be removed; uploads go on; delete the file by hand");
        }
    }
}

fn is_copy(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.starts_with("catalog-v") && name.ends_with(".sqlite3")
}

/// Writes a consistent copy of the database into a new file. It is written beside its place and
/// renamed into it when it is durable, so that a copy that is there is whole.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::new(
            ErrorKind::Taken,
            format!("{} exists", to.display()),
        ));
    }
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let result = copy_through(connection, &unfinished, to);
    if result.is_err() {
        let _ = fs::remove_file(&unfinished); // the error that counts is the first one
    }
    result
}

fn copy_through(connection: &Connection, unfinished: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error| Error::of_file(&format!("can't write {}", to.display()), error);
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    make_private(unfinished)?; // VACUUM INTO takes an empty file, and the mode stays
    let name = unfinished
        .to_str()
        .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("{} is not UTF-8", to.display())))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    generation::mark_copy(unfinished)?;
    fs::File::open(unfinished)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(unfinished, to).map_err(failed)?;
    match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::of_file(&format!("can't sync {}", folder.display()), error))
}
