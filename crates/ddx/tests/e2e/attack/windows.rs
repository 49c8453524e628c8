//! Downloads by HTTP/2 of a client that gives each of them a window of one byte, and takes nothing
//! more.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Turn};

use crate::http2_client::Http2;
use crate::{ledger_at_zero, setup, until};

const CONNECTIONS: usize = 12;
const STREAMS: u32 = 64;
/// What others ask for is done within this, on a busy machine, too.
const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_downloads_with_windows_of_one_byte_hold_up_nobody() -> Result<()> {
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(128 * MIB)?);
    // They are borne with for longer than the test lasts.
    let server = setup()
        .in_box(&memory_box)
        .option("--write-timeout", "10m")
        .option("--write-timeout-crowded", "10m")
        .option("--download-buffer", "4MiB")
        .start()?;
    server.be_killed_first()?;
    let client = server.client();
    let data = Data::new(1, 24 * MIB);
    let link = client.put_for_link("large.bin", &data).await?;

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Http2::open(&server, 1).await?;
        for number in 0..STREAMS {
            let path = Client::path_of(&link);
            connection.ask(2 * number + 1, "GET", path, true).await?;
        }
        connections.push(connection);
    }
    until("more of them wait than get memory", WITHIN, || async {
        let status = client.status().await?;
        Ok(status.figure("waiting")? > 0.0)
    })
    .await?;

    let other = server.client().from(Ipv4Addr::new(127, 0, 0, 9));
    for round in 0..3 {
        let began = Instant::now();
        let small = Data::new(10 + round, 4 * MIB);
        let all = async {
            let own = other.put_for_link("other.bin", &small).await?;
            other.fetch(&own, &small).await?;
            other.fetch(&link, &data).await
        };
        let fetched = tokio::time::timeout(WITHIN, all).await;
        fetched.with_context(|| format!("round {round}"))??;
        println!("round {round}: {:?}", began.elapsed());
    }
    let status = client.status().await?;
    let held = status.accounts()?["downloads"] as f64;
    let ceiling = status.figure("ceiling_bytes")?;
    println!(
        "held {held} of {ceiling}, waiting {}",
        status.figure("waiting")?
    );
    ensure!(
        held <= ceiling / 4.0 + 1e6,
        "one client holds {held} of {ceiling}"
    );
    ensure!(memory_box.usage()?.oom_kills == 0);
    drop(connections);
    ledger_at_zero(&client).await
}
