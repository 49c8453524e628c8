//! Measures the SQLite catalog on the disk of a folder:
//! `cargo run --release --example measure -- FOLDER [SECONDS [WAL_FRAMES_MAX]]`. With 0 seconds it
//! only tells what the process holds resident with the catalog that is there, at modest load.
//!
//! Complete small files by 16 and by 64 callers, checkpoints by 64 and by 10,000, reads by key,
//! each for some seconds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program that a person runs and reads"
)]

use ddx_catalog::sqlite::Config;
use ddx_catalog::{Catalog, Checkpoint, FileRecord, NewFile, Segment, SqliteCatalog, State};
use ddx_id::KeyHash;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("a folder to measure in");
    let seconds = args.next().map_or(5, |text| text.parse().unwrap());
    let mut config = Config::default();
    if let Some(frames) = args.next() {
        config.wal_frames_max = frames.parse().unwrap();
    }
    if seconds == 0 {
        return resident(&folder, config);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    println!("resident before: {:.1} MiB anonymous", anonymous_mib());
    let catalog = Arc::new(SqliteCatalog::open(&folder, config).unwrap());
    println!("resident open: {:.1} MiB anonymous", anonymous_mib());
    let ids = Arc::new(AtomicU64::new(1));
    runtime.block_on(async {
        for (callers, bytes) in [(1, 4096), (16, 4096), (64, 4096), (64, 16), (16, 16 << 10)] {
            let next = ids.clone();
            let name = format!("create complete, {bytes} bytes inline");
            measure(&catalog, &name, callers, seconds, move |catalog, _, _| {
                let new = small(next.fetch_add(1, Ordering::Relaxed), bytes);
                async move { catalog.create(new).await.unwrap() }
            })
            .await;
        }
        let next = ids.clone();
        measure(
            &catalog,
            "create upload",
            64,
            seconds,
            move |catalog, _, _| {
                let new = receiving(next.fetch_add(1, Ordering::Relaxed));
                async move { catalog.create(new).await.unwrap() }
            },
        )
        .await;
        checkpoints(&catalog, &ids, 64, seconds).await;
        checkpoints(&catalog, &ids, 10_000, seconds).await;
        let count = ids.load(Ordering::Relaxed);
        measure(
            &catalog,
            "file by upload key",
            64,
            seconds,
            move |catalog, _, turn| {
                let number = scattered(turn % count);
                async move { drop(catalog.file_by_upload_key(wide(number)).await.unwrap()) }
            },
        )
        .await;
        println!(
            "{:?}, {:?}",
            catalog.totals().await.unwrap(),
            catalog.stats()
        );
        let at = Instant::now();
        catalog.check().await.unwrap();
        println!("check: {:.2} s", at.elapsed().as_secs_f64());
    });
    println!("resident after: {:.1} MiB anonymous", anonymous_mib());
    println!("peak resident: {}", status("VmHWM"));
    let at = Instant::now();
    drop(catalog);
    println!("close: {:.3} s", at.elapsed().as_secs_f64());
    let at = Instant::now();
    let catalog = SqliteCatalog::open(&folder, Config::default()).unwrap();
    println!("open again: {:.3} s", at.elapsed().as_secs_f64());
    drop(catalog);
    let size = std::fs::metadata(std::path::Path::new(&folder).join("catalog.sqlite3"))
        .unwrap()
        .len();
    println!("database: {:.1} MiB", size as f64 / f64::from(1 << 20));
}

async fn checkpoints(
    catalog: &Arc<SqliteCatalog>,
    ids: &Arc<AtomicU64>,
    callers: u64,
    seconds: u64,
) {
    let first = ids.fetch_add(callers, Ordering::Relaxed);
    let made: Vec<_> = (first..first + callers)
        .map(|number| catalog.create(receiving(number)))
        .collect();
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    measure(
        catalog,
        "checkpoint",
        callers,
        seconds,
        move |catalog, caller, turn| {
            let checkpoint = Checkpoint {
                file_id: short(scattered(first + caller)),
                offset_bytes: turn,
                digest_state: vec![1; 200],
                crc64: 3,
                updated_at: 9,
                expires_at: Some(1_796_000_000_000 + turn as i64 / 100),
                ..Checkpoint::default()
            };
            async move { catalog.checkpoint(checkpoint).await.unwrap() }
        },
    )
    .await;
}

/// What the catalog alone holds: opened, then with some load by callers who hold nothing
/// themselves.
fn resident(folder: &str, config: Config) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let before = anonymous_mib();
    let catalog = SqliteCatalog::open(folder, config).unwrap();
    let opened = anonymous_mib();
    runtime.block_on(async {
        let new = |turn: u64| 1_000_000_000 + turn + 1_000_000 * u64::from(std::process::id());
        for turn in 0..500 {
            let made = (0..16).map(|each| catalog.create(small(new(turn * 16 + each), 4096)));
            drop(futures_util::future::join_all(made).await);
            let found = (0..16).map(|each| catalog.file(short(scattered(turn * 16 + each))));
            drop(futures_util::future::join_all(found).await);
        }
        drop(catalog.unfinished(1_000, None).await.unwrap());
        println!("{:?}", catalog.totals().await.unwrap());
    });
    println!(
        "anonymous MiB: {before:.2} before, {opened:.2} open, {:.2} under load",
        anonymous_mib()
    );
    println!("{}\n{}", status("RssAnon"), status("RssShmem"));
}

/// Runs `work` from a number of callers for some seconds; tells the rate, the latencies and the
/// commits.
async fn measure<F, Fut>(
    catalog: &Arc<SqliteCatalog>,
    name: &str,
    callers: u64,
    seconds: u64,
    work: F,
) where
    F: Fn(Arc<SqliteCatalog>, u64, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let work = Arc::new(work);
    let turns = Arc::new(AtomicU64::new(0));
    let before = catalog.stats();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (work, catalog, turns) = (work.clone(), catalog.clone(), turns.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let at = Instant::now();
                    work(
                        catalog.clone(),
                        caller,
                        turns.fetch_add(1, Ordering::Relaxed),
                    )
                    .await;
                    times.push(at.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let took = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let after = catalog.stats();
    let commits = after.commits - before.commits;
    println!(
        "{name}, {callers} callers: {:.0}/s; p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms; {commits} commits, {} log copies",
        times.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(1.0),
        after.log_copies - before.log_copies,
    );
}

/// Numbers in an order that looks random, as ids are.
fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn short<T: From<[u8; 16]>>(number: u64) -> T {
    let mut id = [0x11; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id.into()
}

fn wide<T: From<[u8; 32]>>(number: u64) -> T {
    let mut id = [0x22; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id.into()
}

fn receiving(number: u64) -> NewFile {
    let later = 1_795_000_000_000 + number as i64 / 10; // ten a millisecond
    let number = scattered(number);
    let record = FileRecord {
        file_id: short(number),
        share_id: short(!number),
        upload_key_hash: wide(number),
        delete_key_hash: wide(!number),
        owner: "ip:192.0.2.1".to_owned(),
        path: "holiday-2026-11-23.jpeg".to_owned(),
        content_type: Some("image/jpeg".to_owned()),
        metadata: "filename aG9saWRheS0yMDI2LTExLTIzLmpwZWc=,filetype aW1hZ2UvanBlZw==".to_owned(),
        protocol: "tus".to_owned(),
        created_at: 1_795_000_000_000,
        updated_at: 1_795_000_000_000,
        expires_at: Some(later),
        segments: vec![Segment {
            segment_id: short(number),
            ..Segment::default()
        }],
        ..FileRecord::default()
    };
    NewFile {
        record,
        ..NewFile::default()
    }
}

fn small(number: u64, bytes: usize) -> NewFile {
    let new = receiving(number);
    let record = FileRecord {
        state: State::Complete,
        length_bytes: Some(bytes as u64),
        offset_bytes: bytes as u64,
        completed_at: Some(1_795_000_000_000),
        blake3: Some(wide(number)),
        upload_key_hash: KeyHash::NONE,
        metadata: String::new(),
        segments: Vec::new(),
        ..new.record
    };
    NewFile {
        record,
        inline: Some(vec![0x5a; bytes]),
        ..NewFile::default()
    }
}

fn status(key: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    text.lines()
        .find(|line| line.starts_with(key))
        .unwrap_or_default()
        .to_owned()
}

fn anonymous_mib() -> f64 {
    let line = status("RssAnon");
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
