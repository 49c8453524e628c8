//! Those who hold memory and do nothing with it, at a time when there is none to spare.
//!
//! Whoever goes on at any pressure must not be somebody who does not go on: a download that nobody takes keeps what it
//! read, for as long as the server is patient with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Neighbour, Request, Turn};

use super::NEIGHBOUR;
use super::pressure::Pressure;
use crate::{setup, until};

const FILE_BYTES: u64 = 24 * MIB;
const STALLED: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_downloads_that_nobody_takes_hold_up_no_upload_when_memory_is_eaten() -> Result<()>
{
    let _turn = Turn::alone()?;
    let memory_box = Arc::new(MemoryBox::new(128 * MIB)?);
    let server = Arc::new(setup().in_box(&memory_box).start()?);
    server.be_killed_first()?;
    let client = server.client();
    let data = Data::new(1, FILE_BYTES);
    let link = client.put_for_link("large.bin", &data).await?;
    let neighbour = Neighbour::start(&memory_box, NEIGHBOUR).await?;
    let hold = Duration::from_millis(500);
    let mut pressure = Pressure::new(&server, &memory_box, neighbour, 28 * MIB, hold)?;
    pressure.grow().await?;
    until("nothing is offered", Duration::from_secs(10), || async {
        let status = client.status().await?;
        Ok(status.figure("free_to_lease_bytes")? == 0.0)
    })
    .await?;

    let request = Request::new("GET", Client::path_of(&link));
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut conn = client.connect().await?;
        conn.send_head(&request).await?;
        let head = conn.head().await?;
        ensure!(head.status == 200, "{head:?}");
        stalled.push((conn, head));
    }
    // What the sockets take goes on to them; then each keeps what it has read last.
    let held = await_standstill(&client).await?;
    println!("{STALLED} stalled downloads hold {} KiB", held / 1024);

    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(pressure.store("beside stalled downloads").await?);
    }
    // They go on when they are taken. Those that are not keep their half until the server's patience with them is over.
    stalled.truncate(3);
    pressure.neighbour.hold(0).await?;
    for (mut conn, head) in stalled {
        let mut body = ddx_testkit::Conn::body_of(&head, "GET")?;
        let mut at = 0;
        while let Some(piece) = conn.next(&mut body).await.context("a stalled download")? {
            ensure!(
                data.first_difference(at, &piece).is_none(),
                "a piece at {at} differs"
            );
            at += piece.len() as u64;
        }
        ensure!(at == FILE_BYTES, "{at} bytes");
    }
    for (client, link, data) in stored {
        client.fetch(&link, &data).await?;
    }
    ensure!(memory_box.usage()?.oom_kills == 0);
    crate::ledger_at_zero(&client).await
}

/// Waits until downloads hold something and have held the same for a second; how much that is.
async fn await_standstill(client: &Client) -> Result<i64> {
    let end = Instant::now() + Duration::from_secs(30);
    let (mut held, mut since) = (0, Instant::now());
    while held == 0 || since.elapsed() < Duration::from_secs(1) {
        ensure!(
            Instant::now() < end,
            "they do not stand still: {held} bytes"
        );
        let now = client.status().await?.rows()?["downloads"];
        if now != held {
            (held, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(held)
}
