//! What one client may take: not so much that others get nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use ddx_testkit::{Data, Request, Response, Tus};

use crate::support::{Client, TestApp, until};

/// Opens a stream of the system's events; the answer's status, and the stream as it goes on.
async fn events(client: &Client) -> Result<(u16, Body)> {
    let request = Request::new("GET", "/api/v1/system/events");
    let (head, body) = client.open(&request, Vec::new()).await?;
    Ok((head.status, body))
}

#[tokio::test]
async fn one_client_does_not_take_all_event_streams() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.sse_clients_max = 5;
        setup.http.sse_per_client_max = 3;
    })
    .await?;
    let one = server.client();
    let other = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    let mut open = Vec::new();
    for _ in 0..3 {
        let (status, stream) = events(&one).await?;
        ensure!(status == 200, "{status}");
        open.push(stream);
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
        let (status, stream) = events(&other).await?;
        ensure!(status == 200, "the other client is answered {status}");
        open.push(stream);
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

#[tokio::test]
async fn one_client_asks_only_so_often() -> Result<()> {
    // Ten at once, and then one in a second.
    let server = TestApp::with(|setup| {
        setup.http.requests_per_client_max = Some(1);
    })
    .await?;
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

#[tokio::test]
async fn one_client_makes_only_so_much_in_a_day() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.creations_per_client_max = Some(4);
    })
    .await?;
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

#[tokio::test]
async fn one_client_has_only_so_many_uploads_unfinished() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.unfinished_per_client_max = Some(3);
        setup.http.reserved_per_client_bytes_max = Some(100_000);
    })
    .await?;
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
