//! Pages of the disk's cache that can't be taken back: the kernel's counters call them free, and a
//! box can be full of them.
//!
//! A page is held while the disk fills it, and while it stands in the send queue of a client that
//! takes nothing. In both cases an allocation that needs the memory finds none, and the kernel ends
//! the process.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, Head, MIB, MemoryBox, Request, Server, Turn};
use tokio::task::JoinSet;

use crate::{at_standstill, ledger_at_zero, setup};

const BOX_BYTES: u64 = 64 * MIB;
/// All are served at once, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

async fn store(client: &Client, files: u64, bytes: u64) -> Result<Vec<(String, Data)>> {
    let mut stored = Vec::new();
    for number in 0..files {
        let data = Data::new(number, bytes);
        let link = client.put_for_link("large.bin", &data).await?;
        stored.push((link, data));
    }
    Ok(stored)
}

/// Asks for a file, and takes no more than the answer's head.
async fn begin(client: &Client, link: &str) -> Result<(Conn, Head)> {
    let mut conn = client.connect().await?;
    conn.send_head(&Request::new("GET", Client::path_of(link)))
        .await?;
    let head = conn.head().await?;
    ensure!(head.status == 200, "{head:?}");
    Ok((conn, head))
}

/// Takes the rest.
async fn end(mut conn: Conn, head: Head, data: Data) -> Result<()> {
    let mut body = Conn::body_of(&head, "GET")?;
    let mut at = 0;
    while let Some(piece) = conn.next(&mut body).await? {
        let difference = data.first_difference(at, &piece);
        ensure!(difference.is_none(), "a piece at {at} differs");
        at += piece.len() as u64;
    }
    ensure!(at == data.len(), "{at} bytes of {}", data.len());
    Ok(())
}

/// Uploads small files, eight at a time, until it is told to stop; how many there were.
async fn upload_until(client: Client, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (client, stop) = (client.clone(), stop.clone());
        tasks.spawn(async move {
            let data = Data::new(99, MIB);
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                client.put_for_link("small.bin", &data).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let counts = tasks.join_all().await.into_iter();
    counts.sum()
}

async fn at_rest(server: &Server, memory_box: &MemoryBox) -> Result<()> {
    let usage = memory_box.usage()?;
    ensure!(usage.oom_kills == 0, "{usage:?}");
    ledger_at_zero(&server.client()).await
}

/// Bytes of the files in a folder that are in the page cache, as `fincore` of util-linux counts
/// them.
fn cached_bytes(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .args(files)
        .output()
        .context("run fincore of util-linux")?;
    ensure!(output.status.success(), "{output:?}");
    let figures = String::from_utf8(output.stdout)?;
    let figures = figures.split_whitespace().map(str::parse::<u64>);
    Ok(figures.sum::<Result<u64, _>>()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_is_not_read_ahead() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let stored = store(&client, 1, 64 * MIB).await?;
    let segments = server.data_dir().join("segments");
    let before = cached_bytes(&segments)?;
    let (conn, head) = begin(&client, &stored[0].0).await?;
    let last = at_standstill("nothing more is read", || cached_bytes(&segments)).await?;
    println!("{before} bytes of it were in the cache, {last} are");
    ensure!(last.saturating_sub(before) <= 2 * MIB);
    let held = client.status().await?.accounts()?["downloads"];
    ensure!(
        held > 0 && held <= 256 << 10,
        "it holds {held} bytes, for what stands in its send queue"
    );
    end(conn, head, Data::new(0, 64 * MIB)).await?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_what_nobody_takes_leaves_the_box_to_others() -> Result<()> {
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(BOX_BYTES)?);
    let server = setup().in_box(&memory_box).start()?;
    server.be_killed_first()?;
    let client = server.client().patience(PATIENCE);
    let stored = store(&client, 40, 4 * MIB).await?;
    let mut stalled = Vec::new();
    for (link, _) in &stored {
        for _ in 0..3 {
            stalled.push(begin(&client, link).await?);
        }
    }

    let stop = Arc::new(AtomicBool::new(false));
    let uploads = tokio::spawn(upload_until(client.clone(), stop.clone()));
    let mut fetched = Ok(());
    for (link, data) in &stored {
        fetched = client.fetch(link, data).await.map(drop);
        if fetched.is_err() {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let uploaded = uploads.await?;
    fetched.with_context(|| format!("a download; the box: {:?}", memory_box.usage()))?;
    let uploaded = uploaded.context("an upload beside downloads")?;
    println!("{uploaded} uploads meanwhile; {:?}", memory_box.usage()?);
    drop(stalled);
    at_rest(&server, &memory_box).await
}
