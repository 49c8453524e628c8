//! What one client may take: not so much that others get nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, Request, Turn};

use crate::{setup, until};

/// Opens a stream of the system's events; the answer's status, and the connection that it goes on on.
async fn events(client: &Client) -> Result<(u16, Conn)> {
    let mut conn = client.connect().await?;
    conn.send_head(&Request::new("GET", "/api/v1/system/events"))
        .await?;
    let head = conn.head().await?;
    Ok((head.status, conn))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_does_not_take_all_event_streams() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--sse-clients-max", "5")
        .option("--sse-per-client-max", "3")
        .start()?;
    let one = server.client();
    let other = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    let mut open = Vec::new();
    for _ in 0..3 {
        let (status, conn) = events(&one).await?;
        ensure!(status == 200, "{status}");
        open.push(conn);
    }
    let refused = one
        .get("/api/v1/system/events")
        .await?
        .expect_problem(429)?;
    ensure!(
        refused["type"] == "/errors/too-many-of-one" && refused["limit"] == 3,
        "{refused}"
    );
    for _ in 0..2 {
        let (status, conn) = events(&other).await?;
        ensure!(status == 200, "the other client is answered {status}");
        open.push(conn);
    }
    let refused = other
        .get("/api/v1/system/events")
        .await?
        .expect_problem(503)?;
    ensure!(refused["type"] == "/errors/too-many-streams", "{refused}");
    drop(open);
    until("the places are free", Duration::from_secs(20), || async {
        Ok(events(&one).await.context("after all have left")?.0 == 200)
    })
    .await
}

/// Forms without a body, from one address: as many connections as it may have wait for theirs, and others are served.
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
