//! What connections of HTTP/2 hold, and that they leave room for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, MemoryBox, Run, Server, Turn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{file_of, ledger_at_zero, setup, until};

/// The preface and an empty frame of settings.
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The code of the frame that ends the connection; None where the server keeps it.
async fn goodbye(stream: &mut TcpStream) -> Result<Option<u32>> {
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut payload).await?;
        match header[3] {
            GOAWAY => {
                let code = payload.get(4..8).context("a short GOAWAY")?;
                return Ok(Some(u32::from_be_bytes(code.try_into()?)));
            }
            // The confirmation of our settings is the last that an idle connection gets.
            4 if header[4] == 1 => return Ok(None),
            _ => {}
        }
    }
}

async fn put_by_http2(server: &Server, file: &std::path::Path) -> Result<Option<String>> {
    let sent = Run::curl()
        .args(["--http2-prior-knowledge", "-w", "\n%{http_code}", "-T"])
        .arg(file)
        .arg(server.url("/"))
        .finish()
        .await?;
    let link = sent.stdout.lines().next().map(str::to_owned);
    Ok(sent.stdout.ends_with("201").then_some(link).flatten())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_idle_http_2_connections_leave_room_for_others() -> Result<()> {
    const COUNT: usize = 1500;
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(128 * MIB)?);
    let server = setup().in_box(&memory_box).start()?;
    server.be_killed_first()?;
    let client = server.client().patience(Duration::from_secs(20));
    let mut kept = Vec::new();
    let mut refused = 0;
    for number in 0..COUNT {
        let mut stream = TcpStream::connect(server.address()).await?;
        stream.write_all(BEGIN).await?;
        let ended = tokio::time::timeout(Duration::from_secs(10), goodbye(&mut stream)).await;
        match ended
            .context("nothing is said")?
            .with_context(|| format!("connection {number}"))?
        {
            None => kept.push(stream),
            Some(ENHANCE_YOUR_CALM) => refused += 1,
            Some(code) => anyhow::bail!("connection {number} is ended with {code}"),
        }
    }
    let status = client.status().await?;
    println!(
        "{} idle connections are kept, {refused} refused; {} bytes, drift {}",
        kept.len(),
        status.accounts()?["connections"],
        status.figure("drift_bytes")?
    );
    ensure!(kept.len() > 300, "only {} are kept", kept.len());
    ensure!(status.figure("drift_bytes")? < 4.0 * MIB as f64);
    let began = Instant::now();
    let data = Data::new(1, 8 * MIB);
    let link = client.put_for_link("beside.bin", &data).await?;
    ensure!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    client.fetch(&link, &data).await?;
    // Those that ask for nothing give way to one that does.
    let file = file_of(&server, "two.bin", &data)?;
    until(
        "HTTP/2 is spoken with others",
        Duration::from_secs(20),
        || async {
            let Some(link) = put_by_http2(&server, &file).await? else {
                return Ok(false);
            };
            client.fetch(&link, &data).await?;
            Ok(true)
        },
    )
    .await?;
    drop(kept);
    until(
        "their memory is given back",
        Duration::from_secs(20),
        || async { Ok(client.status().await?.accounts()?["connections"] < MIB as i64) },
    )
    .await?;
    ensure!(memory_box.usage()?.oom_kills == 0);
    ledger_at_zero(&client).await
}

/// Many uploads on one connection each, in a box that holds their windows not at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_uploads_by_http_2_wait_for_memory() -> Result<()> {
    const COUNT: u64 = 60;
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(64 * MIB)?);
    let server = Arc::new(setup().in_box(&memory_box).start()?);
    server.be_killed_first()?;
    let client = server.client().patience(Duration::from_secs(60));
    let mut sending = tokio::task::JoinSet::new();
    for seed in 0..COUNT {
        let data = Data::new(seed, 4 * MIB);
        let file = file_of(&server, &format!("{seed}.bin"), &data)?;
        let server = server.clone();
        sending.spawn(async move {
            let link = put_by_http2(&server, &file).await?;
            anyhow::Ok((
                seed,
                link.with_context(|| format!("upload {seed} is refused"))?,
            ))
        });
    }
    while let Some(sent) = sending.join_next().await {
        let (seed, link) = sent??;
        client.fetch(&link, &Data::new(seed, 4 * MIB)).await?;
    }
    ensure!(memory_box.usage()?.oom_kills == 0);
    ledger_at_zero(&client).await
}
