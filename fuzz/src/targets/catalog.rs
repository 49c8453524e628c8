//! A catalog that something else wrote, or wrote into.

use std::sync::LazyLock;

use ddx_catalog::sqlite::foreign::{self, COLUMNS};
use ddx_catalog::sqlite::{Config, FILE_NAME};
use ddx_catalog::{
    Catalog, Checkpoint, Error, ErrorKind, FileRecord, Kind, NewFile, Segment, SqliteCatalog, State,
};
use ddx_id::KeyHash;
use rusqlite::types::Value;
use tokio::runtime::{Builder, Runtime};

use crate::request::line;
use crate::scratch;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .build()
        .expect("a runtime of one thread")
});

/// A sound catalog with a file in every state, as bytes.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = scratch::folder();
    let catalog = SqliteCatalog::open(folder.path(), config()).expect("a new catalog");
    RUNTIME.block_on(async {
        for number in 1..=6 {
            catalog.create(new(number)).await.expect("a new file");
        }
        let checkpoint = Checkpoint {
            file_id: [1; 16].into(),
            offset_bytes: 50,
            digest_state: vec![7; 41],
            updated_at: 2_000,
            ..Checkpoint::default()
        };
        catalog.checkpoint(checkpoint).await.expect("a checkpoint");
        let failed = catalog.fail([2; 16].into(), "why".to_owned(), 3_000);
        failed.await.expect("a receiving file may fail");
        catalog.delete([3; 16].into()).await.expect("a deletion");
        catalog.close().await.expect("an end");
    });
    std::fs::read(folder.path().join(FILE_NAME)).expect("the catalog's file")
});

fn config() -> Config {
    Config {
        readers: 1,
        ..Config::default()
    }
}

fn new(number: u8) -> NewFile {
    let mut record = FileRecord {
        file_id: [number; 16].into(),
        share_id: [number / 2; 16].into(),
        upload_key_hash: [number; 32].into(),
        delete_key_hash: [number; 32].into(),
        owner: "ip:192.0.2.1".to_owned(),
        path: format!("file-{number}"),
        protocol: "tus".to_owned(),
        length_bytes: Some(100),
        created_at: 1_000,
        updated_at: 1_000,
        expires_at: Some(5_000),
        ..FileRecord::default()
    };
    let mut inline = None;
    match number {
        5 => {
            record.kind = Kind::Final;
            record.state = State::Joining;
            record.length_bytes = None;
            record.parts = vec![[1; 16].into(), [1; 16].into()];
        }
        6 => {
            record.state = State::Complete;
            record.upload_key_hash = KeyHash::NONE;
            record.length_bytes = Some(5);
            record.offset_bytes = 5;
            record.completed_at = Some(1_000);
            inline = Some(b"hello".to_vec());
        }
        _ => {
            record.segments = vec![Segment {
                segment_id: [number; 16].into(),
                ..Segment::default()
            }];
        }
    }
    NewFile {
        record,
        share_key_hash: KeyHash::NONE,
        inline,
    }
}

/// After a first line `file` the rest is the whole database. Otherwise each line is a place in a
/// sound one and the bytes to put there, in decimals: `100 13 0`.
pub(super) fn file(bytes: &[u8]) {
    let (first, rest) = line(bytes);
    let database = if first == b"file" {
        rest.to_vec()
    } else {
        patched(&String::from_utf8_lossy(bytes))
    };
    let folder = scratch::folder();
    std::fs::write(folder.path().join(FILE_NAME), database).expect("room for a small file");
    let catalog = match SqliteCatalog::open(folder.path(), config()) {
        Ok(catalog) => catalog,
        Err(error) => return refused_as_data(&error),
    };
    RUNTIME.block_on(async {
        let verdict = catalog.check().await;
        let reads = read_all(&catalog).await;
        // What passes the check can be read, every part of it.
        for read in &reads {
            if let Err(error) = read {
                refused_as_data(error);
                assert!(
                    verdict.is_err(),
                    "the check found nothing, and a read {error}"
                );
            }
        }
        if let Err(error) = &verdict {
            refused_as_data(error);
        }
        let _ = catalog.close().await;
    });
}

async fn read_all(catalog: &SqliteCatalog) -> Vec<Result<(), Error>> {
    let mut reads = vec![
        catalog.unfinished(100, None).await.map(drop),
        catalog.expired(i64::MAX, 0, 100).await.map(drop),
        catalog.pending_digests(100).await.map(drop),
        catalog.segments(100, None).await.map(drop),
        catalog.pending_deletions(100).await.map(drop),
        catalog.totals().await.map(drop),
        catalog
            .finals_waiting_for([1; 16].into(), None, 100)
            .await
            .map(drop),
    ];
    for number in 1..=6 {
        reads.push(catalog.file([number; 16].into()).await.map(drop));
        reads.push(catalog.inline([number; 16].into()).await.map(drop));
        reads.push(
            catalog
                .share_files([number; 16].into(), None, 100)
                .await
                .map(drop),
        );
        reads.push(
            catalog
                .file_by_upload_key([number; 32].into())
                .await
                .map(drop),
        );
    }
    reads
}

/// A damaged database is told as such, and not as a mistake of a caller, which would be answered as
/// the caller's.
fn refused_as_data(error: &Error) {
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::Newer | ErrorKind::Io | ErrorKind::Busy
        ),
        "{}: {error}",
        error.kind().name()
    );
}

fn patched(text: &str) -> Vec<u8> {
    let mut bytes = SOUND.clone();
    for line in text.lines() {
        let mut numbers = line
            .split(' ')
            .filter_map(|word| word.parse::<usize>().ok());
        let Some(start) = numbers.next() else {
            continue;
        };
        let length = bytes.len().max(1);
        for (at, number) in (start % length..).zip(numbers) {
            if let Some(byte) = bytes.get_mut(at % length) {
                *byte = u8::try_from(number & 0xff).unwrap_or(0);
            }
        }
    }
    bytes
}

/// Each line is a column: `null`, `int 5`, `text any`, `blob 00ff`.
pub(super) fn row(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let values = text.lines().take(COLUMNS).map(value).collect();
    match foreign::record(values) {
        Ok(record) => {
            let sizes = [
                record.length_bytes,
                record.max_downloads,
                Some(record.offset_bytes),
            ];
            for size in sizes.into_iter().flatten() {
                assert!(
                    i64::try_from(size).is_ok(),
                    "a number that has turned its sign"
                );
            }
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}

fn value(line: &str) -> Value {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    match kind {
        "int" => rest.trim().parse().map_or(Value::Null, Value::Integer),
        "real" => rest.trim().parse().map_or(Value::Null, Value::Real),
        "text" => Value::Text(rest.to_owned()),
        "blob" => {
            let digits: Vec<u8> = rest
                .chars()
                .filter_map(|c| c.to_digit(16))
                .map(|d| d.to_le_bytes()[0])
                .collect();
            Value::Blob(
                digits
                    .chunks_exact(2)
                    .map(|pair| pair[0] * 16 + pair[1])
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}
