//! The writer under changes that no caller can send: ones that panic, fail half done, or fill the
//! disk.

use super::{Config, FILE_NAME, SqliteCatalog, schema};
use crate::{Catalog, Error, ErrorKind, FileRecord, NewFile, State};
use ddx_id::SegmentId;
use futures_util::future::join_all;
use rusqlite::Connection;

fn small(number: u8, bytes: usize) -> NewFile {
    let record = FileRecord {
        file_id: [number; 16].into(),
        share_id: [number; 16].into(),
        path: "name".to_owned(),
        state: State::Complete,
        length_bytes: Some(bytes as u64),
        offset_bytes: bytes as u64,
        completed_at: Some(1),
        ..FileRecord::default()
    };
    NewFile {
        record,
        inline: Some(vec![number; bytes]),
        ..NewFile::default()
    }
}

fn mark_for_deletion(connection: &Connection, number: u8) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO pending_deletions (segment_id) VALUES (?1)",
        [[number; 16]],
    )?;
    Ok(())
}

fn refuse<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Gone, "half done"))
}

#[tokio::test]
async fn a_change_that_fails_half_done_or_panics_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    let answers = join_all((0..60_u8).map(|number| {
        catalog.change(0, move |to| {
            mark_for_deletion(to, number)?;
            assert!(number % 10 != 7, "this panic belongs to the test");
            if number % 10 == 3 {
                refuse()
            } else {
                Ok(number)
            }
        })
    }))
    .await;
    let mut expected = Vec::new();
    for (number, answer) in (0..60_u8).zip(answers) {
        match (number % 10, answer) {
            (3, Err(error)) => assert_eq!(error.kind(), ErrorKind::Gone),
            (7, Err(error)) => assert_eq!(error.kind(), ErrorKind::Other),
            (_, answer) => {
                assert_eq!(answer.unwrap(), number);
                expected.push(SegmentId::from_bytes([number; 16]));
            }
        }
    }
    assert_eq!(catalog.pending_deletions(100).await.unwrap(), expected);
    let stats = catalog.stats();
    assert!((1..=12).contains(&stats.second_runs), "{stats:?}");
    assert_eq!(
        (stats.operations, stats.waiting, stats.waiting_bytes),
        (60, 0, 0)
    );
}

#[tokio::test]
async fn a_change_that_fails_before_it_changed_anything_costs_no_second_run() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    mark_all_for_deletion(&catalog, &[1]).await;
    let again = catalog.change(0, |to| mark_for_deletion(to, 1)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Taken);
    assert_eq!(catalog.stats().second_runs, 0);
}

async fn mark_all_for_deletion(catalog: &SqliteCatalog, numbers: &[u8]) {
    for &number in numbers {
        catalog
            .change(0, move |to| mark_for_deletion(to, number))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn with_a_full_disk_files_are_deleted_and_then_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    for number in 1..=8 {
        catalog.create(small(number, 50_000)).await.unwrap();
    }
    // As if the disk ended here; a limit of this connection only.
    let pages: i64 = catalog
        .change(0, |to| {
            let pages: i64 = to.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(to.pragma_update_and_check(None, "max_page_count", pages + 2, |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert!(pages > 100);
    assert_eq!(
        catalog.create(small(9, 50_000)).await.unwrap_err().kind(),
        ErrorKind::Full
    );
    // In one transaction with one that does not fit, before and after it.
    let creation = small(9, 50_000);
    let (made_before, deleted, made_after) = tokio::join!(
        catalog.create(creation.clone()),
        catalog.delete([1; 16].into()),
        catalog.create(small(10, 40_000)),
    );
    assert_eq!(made_before.unwrap_err().kind(), ErrorKind::Full);
    assert!(deleted.unwrap().is_some());
    made_after.unwrap();
    assert!(
        catalog
            .create(creation.clone())
            .await
            .unwrap_err()
            .retryable()
    );
    catalog.delete([2; 16].into()).await.unwrap().unwrap();
    catalog.create(creation).await.unwrap();
    assert_eq!(
        catalog.inline([9; 16].into()).await.unwrap(),
        Some(vec![9; 50_000])
    );
    catalog.check().await.unwrap();
}

#[tokio::test]
async fn the_rules_of_states_are_asserted_in_sql_too() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    catalog.create(small(1, 3)).await.unwrap();
    let receiving = FileRecord {
        file_id: [2; 16].into(),
        share_id: [2; 16].into(),
        offset_bytes: 9,
        ..FileRecord::default()
    };
    catalog
        .create(NewFile {
            record: receiving,
            ..NewFile::default()
        })
        .await
        .unwrap();
    for sql in [
        "UPDATE uploads SET offset_bytes = 8",
        "UPDATE files SET state = 0 WHERE state = 2",
        "UPDATE files SET length_bytes = 4 WHERE state = 2",
        "UPDATE files SET path = 'other' WHERE state = 2",
        "UPDATE files SET state = 1 WHERE state = 0",
        "UPDATE files SET inline = 1 WHERE state = 0",
        "UPDATE files SET state = 2 WHERE state = 0",
        "DELETE FROM shares",
        "INSERT INTO file_segments VALUES (99, 0, zeroblob(16), 0, 0)",
        "INSERT INTO pending_deletions (segment_id) VALUES (zeroblob(15))",
    ] {
        let error = catalog
            .change(0, move |to| Ok(to.execute(sql, [])?))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
    }
    catalog
        .change(0, |to| {
            Ok(to.execute("UPDATE uploads SET offset_bytes = 10", [])?)
        })
        .await
        .unwrap();
    catalog.check().await.unwrap();
}

#[tokio::test]
async fn the_check_finds_what_the_rules_forbid() {
    for sql in [
        "UPDATE totals SET files = files + 1",
        "UPDATE totals SET unfinished = 0",
        "UPDATE shares SET empty = 1",
        "DELETE FROM uploads",
        "DELETE FROM inline_bytes",
        "UPDATE inline_bytes SET bytes = x'00'",
        "INSERT INTO pending_deletions (segment_id) SELECT segment_id FROM file_segments",
        "UPDATE files SET length_bytes = 5 WHERE state = 0",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
        catalog.create(small(1, 3)).await.unwrap();
        let receiving = FileRecord {
            file_id: [2; 16].into(),
            share_id: [2; 16].into(),
            offset_bytes: 9,
            segments: vec![crate::Segment::default()],
            ..FileRecord::default()
        };
        catalog
            .create(NewFile {
                record: receiving,
                ..NewFile::default()
            })
            .await
            .unwrap();
        catalog.check().await.unwrap();
        catalog
            .change(0, move |to| Ok(to.execute(sql, [])?))
            .await
            .unwrap();
        assert_eq!(
            catalog.check().await.unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn deleted_inline_bytes_give_their_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    let pages = || {
        catalog.query(|from| {
            Ok(from.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?)
        })
    };
    join_all((1..=120_u8).map(|number| catalog.create(small(number, 100_000)))).await;
    let full = pages().await.unwrap();
    assert!(full > 2_500, "{full}");
    join_all((1..=110_u8).map(|number| catalog.delete([number; 16].into()))).await;
    let shrunk = async {
        while pages().await.unwrap() > full / 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), shrunk)
        .await
        .unwrap();
    catalog.check().await.unwrap();
    assert_eq!(
        catalog.inline([120; 16].into()).await.unwrap(),
        Some(vec![120; 100_000])
    );
    catalog.close().await.unwrap();
    let length = std::fs::metadata(folder.path().join(super::FILE_NAME))
        .unwrap()
        .len();
    assert!(length < full.unsigned_abs() * 4_096 / 2, "{length}");
}

#[test]
fn what_the_disk_cannot_read_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, b"no catalog").unwrap();
    let damaged = || Error::new(ErrorKind::Corrupt, "what SQLite made of it");
    assert_eq!(
        schema::named(&file, damaged()).kind(),
        ErrorKind::Corrupt,
        "it can be read"
    );
    // A folder can be opened as a file, and not read.
    let told = schema::named(folder.path(), damaged());
    assert_eq!(told.kind(), ErrorKind::Io);
    assert!(told.to_string().contains("check the disk"), "{told}");
}

/// Panics where it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("this panic belongs to the test");
    }
}

#[tokio::test]
async fn a_writer_that_ends_in_a_panic_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut holds = std::pin::pin!(catalog.change(0, move |_| {
        let _ = held.lock().unwrap().recv();
        Ok(())
    }));
    assert!(futures_util::poll!(holds.as_mut()).is_pending());
    {
        // Its caller goes, so that the writer itself drops what it would be answered.
        let mut bomb = std::pin::pin!(catalog.change(0, |_| Ok(Bomb)));
        assert!(futures_util::poll!(bomb.as_mut()).is_pending());
    }
    release.send(()).unwrap();
    holds.await.unwrap();
    assert_eq!(catalog.thread_died().await, "catalog-write");
    let error = catalog
        .change(0, |to| mark_for_deletion(to, 1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_log_is_gone_after_the_end_also_where_a_read_was_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    catalog
        .change(0, |to| mark_for_deletion(to, 1))
        .await
        .unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let mut reads = std::pin::pin!(catalog.query(move |_| {
        let _ = held.recv();
        Ok(())
    }));
    assert!(futures_util::poll!(reads.as_mut()).is_pending());
    let mut closes = std::pin::pin!(catalog.close());
    assert!(futures_util::poll!(closes.as_mut()).is_pending());
    // Time for the writer to end first, if it were let.
    std::thread::sleep(std::time::Duration::from_millis(300));
    release.send(()).unwrap();
    closes.await.unwrap();
    reads.await.unwrap();
    let log = folder.path().join("catalog.sqlite3-wal");
    assert!(!log.exists(), "{}", log.display());
}
