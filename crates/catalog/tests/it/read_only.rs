//! A catalog on a disk that takes no changes. What the kernel refuses there is tried end to end;
//! here, that nothing is attempted.

use crate::crashed::{Crashed, LOG, RECORDS};
use crate::schema::older;
use ddx_catalog::sqlite::{Config, FILE_NAME, VERSION};
use ddx_catalog::{Catalog, Error, ErrorKind, FileRecord, NewFile, SqliteCatalog};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn open(folder: &Path) -> Result<SqliteCatalog, Error> {
    SqliteCatalog::open_read_only(folder, Config::default())
}

fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// All records are read, no change is taken, and no file is touched.
async fn is_read(folder: &Path) {
    let before = files_in(folder);
    let catalog = open(folder).unwrap();
    for number in 1..=RECORDS {
        assert!(catalog.file([number; 16].into()).await.unwrap().is_some());
    }
    catalog.check().await.unwrap();
    let new = NewFile {
        record: FileRecord {
            file_id: [0xff; 16].into(),
            ..FileRecord::default()
        },
        ..NewFile::default()
    };
    let refused = [
        catalog.create(new).await.unwrap_err(),
        catalog.delete([1; 16].into()).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    catalog.give_back_caches().await.unwrap();
    assert!(catalog.file([1; 16].into()).await.unwrap().is_some());
    catalog.close().await.unwrap();
    assert_eq!(files_in(folder), before);
}

#[tokio::test]
async fn it_is_read_with_its_log_and_without() {
    let crashed = Crashed::new().await;
    // Nearly all records are in the log. Neither an index of it nor a way to make one is needed.
    let folder = crashed.with_log(&crashed.log());
    is_read(folder).await;
    drop(SqliteCatalog::open(folder, Config::default()).unwrap());
    assert!(!folder.join(LOG).exists());
    is_read(folder).await;
    fs::write(folder.join(LOG), b"").unwrap();
    is_read(folder).await;
}

#[tokio::test]
async fn what_a_start_refuses_is_refused_here_too() {
    let crashed = Crashed::new().await;
    let mut log = crashed.log();
    let folder = crashed.with_log(&log[..0]);
    assert_eq!(open(folder).unwrap_err().kind(), ErrorKind::Older);
    let middle = log.len() / 2;
    log[middle] ^= 1;
    let folder = crashed.with_log(&log);
    assert_eq!(open(folder).unwrap_err().kind(), ErrorKind::Older);
}

#[test]
fn what_has_to_be_made_or_migrated_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |what: &str| {
        let before = files_in(folder.path());
        let error = open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(
            error.to_string().contains(what) && error.to_string().contains("mount it for writing"),
            "{error}"
        );
        assert_eq!(files_in(folder.path()), before);
    };
    refused("does not exist yet");
    fs::write(folder.path().join(FILE_NAME), b"").unwrap();
    refused("does not exist yet");
    let version = VERSION as usize - 1;
    older(folder.path(), version);
    refused(&format!("from schema version {version} to {VERSION}"));
}
