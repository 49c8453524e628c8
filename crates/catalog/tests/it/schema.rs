//! Older, newer, damaged and foreign databases.

use crate::crashed::{Crashed, LOG, RECORDS};
use ddx_catalog::sqlite::{BACKUPS_NAME, Config, FILE_NAME, VERSION};
use ddx_catalog::{Catalog, Error, ErrorKind, FileRecord, NewFile, SqliteCatalog, State, Totals};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The SQL of each version, in order.
fn steps() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for (number, path) in (1..).zip(&paths) {
        assert!(
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&format!("{number:04}_")),
            "{path:?}"
        );
    }
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// A catalog as the program of an older version left it, with some records.
pub(crate) fn older(folder: &Path, version: usize) {
    let connection = Connection::open(folder.join(FILE_NAME)).unwrap();
    connection
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
        .unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA application_id = {}",
            i32::from_be_bytes(*b"DDXC")
        ))
        .unwrap();
    for step in &steps()[..version] {
        connection.execute_batch(step).unwrap();
    }
    connection
        .execute_batch(include_str!("older_records.sql"))
        .unwrap();
    connection
        .execute_batch(&format!("PRAGMA user_version = {version}"))
        .unwrap();
}

fn open(folder: &Path) -> Result<SqliteCatalog, Error> {
    SqliteCatalog::open(folder, Config::default())
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join(BACKUPS_NAME)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn every_older_schema_is_brought_up_to_date_and_copied_before() {
    assert_eq!(steps().len(), VERSION as usize);
    for version in 1..VERSION as usize {
        let folder = tempfile::tempdir().unwrap();
        older(folder.path(), version);
        let catalog = open(folder.path()).unwrap();
        assert_eq!(
            catalog.totals().await.unwrap(),
            Totals {
                damaged: 0,
                files: 2,
                bytes: 103,
                unfinished: 2
            }
        );
        let small = catalog.file([0x11; 16].into()).await.unwrap().unwrap();
        assert_eq!(
            (small.state, small.path.as_str(), small.crc64),
            (State::Complete, "small.txt", u64::MAX)
        );
        assert_eq!(
            catalog.inline([0x11; 16].into()).await.unwrap(),
            Some(b"abc".to_vec())
        );
        let receiving = catalog.file([0x22; 16].into()).await.unwrap().unwrap();
        assert_eq!(
            (receiving.offset_bytes, receiving.digest_state.as_slice()),
            (50, [7, 8].as_slice())
        );
        assert_eq!(
            catalog
                .file([0x33; 16].into())
                .await
                .unwrap()
                .unwrap()
                .segments
                .len(),
            2
        );
        catalog.check().await.unwrap();
        drop(catalog);

        let copies = copies(folder.path());
        assert_eq!(copies.len(), 1, "{copies:?}");
        assert_eq!(
            fs::metadata(&copies[0]).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let copy = Connection::open(&copies[0]).unwrap();
        let count: i64 = copy
            .query_row("SELECT count(*) FROM files", [], |row| row.get(0))
            .unwrap();
        let found: isize = copy
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!((count, found), (4, version.cast_signed()));

        open(folder.path()).unwrap();
        assert_eq!(
            self::copies(folder.path()).len(),
            1,
            "nothing to migrate: no copy"
        );
    }
}

/// What older versions kept, and what is left of it.
const METADATA: [(&str, &str); 17] = [
    ("", ""),
    ("filename YQ==", "filename YQ=="),
    ("filename YQ==,share S0VZ", "filename YQ=="),
    ("share S0VZ,filename YQ==", "filename YQ=="),
    ("a YQ==,share S0VZ,b Yg==", "a YQ==,b Yg=="),
    ("a YQ==, share S0VZ , b Yg==", "a YQ==, b Yg=="),
    ("share S0VZ", ""),
    ("share\tS0VZ,a", "a"),
    ("a,share", "a"),
    ("share ,a", "a"),
    ("a,,\tshare S0VZ,", "a,,"),
    (
        "shares eA==,Share eA==,share S0VZ",
        "shares eA==,Share eA==",
    ),
    ("myshare eA==,x share", "myshare eA==,x share"),
    (
        "filename c2hhcmU=,share2 eA==",
        "filename c2hhcmU=,share2 eA==",
    ),
    ("a YQ==\nfinal;/files/S0VZ", "a YQ=="),
    ("\nfinal;/files/S0VZ /files/S0VZ", ""),
    ("b Yg==,share S0VZ\nfinal;/files/S0VZ", "b Yg=="),
];

#[tokio::test]
async fn keys_are_taken_out_of_older_records() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path(), 5);
    let path = folder.path().join(FILE_NAME);
    let database = Connection::open(&path).unwrap();
    // What stands in no record any more is not the migration's, but that of the program before it.
    database.execute_batch("PRAGMA secure_delete = ON").unwrap();
    // A longer key than any other text, and so many records that pages are divided.
    let key = "S0VZ".repeat(40);
    let id = |number: usize| {
        let mut id = [0x77; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    };
    for number in 0..METADATA.len() * 30 {
        let metadata = METADATA[number % METADATA.len()].0.replace("S0VZ", &key);
        database
            .execute(
                "INSERT INTO files (file_id, share_no, path, owner, metadata, kind, state, protocol, length_bytes, inline,
                    crc64, created_at, updated_at, completed_at, downloads)
                 VALUES (?1, 1, ?2, 'a', ?3, 0, 2, 'tus', 0, 0, 0, 1, 1, 2, 0)",
                (id(number), format!("made {number}"), metadata),
            )
            .unwrap();
    }
    drop(database);
    let holds_key = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(8).any(|window| window == b"S0VZS0VZ")
    };
    assert!(holds_key(&path));

    let catalog = open(folder.path()).unwrap();
    for number in 0..METADATA.len() * 30 {
        let record = catalog.file(id(number).into()).await.unwrap().unwrap();
        let (before, after) = METADATA[number % METADATA.len()];
        assert_eq!(record.metadata, after, "of {before:?}");
    }
    catalog.check().await.unwrap();
    let log = folder.path().join(LOG);
    assert!(!holds_key(&path) && !holds_key(&log), "while it is open");
    catalog.close().await.unwrap();
    assert!(!holds_key(&path), "what was taken away is still there");
    // As the documentation says: who has upgraded deletes the copy.
    assert!(copies(folder.path()).iter().all(|copy| holds_key(copy)));
}

#[test]
fn old_copies_are_removed_and_other_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path(), 1);
    let backups = folder.path().join(BACKUPS_NAME);
    fs::create_dir(&backups).unwrap();
    for name in [
        "catalog-v0000-1.sqlite3",
        "catalog-v0000-2.sqlite3",
        "catalog-v0000-3.sqlite3",
        "mine.sqlite3",
    ] {
        fs::write(backups.join(name), "").unwrap();
    }
    open(folder.path()).unwrap();
    let names: Vec<String> = copies(folder.path())
        .iter()
        .map(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .chars()
                .take(15)
                .collect()
        })
        .collect();
    assert_eq!(
        names,
        [
            "catalog-v0000-2",
            "catalog-v0000-3",
            "catalog-v0001-0",
            "mine.sqlite3"
        ]
    );
}

#[test]
fn a_migration_without_its_copy_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path(), 1);
    fs::write(folder.path().join(BACKUPS_NAME), "not a folder").unwrap();
    assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::Io);
    let database = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let version: i32 = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let database = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    database
        .execute_batch(&format!("PRAGMA user_version = {}", VERSION + 1))
        .unwrap();
    drop(database);
    let before = fs::read(folder.path().join(FILE_NAME)).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Newer, false));
    assert!(
        error.to_string().contains(&(VERSION + 1).to_string()),
        "{error}"
    );
    assert!(error.to_string().contains(BACKUPS_NAME), "{error}");
    assert_eq!(fs::read(folder.path().join(FILE_NAME)).unwrap(), before);
}

#[tokio::test]
async fn what_was_sealed_behind_a_line_break_gets_its_own_column() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path(), 7);
    Connection::open(folder.path().join(FILE_NAME))
        .unwrap()
        .execute_batch(
            "UPDATE files SET metadata = 'name YQ==' || char(10) || 'MnJaxLmB' WHERE file_id = x'11111111111111111111111111111111';
             UPDATE files SET metadata = char(10) || 'MnJa' WHERE file_id = x'22222222222222222222222222222222'",
        )
        .unwrap();
    let catalog = open(folder.path()).unwrap();
    for (id, open, sealed) in [
        (0x11, "name YQ==", Some("MnJaxLmB")),
        (0x22, "", Some("MnJa")),
    ] {
        let record = catalog.file([id; 16].into()).await.unwrap().unwrap();
        assert_eq!(
            (record.metadata.as_str(), record.sealed_metadata.as_deref()),
            (open, sealed)
        );
    }
    let other = catalog.file([0x33; 16].into()).await.unwrap().unwrap();
    assert_eq!(other.sealed_metadata, None);
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_refused_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).unwrap();
    for number in 1..50_u8 {
        let record = FileRecord {
            file_id: [number; 16].into(),
            share_id: [number; 16].into(),
            state: State::Complete,
            length_bytes: Some(9_000),
            offset_bytes: 9_000,
            completed_at: Some(1),
            ..FileRecord::default()
        };
        let new = NewFile {
            record,
            inline: Some(vec![number; 9_000]),
            ..NewFile::default()
        };
        catalog.create(new).await.unwrap();
    }
    drop(catalog);
    let path = folder.path().join(FILE_NAME);
    let sound = fs::read(&path).unwrap();

    let refused = || {
        let error = open(folder.path()).unwrap_err();
        assert_eq!(
            (error.kind(), error.retryable()),
            (ErrorKind::Corrupt, false),
            "{error}"
        );
        assert!(error.to_string().contains("folder `backups`"), "{error}");
        assert!(error.to_string().contains(FILE_NAME), "{error}");
    };
    fs::write(
        &path,
        b"this is not a database, and long enough to be looked at closely. ".repeat(100),
    )
    .unwrap();
    refused();
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    refused();
    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE other_program (x)")
        .unwrap();
    refused();

    // A page in the middle: found by the check, and by a read.
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2 / 4_096 * 4_096;
    damaged[middle..middle + 8_192].fill(0xff);
    fs::write(&path, &damaged).unwrap();
    let catalog = open(folder.path()).unwrap();
    assert_eq!(
        catalog.check().await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    drop(catalog);

    // The sound copy is older than the damaged catalog, which was opened since.
    fs::write(&path, &sound).unwrap();
    assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::Older);
    accepting(folder.path()).unwrap().check().await.unwrap();
}

fn accepting(folder: &Path) -> Result<SqliteCatalog, Error> {
    let config = Config {
        accept_older: true,
        ..Config::default()
    };
    SqliteCatalog::open(folder, config)
}

#[test]
fn an_older_copy_is_refused_and_left_alone_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    drop(open(folder.path()).unwrap());
    let old = fs::read(&path).unwrap();
    drop(open(folder.path()).unwrap());
    let newer = fs::read(&path).unwrap();
    let refused = |what: &str| {
        let error = open(folder.path()).unwrap_err();
        assert_eq!(
            (error.kind(), error.retryable()),
            (ErrorKind::Older, false),
            "{what}: {error}"
        );
        assert!(
            error.to_string().contains("--accept-older-catalog"),
            "{what}: {error}"
        );
        assert!(error.to_string().contains(FILE_NAME), "{what}: {error}");
    };
    for (what, bytes) in [("older", &old), ("emptied", &Vec::new())] {
        fs::write(&path, bytes).unwrap();
        refused(what);
        assert_eq!(&fs::read(&path).unwrap(), bytes, "{what}");
    }
    fs::remove_file(&path).unwrap();
    refused("deleted");
    fs::write(&path, &newer).unwrap();
    drop(open(folder.path()).expect("the newest copy is taken"));
    fs::write(&path, &old).unwrap();
    drop(accepting(folder.path()).unwrap());
    drop(open(folder.path()).expect("what was accepted is the newest from then on"));
}

#[tokio::test]
async fn a_catalog_that_lost_its_log_is_refused() {
    let crashed = Crashed::new().await;
    let whole = crashed.log();
    assert!(whole.len() > 100_000, "{}", whole.len());
    for lost in [Vec::new(), vec![0xff; whole.len()], whole[..4_096].to_vec()] {
        let folder = crashed.with_log(&lost);
        let refused = open(folder).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Older, "{} bytes", lost.len());
        let left = fs::read(folder.join(LOG)).unwrap_or_default();
        assert!(left == lost, "a refused start changed the log");
    }
    let catalog = open(crashed.with_log(&whole)).expect("with its log it is the newest");
    assert!(catalog.file([RECORDS; 16].into()).await.unwrap().is_some());
}

#[tokio::test]
async fn damage_in_the_midst_of_a_log_is_told_from_an_unfinished_write() {
    const FRAME: usize = 24 + 4_096;
    let crashed = Crashed::new().await;
    let whole = crashed.log();
    let frames = (whole.len() - 32) / FRAME;
    let frame_at = |number: usize| 32 + number * FRAME;
    for number in [frames / 3, frames / 2, frames * 3 / 4] {
        for (from, bytes) in [(0, 1), (12, 1), (18, 1), (24, 1), (2_000, 1), (100, 8_192)] {
            let mut damaged = whole.clone();
            let at = frame_at(number) + from;
            damaged[at..at + bytes]
                .iter_mut()
                .for_each(|byte| *byte ^= 0x10);
            let folder = crashed.with_log(&damaged);
            let refused = open(folder).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Older, "frame {number} + {from}");
            assert!(refused.to_string().contains(LOG), "{refused}");
            assert!(
                refused.to_string().contains("--accept-older-catalog"),
                "{refused}"
            );
            assert!(fs::read(folder.join(LOG)).unwrap() == damaged);
            let accepted = accepting(folder).unwrap();
            assert!(accepted.file([1; 16].into()).await.unwrap().is_some());
            assert!(accepted.file([RECORDS; 16].into()).await.unwrap().is_none());
        }
    }
    // What a crash in the last commit leaves: a part of it, or all of it with a block that never
    // came to the disk.
    let last = frame_at(frames - 1);
    for end in [last, last + 1, last + 24, whole.len() - 1] {
        drop(open(crashed.with_log(&whole[..end])).expect("an unfinished write"));
    }
    let mut torn = whole.clone();
    torn[last + 24..].fill(0);
    drop(open(crashed.with_log(&torn)).expect("a torn write"));
}

#[tokio::test]
async fn a_backup_is_known_as_older_than_what_it_was_taken_from() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).unwrap();
    let to = folder.path().join("copy.sqlite3");
    catalog.backup(to.clone()).await.unwrap();
    drop(catalog);
    fs::copy(&to, folder.path().join(FILE_NAME)).unwrap();
    assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::Older);
    accepting(folder.path()).unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_does_not_fit_its_version_is_told_as_damage_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    drop(open(folder.path()).unwrap());
    let sound = fs::read(&path).unwrap();
    let told = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("newest good copy"), "{error}");
        assert!(error.detail().len() < 1_000, "{error}");
    };
    // What stands in the folder's place is as old as the folder: this is about damage.
    let put_back = || {
        fs::write(&path, &sound).unwrap();
        fs::remove_file(folder.path().join("catalog.generation")).ok();
    };
    for damage in [
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -7",
        "DROP TRIGGER files_insert_totals; PRAGMA user_version = 1",
    ] {
        put_back();
        Connection::open(&path)
            .unwrap()
            .execute_batch(damage)
            .unwrap();
        told(open(folder.path()).unwrap_err());
    }
    for damage in ["DELETE FROM totals", "DROP TABLE totals"] {
        put_back();
        Connection::open(&path)
            .unwrap()
            .execute_batch(damage)
            .unwrap();
        let catalog = open(folder.path()).unwrap();
        told(catalog.totals().await.unwrap_err());
        told(catalog.check().await.unwrap_err());
        drop(catalog);
    }
}

#[tokio::test]
async fn a_backup_is_a_catalog_of_that_moment() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(&folder.path().join("first")).unwrap();
    let new = |number: u8| NewFile {
        record: FileRecord {
            file_id: [number; 16].into(),
            share_id: [number; 16].into(),
            ..FileRecord::default()
        },
        ..NewFile::default()
    };
    catalog.create(new(1)).await.unwrap();
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    let to = second.join(FILE_NAME);
    fs::write(
        second.join("catalog.sqlite3.unfinished"),
        "left behind by a crash",
    )
    .unwrap();
    let (backup, _) = tokio::join!(catalog.backup(to.clone()), catalog.create(new(2)));
    backup.unwrap();
    catalog.create(new(3)).await.unwrap();
    assert_eq!(
        fs::metadata(&to).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(&second).unwrap().count(), 1);
    let restored = open(&second).unwrap();
    assert_eq!(
        restored.file([1; 16].into()).await.unwrap(),
        catalog.file([1; 16].into()).await.unwrap()
    );
    assert_eq!(restored.file([3; 16].into()).await.unwrap(), None);
    restored.check().await.unwrap();
    restored.create(new(3)).await.unwrap();
}

#[test]
fn nobody_else_may_read_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(&folder.path().join("data")).unwrap();
    let mode = |name: &str| {
        let path = folder.path().join("data").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(""), mode(FILE_NAME), mode(&format!("{FILE_NAME}-wal"))),
        (0o700, 0o600, 0o600)
    );
    drop(catalog);
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = open(&folder.path().join("file/inside")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("file/inside"), "{error}");
}
