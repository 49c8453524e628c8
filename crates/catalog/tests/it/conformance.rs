//! SQLite is held to the sentences that every backend obeys.

use ddx_catalog::SqliteCatalog;
use ddx_catalog::conformance;
use ddx_catalog::sqlite::Config;
use std::sync::Arc;

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let backups = folder.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    let mut number = 0;
    conformance::run(&backups, || {
        number += 1;
        let folder = folder.path().join(number.to_string());
        Arc::new(SqliteCatalog::open(folder, Config::default()).unwrap())
    })
    .await;
    assert_eq!(number, conformance::CASES.len() + 1);
}

/// Every limit at its smallest: slow, but right.
#[tokio::test]
async fn sqlite_conforms_with_the_smallest_limits() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
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
    };
    let backups = folder.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    let mut number = 0;
    conformance::run(&backups, || {
        number += 1;
        Arc::new(
            SqliteCatalog::open(folder.path().join(number.to_string()), config.clone()).unwrap(),
        )
    })
    .await;
}
