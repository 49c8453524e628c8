//! Heads of requests: how long they may be, what is said of those that are not taken, and whose
//! memory they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Body, Client, Conn, Data, MIB, MemoryBox, Request, Run, Turn};

use crate::{ledger_at_zero, setup, until};

/// All that comes on a connection until the server closes it.
async fn all_answers(mut conn: Conn) -> Result<String> {
    conn.finish_sending().await.ok();
    let mut all = Vec::new();
    let mut until_close = Body::UntilClose;
    while let Some(piece) = conn.next(&mut until_close).await? {
        all.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(all)?)
}

/// Sends these bytes, and expects one answer: a document of this kind that closes the connection.
async fn refused(
    client: &Client,
    text: &str,
    status: u16,
    slug: &str,
) -> Result<serde_json::Value> {
    let start = &text[..text.len().min(60)];
    let mut conn = client.connect().await?;
    conn.send(text.as_bytes()).await.ok();
    let method = text.trim_start().split(' ').next().unwrap_or_default();
    let answer = conn.response(method).await.context(start.to_owned())?;
    ensure!(
        answer.closes(),
        "{start:?} keeps its connection: {answer:?}"
    );
    ensure!(answer.get("date").is_some(), "{start:?}: {answer:?}");
    let problem = answer.expect_problem(status).context(start.to_owned())?;
    let kind = format!("/errors/{slug}");
    ensure!(problem["type"] == kind, "{start:?}: {problem}");
    let rest = all_answers(conn).await?;
    ensure!(rest.is_empty(), "{start:?} has a second answer: {rest}");
    Ok(problem)
}

fn head(fields: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_not_taken_is_refused_with_one_document() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let long = "b".repeat(40 << 10);
    let problem = refused(
        &client,
        &head(&format!("A: {long}\r\n")),
        431,
        "headers-too-large",
    )
    .await?;
    ensure!(problem["limit"] == 32 << 10, "{problem}");
    // It is not waited for the rest of what is too long already.
    let endless = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nA: {long}");
    refused(&client, &endless, 431, "headers-too-large").await?;
    let many = head(&"A: b\r\n".repeat(100));
    let problem = refused(&client, &many, 431, "headers-too-large").await?;
    ensure!(problem["limit"] == 100, "{problem}");
    let uri = "a".repeat(10 << 10);
    let far = format!("GET /{uri} HTTP/1.1\r\nHost: a\r\n\r\n");
    let problem = refused(&client, &far, 414, "uri-too-long").await?;
    ensure!(problem["limit"] == 8 << 10, "{problem}");
    for text in [
        "GET\r\n\r\n",
        "GET / HTTP/9.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ] {
        refused(&client, text, 400, "head-invalid").await?;
    }
    let length = "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n";
    refused(&client, length, 400, "header-invalid").await?;
    let metrics = client.metrics().await?;
    let counted = |slug: &str| {
        let mut refusals = metrics.iter().filter(|(name, _)| name.contains(slug));
        refusals.any(|(_, count)| *count >= 1.0)
    };
    for slug in ["headers-too-large", "uri-too-long", "head-invalid"] {
        ensure!(counted(slug), "{slug} is not counted: {metrics:?}");
    }
    ledger_at_zero(&client).await
}

/// The answer to the request before goes out whole, and the refusal after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_is_refused_after_the_answers_before_it() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(1, 300_000);
    let link = client.put_for_link("before.bin", &data).await?;
    for bad in ["BAD\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"] {
        for target in ["/healthz", "/", Client::path_of(&link)] {
            let mut conn = client.connect().await?;
            let good = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            conn.send(format!("{good}{good}{bad}").as_bytes()).await?;
            for _ in 0..2 {
                let answer = conn.response("GET").await?.expect(200)?;
                ensure!(!answer.closes(), "{target}: {answer:?}");
            }
            let problem = conn.response("BAD").await?.expect_problem(400)?;
            ensure!(problem["type"] == "/errors/head-invalid", "{problem}");
            let rest = all_answers(conn).await?;
            ensure!(rest.is_empty(), "{target}: {rest}");
        }
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_heads_are_taken_and_their_memory_given_back() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let mut conn = client.connect().await?;
    conn.round(&Request::new("GET", "/healthz"), &[])
        .await?
        .expect(200)?;
    let cookie = "c".repeat(31 << 10);
    let many = "c".repeat(300);
    let mut with_many = Request::new("GET", "/healthz");
    for number in 0..95 {
        with_many = with_many.header(&format!("X-{number}"), &many);
    }
    let with_cookie = Request::new("GET", "/healthz").header("Cookie", &cookie);
    for round in 0..3 {
        for request in [&with_cookie, &with_many, &Request::new("GET", "/healthz")] {
            let answer = conn.round(request, &[]).await;
            let answer = answer
                .with_context(|| format!("round {round}"))?
                .expect(200)?;
            ensure!(!answer.closes(), "{answer:?}");
        }
        // Bodies of every length and in chunks, after a long head.
        for length in [10, 5000, 200_000] {
            let data = Data::new(round, length);
            let put = Request::new("PUT", "/long.bin").header("Cookie", &cookie);
            let answer = conn.round(&put, &data.all()).await?.expect(201)?;
            client.fetch(answer.text().trim(), &data).await?;
        }
        let chunked = Request::new("PUT", "/chunks.bin")
            .header("Cookie", &cookie)
            .header("Transfer-Encoding", "chunked");
        let answer = conn.round(&chunked, b"3\r\nabc\r\n0\r\n\r\n").await?;
        answer.expect(201)?;
    }
    // Several in one piece.
    let one = with_cookie.head_bytes(server.address());
    conn.send(&one.repeat(4)).await?;
    for _ in 0..4 {
        conn.response("GET").await?.expect(200)?;
    }
    // Two connections with a hyper each; a long head would add 32 KiB. The server notes the end of
    // a request after its client has the answer.
    until(
        "their memory is given back",
        Duration::from_secs(30),
        || async { Ok(client.status().await?.accounts()?["connections"] <= 2 * 36 * 1024) },
    )
    .await?;
    ledger_at_zero(&client).await
}

/// The same rules behind TLS. One answer each, in order, and then the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_over_tls_are_held_to_the_same() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let (cert, key) = crate::transport::certificate(folder.path()).await?;
    let server = setup()
        .option("--tls-cert", cert.display().to_string())
        .option("--tls-key", key.display().to_string())
        .start()?;
    let answers = async |text: &str| {
        let path = folder.path().join("request");
        std::fs::write(&path, text)?;
        let said = Run::new("openssl")
            .args(["s_client", "-quiet", "-connect"])
            .arg(server.address().to_string())
            .stdin(std::fs::File::open(&path)?)
            .finish()
            .await?;
        anyhow::Ok(said.stdout)
    };
    let good = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let put = "PUT /t.bin HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let chunks = "\r\n3\r\nabc\r\n0\r\n\r\n";
    let cookie = head(&format!("Cookie: {}\r\n", "c".repeat(31 << 10)));
    let too_long = head(&format!("Cookie: {}\r\n", "c".repeat(40 << 10)));
    let before = format!("{good}{put}{chunks}{cookie}{good}{cookie}");
    for (bad, status, slug) in [
        (
            format!("{put}Content-Length: 13\r\n{chunks}"),
            400,
            "framing-invalid",
        ),
        (
            format!(
                "PUT /t.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n{chunks}"
            ),
            400,
            "framing-invalid",
        ),
        ("BAD\r\n\r\n".to_owned(), 400, "head-invalid"),
        (too_long, 431, "headers-too-large"),
    ] {
        let told = answers(&format!("{before}{bad}{good}")).await?;
        let statuses: Vec<&str> = told
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, _)| told.get(at + 9..at + 12))
            .collect();
        let last = status.to_string();
        ensure!(
            statuses == ["200", "201", "200", "200", "200", &*last],
            "{statuses:?}: {told}"
        );
        ensure!(told.contains(&format!("/errors/{slug}")), "{slug}: {told}");
        let told = answers(&bad).await?;
        ensure!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_http_2_that_is_not_taken_is_refused_with_the_same_document() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let long = format!("A: {}", "b".repeat(40 << 10));
    let many: Vec<String> = (0..100).map(|number| format!("A{number}: b")).collect();
    let far = server.url(&format!("/{}", "a".repeat(10 << 10)));
    let health = server.url("/healthz");
    for (fields, url, status, slug, limit) in [
        (&[long][..], &health, "431", "headers-too-large", 32 << 10),
        (&many, &health, "431", "headers-too-large", 100),
        (&[], &far, "414", "uri-too-long", 8 << 10),
    ] {
        let mut curl = Run::curl().args(["--http2-prior-knowledge", "-w", "%{http_code}"]);
        for field in fields {
            curl = curl.args(["-H", field]);
        }
        let told = curl.arg(url).finish().await?.success()?;
        let (problem, code) = told.stdout.rsplit_once('\n').context("no document")?;
        let problem: serde_json::Value = serde_json::from_str(problem)?;
        ensure!(code == status, "{slug}: {told:?}");
        ensure!(problem["type"] == format!("/errors/{slug}"), "{problem}");
        ensure!(problem["limit"] == limit, "{problem}");
        ensure!(problem["request_id"].is_string(), "{problem}");
    }
    Ok(())
}

/// Each with most of a head, and no end of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_heads_without_end_take_no_more_than_there_is() -> Result<()> {
    const COUNT: usize = 1000;
    const EACH: usize = 30 << 10;
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(64 * MIB)?);
    let server = setup().in_box(&memory_box).start()?;
    server.be_killed_first()?;
    let client = server.client().patience(Duration::from_secs(20));
    client
        .put("warm.bin", &Data::new(0, MIB))
        .await?
        .expect(201)?;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}", "c".repeat(EACH));
    let mut open = Vec::new();
    for _ in 0..COUNT {
        let mut conn = client.connect().await?;
        conn.send(head.as_bytes()).await.ok();
        open.push(conn);
    }
    let mut most = 0;
    for seed in 0..3 {
        let began = Instant::now();
        let data = Data::new(seed, 2 * MIB);
        let link = client.put_for_link("beside.bin", &data).await?;
        let took = began.elapsed();
        client.fetch(&link, &data).await?;
        let status = client.status().await?;
        let held = status.accounts()?["connections"];
        let drift = status.figure("drift_bytes")?;
        println!("{held} bytes of connections, drift {drift}, an upload beside them {took:?}");
        ensure!(took < Duration::from_secs(5), "an upload takes {took:?}");
        // What such a connection holds is less than what each is charged, so the sum is below zero.
        ensure!(drift < 4.0 * MIB as f64, "drift of {drift} bytes");
        most = most.max(held);
    }
    ensure!(most > (COUNT * 8) as i64 * 1024, "{most} bytes are charged");
    let mut refused = 0;
    for mut conn in open {
        conn.send(b"\r\n\r\n").await.ok();
        let answer = conn.response("GET").await?;
        match answer.status {
            200 => {}
            503 => {
                ensure!(answer.get("retry-after").is_some(), "{answer:?}");
                let problem = answer.expect_problem(503)?;
                ensure!(problem["type"] == "/errors/no-memory", "{problem}");
                refused += 1;
            }
            _ => anyhow::bail!("{answer:?}"),
        }
    }
    println!("{refused} of {COUNT} were refused");
    until(
        "their memory is given back",
        Duration::from_secs(20),
        || async { Ok(client.status().await?.accounts()?["connections"] < 64 * 20 * 1024) },
    )
    .await?;
    ensure!(memory_box.usage()?.oom_kills == 0);
    ledger_at_zero(&client).await
}
