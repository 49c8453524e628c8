//! What one client may take: not so much that others get nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, Request, Response, Turn, Tus};

use crate::{setup, until};

/// Opens a stream of the system's events; the answer's status, and the connection that it goes on
/// on.
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

/// Sends a request that is one too many.
async fn refused(client: &Client, request: &Request, limit: u64) -> Result<()> {
    is_refused(client.send(request, &[]).await?, limit)
}

fn is_refused(refused: Response, limit: u64) -> Result<()> {
    ensure!(refused.status != 429 || refused.number("retry-after")? >= 1);
    let refused = refused.expect_problem(429)?;
    ensure!(
        refused["type"] == "/errors/too-many-of-one" && refused["limit"] == limit,
        "{refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_asks_only_so_often() -> Result<()> {
    let _turn = Turn::shared()?;
    // Ten at once, and then one in a second.
    let server = setup().option("--requests-per-client-max", "1").start()?;
    let (one, other) = (
        server.client(),
        server.client().from(Ipv4Addr::new(127, 0, 0, 2)),
    );
    let health = Request::new("GET", "/healthz");
    let mut answered = 0;
    let other_answer = loop {
        let answer = one.send(&health, &[]).await?;
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
    };
    ensure!(answered >= 10, "only {answered} were answered");
    is_refused(other_answer, 1)?;
    other.send(&health, &[]).await?.expect(200)?;
    until("it is served again", Duration::from_secs(20), || async {
        Ok(one.send(&health, &[]).await?.status == 200)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_makes_only_so_much_in_a_day() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--creations-per-client-max", "4").start()?;
    let (one, other) = (
        server.client(),
        server.client().from(Ipv4Addr::new(127, 0, 0, 2)),
    );
    let data = Data::new(1, 1_000);
    let share = Request::new("POST", "/api/v1/shares");
    one.put_for_link("one.bin", &data).await?;
    Tus::new(&one).create(Some(10), "two.bin").await?;
    one.send(&share, &[]).await?.expect(201)?;
    one.put_for_link("four.bin", &data).await?;
    refused(&one, &share, 4).await?;
    let creation = Tus::request("POST", "/files").header("Upload-Length", 10);
    refused(&one, &creation, 4).await?;
    one.put("five.bin", &data).await?.expect_problem(429)?;
    let link = other.put_for_link("other.bin", &data).await?;
    one.fetch(&link, &data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_has_only_so_many_uploads_unfinished() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--unfinished-per-client-max", "3")
        .option("--reserved-per-client-bytes-max", "100KB")
        .start()?;
    let (one, other) = (
        server.client(),
        server.client().from(Ipv4Addr::new(127, 0, 0, 2)),
    );
    let tus = Tus::new(&one);
    let of = |bytes: u64| Tus::request("POST", "/files").header("Upload-Length", bytes);
    let data = Data::new(1, 60_000);
    let first = tus.create(Some(data.len()), "first.bin").await?;
    refused(&one, &of(40_001), 100_000).await?;
    let late = tus.create(None, "late.bin").await?;
    let told = Tus::patch_head(&late.path, 0, 0).header("Upload-Length", 40_001);
    refused(&one, &told, 100_000).await?;
    tus.create(Some(40_000), "third.bin").await?;
    refused(&one, &of(0), 3).await?;
    Tus::new(&other).create(Some(90_000), "other.bin").await?;
    // What is finished counts no more.
    tus.finish_from(&first.path, &data, 0).await?;
    tus.create(Some(60_000), "fourth.bin").await?;
    server.client().fetch(first.link()?, &data).await?;
    Ok(())
}

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
