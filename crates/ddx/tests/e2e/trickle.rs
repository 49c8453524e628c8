//! Clients that send little at a time: the kernel gathers what they send, and nothing of it is lost
//! or waits for ever.

use std::time::Duration;

use anyhow::{Result, ensure};
use ddx_testkit::{Client, Conn, Data, Request, Turn, Tus};

use crate::{ledger_at_zero, setup, until};

const PATIENCE: Duration = Duration::from_secs(30);
/// Less than the server reads at once from a client that it takes for slow.
const LITTLE: u64 = 1_000;

/// Waits until the server has taken so many bytes of uploads, and holds no memory for them.
async fn taken(client: &Client, bytes: u64) -> Result<()> {
    until("the bytes are taken", PATIENCE, || async {
        let metrics = client.metrics().await?;
        let received: f64 = metrics
            .iter()
            .filter(|(name, _)| name.starts_with("ddx_upload_bytes_total"))
            .map(|(_, count)| count)
            .sum();
        ensure!(received <= bytes as f64, "{received} of {bytes}");
        Ok(received == bytes as f64)
    })
    .await?;
    until("nothing is held", PATIENCE, || async {
        Ok(client.status().await?.figure("leased_bytes")? == 0.0)
    })
    .await
}

async fn send(conn: &mut Conn, data: &Data, range: std::ops::Range<u64>) -> Result<()> {
    conn.send(&data.bytes(range)).await
}

/// Bytes that are too few to be read at once are read after a while, and all that come together at
/// once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_is_taken_after_a_while_and_much_at_once() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--body-idle-timeout", "4s").start()?;
    let client = server.client();
    let data = Data::new(1, 100_000);
    let mut conn = client.connect().await?;
    let head = Request::new("PUT", "/slow.bin").header("Content-Length", data.len());
    conn.send_head(&head).await?;
    let mut at = 0;
    for bytes in [LITTLE, LITTLE, 30_000, 1, LITTLE] {
        send(&mut conn, &data, at..at + bytes).await?;
        at += bytes;
        taken(&client, at).await?;
    }
    send(&mut conn, &data, at..data.len()).await?;
    let link = conn.response("PUT").await?.expect(201)?.text();
    client.fetch(link.trim(), &data).await?;
    ledger_at_zero(&client).await
}

/// The last bytes of a body are fewer than a slow client is read for, and so is the request after
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_ends_at_once_and_the_next_request_is_read() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client().patience(PATIENCE);
    let tus = Tus::new(&client);
    let data = Data::new(2, 100_000);
    let mut conn = client.connect().await?;
    let mut sent = 0;
    for _ in 0..2 {
        let upload = tus.create(Some(data.len()), "slow.bin").await?;
        let mut at = 0;
        conn.send_head(&Tus::patch_head(&upload.path, 0, data.len()))
            .await?;
        for bytes in [40_000, 40_000, data.len() - 80_000 - 10] {
            send(&mut conn, &data, at..at + bytes).await?;
            at += bytes;
            sent += bytes;
            taken(&client, sent).await?;
        }
        let began = tokio::time::Instant::now();
        send(&mut conn, &data, at..data.len()).await?;
        sent += 10;
        conn.response("PATCH").await?.expect(204)?;
        // On the same connection, a head that is shorter than what is gathered of a slow body.
        let link = Client::path_of(upload.link()?).to_owned();
        let head = conn.round(&Request::new("HEAD", &link), b"").await?;
        ensure!(head.status == 200, "{head:?}");
        // Waiting for more would have taken five seconds, twice.
        ensure!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        client.fetch(upload.link()?, &data).await?;
    }
    Ok(())
}

/// What lies in the kernel when another request takes an upload over is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gathered_bytes_are_kept_when_the_upload_is_taken_over() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(3, 100_000);
    let upload = tus.create(Some(data.len()), "taken.bin").await?;
    let mut conn = client.connect().await?;
    conn.send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    send(&mut conn, &data, 0..20_000).await?;
    taken(&client, 20_000).await?;
    // Over loopback it has arrived when `send` is done.
    send(&mut conn, &data, 20_000..20_000 + LITTLE).await?;
    let offset = tus.offset(&upload.path).await?;
    ensure!(offset == 20_000 + LITTLE, "{offset}");
    tus.finish_from(&upload.path, &data, offset).await?;
    client.fetch(upload.link()?, &data).await?;
    Ok(())
}
