//! Listings and event streams of a large share that their clients do not read, in a small box.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Client, Conn, Data, Events, MIB, MemoryBox, Request, Server, Turn, Tus, metadata,
};
use flate2::read::GzDecoder;
use tokio::task::JoinSet;

use crate::{at_standstill, ledger_at_zero, new_share, setup, until};

const FILES: u32 = 1_000;
const STREAMS: usize = 200;
const LISTINGS: usize = 200;
/// What one may take of the server's memory, in a debug build; 5 MB were seen.
const EACH_BYTES: u64 = 64 << 10;

/// Unfinished uploads of a share, with as much metadata as is allowed.
pub(super) async fn create(
    client: &Client,
    share_key: &str,
    numbers: std::ops::Range<u32>,
) -> Result<()> {
    let note = "n".repeat(2_800);
    let mut tasks = JoinSet::new();
    for part in 0..8 {
        let (client, numbers) = (client.clone(), numbers.clone());
        let (share_key, note) = (share_key.to_owned(), note.clone());
        tasks.spawn(async move {
            let tus = Tus::new(&client);
            for number in numbers.skip(part).step_by(8) {
                let name = format!("unfinished {number:04}.bin");
                let pairs = [("share", &*share_key), ("filename", &name), ("note", &note)];
                let fields = [("Upload-Metadata", &*metadata(&pairs))];
                tus.create_with(Some(100), &fields).await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Asks, and takes no more than the answer's head.
async fn ask(client: &Client, path: &str) -> Result<Conn> {
    let mut conn = client.connect().await?;
    conn.send_head(&Request::new("GET", path)).await?;
    let head = conn.head().await?;
    ensure!(head.status == 200, "{head:?}");
    Ok(conn)
}

/// The server's anonymous memory, once it stands still.
async fn anonymous_at_rest(server: &Server) -> Result<u64> {
    at_standstill("memory stands still", || server.memory_bytes("RssAnon")).await
}

/// `count` clients ask for `path` and read nothing, while others are served.
async fn unread(server: &Server, client: &Client, path: &str, count: usize) -> Result<Vec<Conn>> {
    let before = anonymous_at_rest(server).await?;
    let mut conns = Vec::new();
    for _ in 0..count {
        conns.push(ask(client, path).await?);
    }
    let after = anonymous_at_rest(server).await?;
    let each = after.saturating_sub(before) / count as u64;
    let status = client.status().await?;
    println!(
        "{path}: {each} bytes each; answers {}, connections {}, drift {}",
        status.accounts()?["answers"],
        status.accounts()?["connections"],
        status.figure("drift_bytes")?
    );
    ensure!(each <= EACH_BYTES, "{each} bytes for each of {count}");
    let other = client.from(Ipv4Addr::new(127, 0, 0, 9));
    let data = Data::new(7, MIB);
    let link = other.put_for_link("other.bin", &data).await?;
    other.fetch(&link, &data).await?;
    Ok(conns)
}

/// Reads on: changes were missed, so all files are told anew, each once.
async fn told_anew(events: &mut Events, files: usize) -> Result<()> {
    events.until("reset", |_| true).await?;
    let mut paths = BTreeSet::new();
    loop {
        let event = events.next().await?.context("the stream ended")?;
        match event.name.as_str() {
            "file" => {
                let file = event.json()?;
                let path = file["path"].as_str().context("no path")?;
                ensure!(paths.insert(path.to_owned()), "{path} is told twice");
            }
            "listed" => break,
            other => anyhow::bail!("{other} in between"),
        }
    }
    ensure!(paths.len() == files, "{} of {files} files", paths.len());
    Ok(())
}

/// A compressed stream tells every file, in a fraction of its size, and each change as it comes.
async fn packed_stream_tells_all(client: &Client, path: &str, share_key: &str) -> Result<()> {
    let mut conn = client.connect().await?;
    let ask = Request::new("GET", &format!("{path}/events")).header("Accept-Encoding", "gzip, br");
    conn.send_head(&ask).await?;
    let head = conn.head().await?;
    ensure!(head.get("content-encoding") == Some("gzip"), "{head:?}");
    ensure!(
        head.get("vary")
            .is_some_and(|vary| vary.contains("Accept-Encoding"))
    );
    let mut body = Conn::body_of(&head, "GET")?;
    let mut packed = Vec::new();
    let mut told = async |what: &str| -> Result<(usize, String)> {
        loop {
            let piece = conn.next(&mut body).await?.context("the stream ended")?;
            packed.extend_from_slice(&piece);
            let mut plain = Vec::new();
            // It goes on, so that its end is missing.
            let _ = GzDecoder::new(packed.as_slice()).read_to_end(&mut plain);
            let plain = String::from_utf8(plain)?;
            if plain.contains(what) {
                return Ok((packed.len(), plain));
            }
        }
    };
    let (bytes, plain) = told("event: listed").await?;
    let files = plain.matches("event: file").count();
    ensure!(files == FILES as usize + 200, "{files} files are told");
    println!("{bytes} bytes on the line for {} of events", plain.len());
    ensure!(bytes < plain.len() / 3);
    create(client, share_key, FILES + 200..FILES + 201).await?;
    told(&format!("unfinished {:04}.bin", FILES + 200)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_listings_and_streams_of_a_large_share_stay_small() -> Result<()> {
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(64 * MIB)?);
    let server = setup().in_box(&memory_box).start()?;
    server.be_killed_first()?;
    let client = server.client();
    let (id, key) = new_share(&client).await?;
    let (key, path) = (key.as_str(), format!("/api/v1/shares/{id}"));
    create(&client, key, 0..FILES).await?;
    let alone = Instant::now();
    create(&client, key, FILES..FILES + 100).await?;
    let alone = alone.elapsed();

    let mut behind = client.events(&format!("{path}/events")).await?;
    let streams = unread(&server, &client, &format!("{path}/events"), STREAMS).await?;
    let beside = Instant::now();
    create(&client, key, FILES + 100..FILES + 200).await?;
    let beside = beside.elapsed();
    println!("100 creations: {alone:?} alone, {beside:?} beside {STREAMS} streams");
    ensure!(
        beside < alone * 10 + Duration::from_secs(2),
        "{alone:?}, {beside:?}"
    );
    drop(streams);
    told_anew(&mut behind, FILES as usize + 200).await?;
    drop(behind);
    until(
        "the streams hold nothing",
        Duration::from_secs(20),
        || async { Ok(client.status().await?.accounts()?["answers"] == 0) },
    )
    .await?;

    let listings = unread(&server, &client, &path, LISTINGS).await?;
    drop(listings);
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let page = client.json(&format!("{path}{after}")).await?;
        let files = page["files"].as_array().context("no files")?;
        count += files.len();
        match page["next"].as_str() {
            Some(next) => after = format!("?after={}", next.replace(' ', "%20")),
            None => break,
        }
    }
    ensure!(count == FILES as usize + 200, "{count} files are listed");
    let packed = Request::new("GET", &path).header("Accept-Encoding", "gzip");
    let packed = client.send(&packed, &[]).await?.expect(200)?;
    ensure!(packed.field("content-encoding")? == "gzip");
    let page: serde_json::Value = serde_json::from_reader(GzDecoder::new(&*packed.body))?;
    let files = page["files"].as_array().context("no files")?;
    ensure!(files.len() == FILES as usize);
    println!("{} bytes for {FILES} files, compressed", packed.body.len());
    ensure!(packed.body.len() < 200 * files.len());
    packed_stream_tells_all(&client, &path, key).await?;
    ensure!(
        memory_box.usage()?.oom_kills == 0,
        "{:?}",
        memory_box.usage()?
    );
    ledger_at_zero(&client).await
}
