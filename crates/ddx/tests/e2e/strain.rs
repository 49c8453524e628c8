//! Clients that cost: slow ones, silent ones, many ones, and those that send what is refused.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Pace, Request, Run, Turn, Tus, from_env, full, scaled};
use tokio::sync::watch;

use crate::{file_of, ledger_at_zero, setup, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_slow_bodies_and_silence_are_ended_by_their_limits() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--header-timeout", "1s")
        .option("--idle-timeout", "2s")
        .option("--body-idle-timeout", "2s")
        .option("--body-pause-max", "2s")
        .start()?;
    let client = server.client();

    let client = client.patience(Duration::from_secs(60));
    let mut silent = client.connect().await?;
    let mut half_head = client.connect().await?;
    half_head
        .send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A")
        .await?;
    let mut kept = client.connect().await?;
    kept.round(&Request::new("GET", "/healthz"), &[])
        .await?
        .expect(200)?;
    // After a body whose end only the parser sees, a connection has its limits as before.
    let mut chunked = client.connect().await?;
    chunked
        .send(b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await?;
    chunked.response("PUT").await?.expect(201)?;
    let tus = Tus::new(&client);
    let data = Data::new(1, MIB);
    let upload = tus.create(Some(data.len()), "slow.bin").await?;
    let mut half_body = client.connect().await?;
    half_body
        .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    half_body.send_data(&data, 0..300_000, None).await?;

    let (a, b, c, d, e) = tokio::join!(
        silent.await_close(),
        half_head.await_close(),
        kept.await_close(),
        half_body.await_close(),
        chunked.await_close()
    );
    println!(
        "closed: silent after {a:?}, half a head after {b:?}, idle after {c:?}, half a body after {d:?}"
    );
    for (what, after) in [
        ("silent", a),
        ("half a head", b),
        ("idle", c),
        ("half a body", d),
        ("idle after chunks", e),
    ] {
        after.with_context(|| format!("{what} is never ended"))?;
    }
    ensure!(
        tus.offset(&upload.path).await? == 300_000,
        "bytes of a slow body are kept"
    );
    tus.finish_from(&upload.path, &data, 300_000).await?;

    // One that is slow but never silent is not ended, though it takes longer than silence may.
    let slow = Data::new(2, 40_000);
    let link = client
        .put_with(
            "steady.bin",
            &slow,
            &[],
            Some(Pace {
                step_bytes: 1000,
                pause: Duration::from_millis(80),
            }),
        )
        .await?
        .expect(201)?;
    client.fetch(link.text().trim(), &slow).await?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_refusal_can_be_read_and_is_no_reset() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--file-bytes-max", "1MiB").start()?;
    let client = server.client();
    for round in 0..20 {
        let data = Data::new(round, 24 * MIB);
        client
            .put("large.bin", &data)
            .await
            .with_context(|| format!("round {round}"))?
            .expect_problem(413)?;
    }
    let file = file_of(&server, "large.bin", &Data::new(1, 24 * MIB))?;
    for extra in [&["-H", "Expect:"][..], &[]] {
        let sent = Run::curl()
            .args(["-w", "\n%{http_code}"])
            .args(extra)
            .arg("-T")
            .arg(&file)
            .arg(server.url("/"))
            .finish()
            .await?;
        ensure!(
            sent.stdout.ends_with("413") && sent.stdout.contains("/errors/"),
            "curl {extra:?}: {sent:?}"
        );
    }
    let refused = Tus::new(&client)
        .post(&[("Upload-Length", &(24 * MIB).to_string())], &[])
        .await?;
    refused.expect_problem(413)?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_wrong_or_too_large_are_refused_and_the_next_request_works() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let huge = "x".repeat(40_000);
    let many: String = (0..300)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    let heads = [
        "\r\n\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{huge} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Big: {huge}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
            .to_owned(),
        "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
    ];
    for head in &heads {
        let shown = head.chars().take(60).collect::<String>();
        let mut conn = client.connect().await?.patience(Duration::from_secs(40));
        let _ = conn.send(head.as_bytes()).await;
        conn.finish_sending().await.ok();
        match conn.response("GET").await {
            Ok(answer) => ensure!(
                (400..=505).contains(&answer.status) && answer.status != 500,
                "{shown:?}: {answer:?}"
            ),
            Err(error) => ensure!(
                !format!("{error:#}").contains("no answer within"),
                "{shown:?}: {error:#}"
            ),
        }
        client.get("/healthz").await?.expect(200)?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_a_thousand_slow_clients_are_served() -> Result<()> {
    let _turn = Turn::alone()?;
    let clients = from_env("DDX_SLOW_CLIENTS", scaled(1000, 5000));
    let server = setup().start()?;
    let client = server.client();
    client
        .put("warm.bin", &Data::new(0, MIB))
        .await?
        .expect(201)?;
    let before = server.memory_bytes("RssAnon")?;
    let started = Instant::now();
    let (go_on, gate) = watch::channel(false);
    let tasks: Vec<_> = (0..clients)
        .map(|seed| tokio::spawn(slow_client(client.clone(), seed, gate.clone())))
        .collect();
    until(
        "all are in the middle of it",
        Duration::from_secs(120),
        || async { Ok(client.status().await?.active_uploads()? >= clients as f64) },
    )
    .await?;
    let busy = server.memory_bytes("RssAnon")?;
    let (cpu, asked) = (server.cpu_seconds()?, Instant::now());
    client.get("/healthz").await?.expect(200)?;
    let answered_after = asked.elapsed();
    go_on.send(true)?;
    for (seed, task) in (0..).zip(tasks) {
        let link = task.await?.with_context(|| format!("slow client {seed}"))?;
        if seed % 50 == 0 {
            client.fetch(&link, &Data::new(seed, SLOW_BYTES)).await?;
        }
    }
    let each = busy.saturating_sub(before) / clients;
    println!(
        "{clients} slow clients: {:?}, {each} bytes of anonymous memory each, {cpu:.2} s CPU by the middle, a small \
         question beside them {answered_after:?}",
        started.elapsed()
    );
    // What one costs is measured on a release build. A debug build on a busy machine is only to
    // show that none holds a buffer of its own.
    let each_max = if full() { 24 * 1024 } else { 128 * 1024 };
    ensure!(each < each_max, "a slow client costs {each} bytes");
    ledger_at_zero(&client).await
}

const SLOW_BYTES: u64 = 64 * 1024;

/// Sends half in small steps, waits until it may go on, and sends the rest; the link.
async fn slow_client(client: Client, seed: u64, mut gate: watch::Receiver<bool>) -> Result<String> {
    let data = Data::new(seed, SLOW_BYTES);
    let mut conn = client.connect().await?;
    let head = Request::new("PUT", "/slow.bin").header("Content-Length", SLOW_BYTES);
    conn.send_head(&head).await?;
    let pace = Some(Pace {
        step_bytes: 4096,
        pause: Duration::from_millis(300),
    });
    conn.send_data(&data, 0..SLOW_BYTES / 2, pace).await?;
    gate.wait_for(|open| *open).await?;
    conn.send_data(&data, SLOW_BYTES / 2..SLOW_BYTES, None)
        .await?;
    let answer = conn.response("PUT").await?.expect(201)?;
    Ok(answer.text().trim().to_owned())
}
