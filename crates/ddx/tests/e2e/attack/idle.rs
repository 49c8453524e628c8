//! Downloads that are not taken, at a time when there is no memory to spare.
//!
//! The kernel sends them, whole files as well as several ranges in one answer: they hold what
//! stands in their send queues, give way to uploads that wait for it, and go on when they are
//! taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, Head, MIB, MemoryBox, Neighbour, Request, Turn};

use super::NEIGHBOUR;
use super::pressure::Pressure;
use crate::{setup, until};

const FILE_BYTES: u64 = 24 * MIB;
/// What stands in the send queue of one that is not taken, and what is kept ready for it.
const QUEUE_BYTES: i64 = 256 << 10;
const STALLED: usize = 100;
/// Two that do not touch, so that they stay two.
const RANGES: &str = "bytes=0-11000000,12000000-23000000";

/// A box in which a neighbour has taken all that the server would offer, and downloads of one file
/// that is not taken.
struct Stalled {
    memory_box: Arc<MemoryBox>,
    client: Client,
    pressure: Pressure,
    conns: Vec<(Conn, Head)>,
    data: Data,
}

/// `crowded`: how long they are borne with while others wait.
async fn stall(crowded: &str) -> Result<Stalled> {
    let memory_box = Arc::new(MemoryBox::new(128 * MIB)?);
    let setup = setup()
        .in_box(&memory_box)
        .option("--write-timeout-crowded", crowded);
    let server = Arc::new(setup.start()?);
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

    let whole = Request::new("GET", Client::path_of(&link));
    let ranges = whole.clone().header("Range", RANGES);
    let mut conns = Vec::new();
    for number in 0..STALLED {
        let (request, status) = match number % 2 {
            0 => (&whole, 200),
            _ => (&ranges, 206),
        };
        let mut conn = client.connect().await?;
        conn.send_head(request).await?;
        let head = conn.head().await?;
        ensure!(head.status == status, "{head:?}");
        conns.push((conn, head));
    }
    Ok(Stalled {
        memory_box,
        client,
        pressure,
        conns,
        data,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_downloads_that_nobody_takes_hold_up_no_upload_when_memory_is_eaten() -> Result<()>
{
    let _turn = Turn::boxed()?;
    let Stalled {
        memory_box,
        client,
        mut pressure,
        conns,
        data,
    } = stall("10m").await?;
    let held = await_standstill(&client).await?;
    ensure!(
        held <= STALLED as i64 * QUEUE_BYTES,
        "downloads that nobody takes hold {held} bytes"
    );

    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(pressure.store("beside stalled downloads").await?);
    }
    pressure.neighbour.hold(0).await?;
    for (mut conn, head) in conns.into_iter().take(4) {
        let mut body = Conn::body_of(&head, "GET")?;
        let mut at = 0;
        while let Some(piece) = conn.next(&mut body).await.context("a stalled download")? {
            ensure!(
                head.status != 200 || data.first_difference(at, &piece).is_none(),
                "a piece at {at} differs"
            );
            at += piece.len() as u64;
        }
        ensure!(at == head.number("content-length")?, "{at} bytes: {head:?}");
    }
    for (client, link, data) in stored {
        client.fetch(&link, &data).await?;
    }
    ensure!(memory_box.usage()?.oom_kills == 0);
    crate::ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_downloads_that_nobody_takes_give_way_to_others() -> Result<()> {
    let _turn = Turn::boxed()?;
    let mut stalled = stall("8s").await?;
    await_standstill(&stalled.client).await?;
    let status = stalled.client.status().await?;
    ensure!(status.figure("waiting")? > 0.0, "{}", status.json);
    // More of them wait than there is memory for, and a new client comes behind all.
    stalled.pressure.probe("beside stalled downloads").await?;
    // What gave way holds nothing, in the kernel neither.
    let port = stalled.pressure.server.address().port();
    let orphans = orphans(port)?;
    ensure!(orphans.is_empty(), "{orphans:?}");
    ensure!(stalled.memory_box.usage()?.oom_kills == 0);
    drop(stalled.conns);
    crate::ledger_at_zero(&stalled.client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_downloads_whose_clients_leave_wait_for_nothing() -> Result<()> {
    let _turn = Turn::boxed()?;
    let stalled = stall("10m").await?;
    await_standstill(&stalled.client).await?;
    let status = stalled.client.status().await?;
    ensure!(status.figure("waiting")? > 0.0, "{}", status.json);
    drop(stalled.conns);
    // There is no more memory than before: those that waited are not served, they go.
    until("they have gone", Duration::from_secs(20), || async {
        let status = stalled.client.status().await?;
        Ok(status.figure("waiting")? == 0.0 && status.accounts()?["downloads"] == 0)
    })
    .await?;
    ensure!(stalled.memory_box.usage()?.oom_kills == 0);
    crate::ledger_at_zero(&stalled.client).await
}

/// Connections of this port that are closed and still have something to send, as the kernel lists
/// them.
fn orphans(port: u16) -> Result<Vec<String>> {
    const FIN_WAIT_1: &str = "04";
    let local = format!(":{port:04X}");
    let listed = std::fs::read_to_string("/proc/net/tcp")?;
    let is_orphan = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_ours = fields.next().is_some_and(|own| own.ends_with(&local));
        is_ours && fields.nth(1) == Some(FIN_WAIT_1)
    };
    Ok(listed
        .lines()
        .filter(is_orphan)
        .map(str::to_owned)
        .collect())
}

/// Waits until no byte has gone out for a second, and what downloads hold has not changed in it;
/// how much that is.
async fn await_standstill(client: &Client) -> Result<i64> {
    let end = Instant::now() + Duration::from_secs(60);
    let mut last = None;
    let mut since = Instant::now();
    loop {
        let held = client.status().await?.accounts()?["downloads"];
        let metrics = client.metrics().await?;
        let sent = metrics.get("ddx_download_bytes_total").copied();
        let now = (held, sent.context("no count of bytes")?);
        if last != Some(now) {
            (last, since) = (Some(now), Instant::now());
        }
        if since.elapsed() >= Duration::from_secs(1) {
            return Ok(held);
        }
        ensure!(Instant::now() < end, "they do not stand still: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
