//! What one client may take: not so much that others get nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ddx_testkit::{Data, Request, Turn, Tus};

use crate::{setup, until};

/// Kept connections, more than there may be: the one idle longest goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_give_their_places_to_those_who_come() -> Result<()> {
    const PLACES: usize = 20;
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--connections-max", PLACES.to_string())
        .option("--idle-timeout", "1h")
        .start()?;
    let health = Request::new("GET", "/healthz");
    let mut kept = Vec::new();
    for number in 0..PLACES {
        let mut conn = server.client().connect().await?;
        // Some have said something, and some have not.
        if number % 2 == 0 {
            conn.send_head(&health).await?;
            conn.response("GET").await?;
        }
        kept.push(conn);
    }
    let other = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    let data = Data::new(1, 100_000);
    for _ in 0..5 {
        let link = other.put_for_link("other.bin", &data).await?;
        other.fetch(&link, &data).await?;
    }
    // An upload under way is not idle.
    let tus = Tus::new(&other);
    let upload = tus.create(Some(data.len()), "slow.bin").await?;
    let mut slow = other.connect().await?;
    slow.send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    for _ in 0..2 * PLACES {
        kept.push(server.client().connect().await?);
    }
    other.send(&health, &[]).await?.expect(200)?;
    slow.send(&data.bytes(0..data.len())).await?;
    slow.response("PATCH").await?.expect(204)?;
    Ok(())
}

/// Forms without a body, from one address: as many connections as it may have wait for theirs, and
/// others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_does_not_take_all_connections() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--connections-per-client-max", "20")
        .start()?;
    let one = server.client();
    let other = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    let form = Request::new("POST", "/")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .header("Content-Length", 1000);
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut conn = one.connect().await?;
        conn.send_head(&form).await?;
        open.push(conn);
    }
    for number in 0..100 {
        let refused = one.get("/healthz").await?.expect_problem(429)?;
        ensure!(
            refused["type"] == "/errors/too-many-of-one" && refused["limit"] == 20,
            "{number}: {refused}"
        );
    }
    let data = Data::new(1, 100_000);
    let link = other.put_for_link("other.bin", &data).await?;
    other.fetch(&link, &data).await?;
    drop(open);
    until(
        "the first is served again",
        Duration::from_secs(20),
        || async { Ok(one.get("/healthz").await?.status == 200) },
    )
    .await
}
