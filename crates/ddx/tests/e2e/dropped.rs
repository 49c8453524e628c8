//! Clients that close in the middle of a request leave nothing behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use ddx_testkit::{Request, Turn, Tus};

use crate::bad_disk::segment_count;
use crate::{ledger_at_zero, setup, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_client_closes_leaves_no_upload_and_no_reservation() -> Result<()> {
    const REQUESTS: u64 = 200;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let reserved = || async { anyhow::Ok(client.metrics().await?["ddx_disk_reserved_bytes"]) };
    let before: f64 = reserved().await?;
    let request: Request = Tus::request("POST", "/files").header("Upload-Length", 256 << 20);
    for number in 0..REQUESTS {
        let mut conn = client.connect().await?;
        conn.send_head(&request).await?;
        // From at once to well after its answer.
        tokio::time::sleep(Duration::from_micros(number * 20)).await;
        conn.reset()?;
    }
    // Those that had been answered when they closed are uploads like any other, whose client may
    // come back.
    until(
        "each is made or undone",
        Duration::from_secs(30),
        || async {
            let unfinished = client.metrics().await?["ddx_uploads_unfinished"];
            Ok(segment_count(server.data_dir()) as f64 == unfinished)
        },
    )
    .await?;
    let left = client.metrics().await?["ddx_uploads_unfinished"];
    println!("{left} of {REQUESTS} had been made when their client closed");
    if left == 0.0 {
        ensure!(reserved().await? == before);
    }
    ledger_at_zero(&client).await
}
