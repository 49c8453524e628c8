//! Clients that close in the middle of a request leave nothing behind.

use std::time::Duration;

use anyhow::Result;
use ddx_testkit::{Request, Turn, Tus};

use crate::bad_disk::segment_count;
use crate::{ledger_at_zero, setup, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_client_closes_leaves_no_upload_and_no_reservation() -> Result<()> {
    const REQUESTS: u64 = 200;
    const LENGTH: u64 = 256 << 20;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let request: Request = Tus::request("POST", "/files").header("Upload-Length", LENGTH);
    for number in 0..REQUESTS {
        let mut conn = client.connect().await?;
        conn.send_head(&request).await?;
        // From at once to well after its answer.
        tokio::time::sleep(Duration::from_micros(number * 20)).await;
        conn.reset()?;
    }
    // Those that had been answered when they closed are uploads like any other, whose client may
    // come back. The last may still be under way: its space, its segment and its record come one
    // after the other.
    let settled = || async {
        let metrics = client.metrics().await?;
        let made = metrics["ddx_uploads_unfinished"];
        // The catalog's log is reserved too, and far smaller than one of them. A file system that
        // can reserve keeps an upload's space in place of the server.
        let reserved = (metrics["ddx_disk_reserved_bytes"] / LENGTH as f64).floor();
        let is_settled = segment_count(server.data_dir()) as f64 == made
            && (reserved == 0.0 || reserved == made);
        println!("{made} of {REQUESTS} had been made, space is reserved for {reserved}");
        Ok(is_settled)
    };
    until("each is made or undone", Duration::from_secs(30), settled).await?;
    ledger_at_zero(&client).await
}
