//! Group commit, and the bounds of what waits for it.

use ddx_catalog::sqlite::{Config, FILE_NAME};
use ddx_catalog::{Catalog, ErrorKind, FileRecord, NewFile, SqliteCatalog, State};
use futures_util::future::join_all;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;

fn small(number: u32, bytes: usize) -> NewFile {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let record = FileRecord {
        file_id: id.into(),
        share_id: id.into(),
        path: "name".to_owned(),
        state: State::Complete,
        length_bytes: Some(bytes as u64),
        offset_bytes: bytes as u64,
        completed_at: Some(1),
        ..FileRecord::default()
    };
    NewFile {
        record,
        inline: Some(vec![1; bytes]),
        ..NewFile::default()
    }
}

/// Another process's lock on the database, as an operator's shell may hold it.
struct Lock(Connection);

impl Lock {
    fn take(folder: &std::path::Path) -> Self {
        let connection = Connection::open(folder.join(FILE_NAME)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

#[tokio::test]
async fn changes_that_wait_together_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    let answers = join_all((0..2_000).map(|number| catalog.create(small(number, 100)))).await;
    assert!(answers.iter().all(Result::is_ok));
    let stats = catalog.stats();
    assert_eq!(
        (stats.operations, catalog.totals().await.unwrap().files),
        (2_000, 2_000)
    );
    assert!((1..=200).contains(&catalog.commits()), "{stats:?}");
}

#[tokio::test]
async fn a_lone_change_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    for number in 0..20 {
        catalog.create(small(number, 100)).await.unwrap();
        assert_eq!(catalog.commits(), u64::from(number) + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_bounded_and_who_finds_it_full_waits() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        write_queue_ops_max: 4,
        batch_ops_max: 2,
        busy_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let catalog = Arc::new(SqliteCatalog::open(folder.path(), config).unwrap());
    let lock = Lock::take(folder.path());
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let catalog = catalog.clone();
            tokio::spawn(async move { catalog.create(small(number, 10)).await })
        })
        .collect();
    while catalog.stats().waiting < 4 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert!(catalog.stats().waiting <= 4);
        assert!(
            calls.iter().all(|call| !call.is_finished()),
            "nothing is answered before it is committed"
        );
    }
    assert_eq!(
        catalog.totals().await.unwrap().files,
        0,
        "reads go on meanwhile"
    );
    lock.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(catalog.totals().await.unwrap().files, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_in_the_queue_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        write_queue_bytes_max: 64 << 10,
        busy_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let catalog = Arc::new(SqliteCatalog::open(folder.path(), config).unwrap());
    let lock = Lock::take(folder.path());
    // The last is larger than the whole queue, and is let through alone.
    let sizes = (0..20).map(|_| 20 << 10).chain([100 << 10]);
    let calls: Vec<_> = (0..)
        .zip(sizes)
        .map(|(number, bytes)| {
            let catalog = catalog.clone();
            tokio::spawn(async move { catalog.create(small(number, bytes)).await })
        })
        .collect();
    while catalog.stats().waiting_bytes < 60 << 10 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert!(catalog.stats().waiting_bytes <= 64 << 10);
    }
    lock.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(
        (
            catalog.totals().await.unwrap().files,
            catalog.stats().waiting_bytes
        ),
        (21, 0)
    );
}

#[tokio::test]
async fn a_lock_that_is_not_released_is_told_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        busy_timeout: Duration::from_millis(20),
        ..Config::default()
    };
    let catalog = SqliteCatalog::open(folder.path(), config).unwrap();
    let lock = Lock::take(folder.path());
    for answer in join_all((0..5).map(|number| catalog.create(small(number, 10)))).await {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Busy, true));
    }
    lock.release();
    catalog.create(small(0, 10)).await.unwrap();
}

#[tokio::test]
async fn what_exceeds_a_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        inline_bytes_max: 100,
        record_bytes_max: 1_000,
        list_max: 2,
        ..Config::default()
    };
    let catalog = SqliteCatalog::open(folder.path(), config).unwrap();
    catalog.create(small(1, 100)).await.unwrap();
    let long_name = FileRecord {
        path: "x".repeat(1_001),
        ..FileRecord::default()
    };
    let scattered = FileRecord {
        segments: vec![ddx_catalog::Segment::default(); 3],
        ..FileRecord::default()
    };
    for new in [
        small(2, 101),
        NewFile {
            record: long_name,
            ..NewFile::default()
        },
        NewFile {
            record: scattered,
            ..NewFile::default()
        },
    ] {
        assert_eq!(
            catalog.create(new).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn dropping_it_finishes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    let mut calls: Vec<_> = (0..50)
        .map(|number| catalog.create(small(number, 10)))
        .collect();
    // Polled once, each is in the queue; then the answers are not waited for.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for call in &mut calls {
        let _ = call.as_mut().poll(&mut context);
    }
    drop(calls);
    drop(catalog);
    let log = std::fs::metadata(folder.path().join(format!("{FILE_NAME}-wal")));
    assert_eq!(
        log.map_or(0, |log| log.len()),
        0,
        "the log was copied and emptied"
    );
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    assert_eq!(catalog.totals().await.unwrap().files, 50);
}

#[tokio::test]
async fn the_log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        wal_frames_max: 50,
        wal_kept_bytes: 1 << 20,
        ..Config::default()
    };
    let catalog = SqliteCatalog::open(folder.path(), config).unwrap();
    let log = folder.path().join(format!("{FILE_NAME}-wal"));
    let mut longest = 0;
    for number in 0..300 {
        catalog.create(small(number, 4_096)).await.unwrap();
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    let stats = catalog.stats();
    assert!(stats.log_copies >= 5, "{stats:?}");
    // Four times 50 frames, and the commit that finds that out.
    assert!(longest < 250 * 4_200, "{longest}");
}
