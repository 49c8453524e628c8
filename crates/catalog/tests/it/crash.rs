//! What was answered is there after `kill -9` in the midst of commits.
//!
//! The test runs itself as a process of its own, which writes and tells each answer on its standard
//! output; it kills that process while it writes, and then looks for everything it was told.

use ddx_catalog::sqlite::Config;
use ddx_catalog::{Catalog, Checkpoint, FileRecord, NewFile, Segment, SqliteCatalog, State};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const FOLDER: &str = "DDX_CATALOG_CRASH_FOLDER";
const FIRST: &str = "DDX_CATALOG_CRASH_FIRST";
const ROUNDS: u32 = 8;

fn id<T: From<[u8; 16]>>(number: u32) -> T {
    let mut id = [0_u8; 16];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    id.into()
}

fn contents(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(number as usize % 1_500)
}

fn receiving(number: u32) -> NewFile {
    let record = FileRecord {
        file_id: id(number),
        share_id: id(number),
        path: format!("file {number}"),
        segments: vec![Segment {
            segment_id: id(number),
            ..Segment::default()
        }],
        ..FileRecord::default()
    };
    NewFile {
        record,
        ..NewFile::default()
    }
}

fn small(number: u32) -> NewFile {
    let bytes = contents(number);
    let record = FileRecord {
        state: State::Complete,
        length_bytes: Some(bytes.len() as u64),
        offset_bytes: bytes.len() as u64,
        completed_at: Some(1),
        segments: Vec::new(),
        ..receiving(number).record
    };
    NewFile {
        record,
        inline: Some(bytes),
        ..NewFile::default()
    }
}

fn tell(what: &str, number: u32, offset: u64) {
    let line = format!("\n! {what} {number} {offset} .\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Writes and tells: some files when it is run as a test of its own, without end as the process
/// that is to be killed.
#[test]
fn lives_of_files_go_their_way() {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, first, end) = match std::env::var(FOLDER) {
        Ok(folder) => (
            folder.into(),
            std::env::var(FIRST).unwrap().parse().unwrap(),
            u32::MAX,
        ),
        Err(_) => (scratch.path().to_owned(), 0, 300),
    };
    let next = Arc::new(AtomicU32::new(first));
    let config = Config {
        wal_frames_max: 200,
        ..Config::default()
    };
    let catalog = Arc::new(SqliteCatalog::open(folder, config).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let lives = (0..24).map(|_| {
            let (catalog, next) = (catalog.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    live(&*catalog, number).await;
                }
            })
        });
        for life in futures_util::future::join_all(lives).await {
            life.unwrap();
        }
        let totals = catalog.totals().await.unwrap();
        assert_eq!((totals.files, totals.unfinished), (100, 100));
    });
}

/// One file's life, each answer told.
async fn live(catalog: &dyn Catalog, number: u32) {
    match number % 3 {
        0 => {
            catalog.create(small(number)).await.unwrap();
            tell("complete", number, 0);
        }
        1 => {
            catalog.create(receiving(number)).await.unwrap();
            tell("offset", number, 0);
            for step in 1..=5 {
                let offset_bytes = step * 1_000;
                let to = Checkpoint {
                    file_id: id(number),
                    offset_bytes,
                    ..Checkpoint::default()
                };
                catalog.checkpoint(to).await.unwrap();
                tell("offset", number, offset_bytes);
            }
        }
        _ => {
            catalog.create(receiving(number)).await.unwrap();
            catalog.delete(id(number)).await.unwrap();
            tell("deleted", number, 0);
        }
    }
}

/// What was told about a file last.
#[derive(Debug, Clone, Copy)]
enum Told {
    Complete,
    Offset(u64),
    Deleted,
}

/// Lets the process write, kills it after a number of answers, and returns the first number that it
/// did not use.
fn write_and_kill(
    folder: &std::path::Path,
    first: u32,
    answers: u32,
    told: &mut BTreeMap<u32, Told>,
) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::lives_of_files_go_their_way",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = first;
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let ["!", what, number, offset, "."] = words[..] else {
            continue;
        };
        let number = number.parse().unwrap();
        let now = match what {
            "complete" => Told::Complete,
            "offset" => Told::Offset(offset.parse().unwrap()),
            "deleted" => Told::Deleted,
            other => panic!("{other}"),
        };
        told.insert(number, now);
        last = last.max(number);
        heard += 1;
        if heard == answers {
            child.kill().unwrap(); // SIGKILL; what is in the pipe still counts
        }
    }
    assert!(heard >= answers, "it ended by itself after {heard} answers");
    assert!(!child.wait().unwrap().success());
    last + 1_000
}

#[tokio::test]
async fn every_answered_change_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut first = 0;
    for round in 0..ROUNDS {
        first = write_and_kill(folder.path(), first, 50 + round * 217, &mut told);
        let catalog = SqliteCatalog::open(folder.path(), Config::default()).unwrap();
        for (&number, &last) in &told {
            let file = catalog.file(id(number)).await.unwrap();
            match last {
                Told::Complete => {
                    assert_eq!(file.unwrap().state, State::Complete);
                    assert_eq!(
                        catalog.inline(id(number)).await.unwrap(),
                        Some(contents(number))
                    );
                }
                Told::Offset(offset) => assert!(file.unwrap().offset_bytes >= offset),
                Told::Deleted => assert_eq!(file, None),
            }
        }
        catalog.check().await.unwrap();
        if round % 2 == 0 {
            catalog.close().await.unwrap(); // else the next one finds a log with a dead process's entries
        } else {
            std::mem::forget(catalog);
        }
    }
    assert!(told.len() > 100);
}
