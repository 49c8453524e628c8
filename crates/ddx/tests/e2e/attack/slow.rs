//! Thousands of slow connections in a box: what each costs, and that others do not notice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Pace, Turn, from_env, full, scaled};
use tokio::task::JoinSet;

use super::watch::{Drift, Watch};
use crate::{ledger_at_zero, setup};

const FILE_BYTES: u64 = 64 * 1024;
const STEP_BYTES: usize = 4096;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_thousands_of_slow_connections_in_256_mib() -> Result<()> {
    let _turn = Turn::alone()?;
    // A debug build's state machines are larger, and ten thousand of them do not fit the box.
    let is_release = std::env::var_os("DDX_BIN").is_some();
    let most = if is_release { 10_000 } else { 3_000 };
    let count = from_env("DDX_SLOW_CLIENTS", scaled(1_500, most));
    // What one costs is measured on a release build. A debug build on a busy machine is only to
    // show that none holds a buffer of its own.
    let each_bytes_max = if is_release { 24 * 1024 } else { 80 * 1024 };
    let memory_box = Arc::new(MemoryBox::new(256 * MIB)?);
    let server = Arc::new(setup().in_box(&memory_box).start()?);
    server.be_killed_first()?;
    let client = server.client().patience(Duration::from_secs(120));
    client
        .put("warm.bin", &Data::new(0, MIB))
        .await?
        .expect(201)?;
    let before = without_buffers(&client).await?;
    let drift = Drift::AtMost(count * each_bytes_max);
    let watch = Watch::over(&server, &memory_box, drift);

    let took = Duration::from_secs(if full() { 20 } else { 8 });
    let steps = u32::try_from(FILE_BYTES / STEP_BYTES as u64)?;
    let pace = Pace {
        step_bytes: STEP_BYTES,
        pause: took / steps,
    };
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for seed in 0..count {
        // A thousand users, each with a share of the connections.
        let user = Ipv4Addr::new(
            127,
            0,
            u8::try_from(2 + seed % 4)?,
            u8::try_from(1 + seed % 250)?,
        );
        let client = client.from(IpAddr::V4(user));
        sending.spawn(async move {
            tokio::time::sleep(Duration::from_micros(seed * 300)).await; // they come one after the other
            let data = Data::new(seed, FILE_BYTES);
            let answer = client
                .put_with("slow.bin", &data, &[], Some(pace))
                .await
                .with_context(|| format!("slow client {seed}"))?
                .expect(201)?;
            anyhow::Ok((seed, answer.text().trim().to_owned()))
        });
    }
    let mut asked = Vec::new();
    let mut busy = 0;
    let mut links = Vec::new();
    while !sending.is_empty() {
        let question = Instant::now();
        client.get("/healthz").await?.expect(200)?;
        asked.push(question.elapsed());
        busy = without_buffers(&client).await?.max(busy);
        tokio::time::sleep(Duration::from_millis(100)).await;
        while let Some(sent) = sending.try_join_next() {
            links.push(sent??);
        }
    }
    let ended = began.elapsed();
    let seen = watch.end().await.context("the watch")?;
    ensure!(links.len() as u64 == count);
    for (seed, link) in links.iter().filter(|(seed, _)| seed % 50 == 0) {
        client.fetch(link, &Data::new(*seed, FILE_BYTES)).await?;
    }
    asked.sort();
    let each = busy.saturating_sub(before) / count;
    println!(
        "{count} slow connections over {took:?}: {ended:?}, {each} bytes of anonymous memory each beside buffers; a small request \
         beside them {:?} in the middle, {:?} at most",
        asked[asked.len() / 2],
        asked[asked.len() - 1]
    );
    println!("{seen}");
    ensure!(
        each < each_bytes_max,
        "a slow connection costs {each} bytes"
    );
    ensure!(
        asked[asked.len() / 2] < Duration::from_secs(5),
        "a small request beside them takes {asked:?}"
    );
    ledger_at_zero(&client).await
}

/// Anonymous memory of the server that is no buffer, both by one reading. How many buffers there
/// are at a moment is a matter of how busy the machine is.
async fn without_buffers(client: &Client) -> Result<u64> {
    let status = client.status().await?;
    let ledger = &status.json["ledger"];
    let anonymous = ledger["process"]["anon_bytes"].as_u64();
    let buffers = ledger["pool_resident_bytes"].as_u64();
    let both = anonymous.zip(buffers).context("no figures")?;
    Ok(both.0.saturating_sub(both.1))
}
