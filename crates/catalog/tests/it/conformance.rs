//! SQLite is held to the sentences that every backend obeys.

use ddx_catalog::conformance::Subject;
use ddx_catalog::sqlite::Config;
use ddx_catalog::{Catalog, SqliteCatalog};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Sqlite {
    folder: tempfile::TempDir,
    backups: PathBuf,
    config: Config,
}

impl Sqlite {
    fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backups = folder.path().join("backups");
        std::fs::create_dir(&backups).unwrap();
        Self {
            folder,
            backups,
            config,
        }
    }
}

impl Subject for Sqlite {
    fn catalog(&self) -> Arc<dyn Catalog> {
        let folder = self.folder.path().join("data");
        Arc::new(SqliteCatalog::open(folder, self.config.clone()).unwrap())
    }

    fn backup_folder(&self) -> &Path {
        &self.backups
    }
}

mod sqlite {
    use super::*;

    ddx_catalog::conformance_tests!(
        #[tokio::test]
        Sqlite::new(Config::default())
    );
}

/// Every limit at its smallest: slow, but right.
mod sqlite_with_the_smallest_limits {
    use super::*;

    fn smallest() -> Config {
        Config {
            write_queue_ops_max: 0,
            write_queue_bytes_max: 0,
            batch_ops_max: 0,
            read_queue_ops_max: 0,
            readers: 0,
            writer_cache_bytes: 0,
            reader_cache_bytes: 0,
            wal_frames_max: 0,
            wal_kept_bytes: 0,
            ..Config::default()
        }
    }

    ddx_catalog::conformance_tests!(
        #[tokio::test]
        Sqlite::new(smallest())
    );
}
