//! A catalog whose process was killed.

use ddx_catalog::sqlite::{Config, FILE_NAME};
use ddx_catalog::{Catalog, FileRecord, NewFile, SqliteCatalog};
use std::fs;
use std::path::Path;

/// A catalog as a crash leaves it, with nearly all of it in the log.
pub(crate) struct Crashed {
    folder: tempfile::TempDir,
    files: Vec<(&'static str, Vec<u8>)>,
}

pub(crate) const LOG: &str = "catalog.sqlite3-wal";
/// Too few for the log to begin anew meanwhile.
pub(crate) const RECORDS: u8 = 60;

impl Crashed {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
        for number in 1..=RECORDS {
            let new = NewFile {
                record: FileRecord {
                    file_id: [number; 16].into(),
                    share_id: [number; 16].into(),
                    ..FileRecord::default()
                },
                ..NewFile::default()
            };
            catalog.create(new).await.unwrap();
        }
        let files = [FILE_NAME, LOG, "catalog.generation"]
            .map(|name| (name, fs::read(folder.path().join(name)).unwrap()));
        drop(catalog);
        Self {
            folder,
            files: files.into(),
        }
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        self.files[1].1.clone()
    }

    /// As it was left, but for its log.
    pub(crate) fn with_log(&self, log: &[u8]) -> &Path {
        let folder = self.folder.path();
        let _ = fs::remove_file(folder.join("catalog.sqlite3-shm"));
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        fs::write(folder.join(LOG), log).unwrap();
        folder
    }
}
