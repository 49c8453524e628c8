//! Every wait for a client has an end: on each protocol, at each place where a request can stop.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ddx_testkit::{Client, Data, MIB, Request, Server, Setup, Turn, Tus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http2_client::{DATA, HEADERS, Http2};
use crate::transport::certificate;
use crate::{ledger_at_zero, setup, until};

/// Far above the limits of the server here.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server is set up that waits for a second or two at most.
fn impatient() -> Setup {
    setup()
        .option("--header-timeout", "1s")
        .option("--idle-timeout", "2s")
        .option("--body-idle-timeout", "1s")
        .option("--body-pause-max", "1s")
        .option("--write-timeout", "1s")
        .option("--write-pause-max", "1s")
}

async fn connect(server: &Server) -> Result<TcpStream> {
    Ok(TcpStream::connect(server.address()).await?)
}

/// Reads until the server closes; what came.
async fn until_closed(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    match closed.context("the connection stays open")? {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(bytes),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_stops_is_ended_wherever_it_stands() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = impatient().start()?;
    let part = "--b\r\nContent-Disposition: form-data; name=\"a\"";
    let file = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
    let known = "Content-Length: 100000\r\n\r\n";
    let chunks = "Transfer-Encoding: chunked\r\n\r\n";
    let places = [
        ("no body", known.to_owned()),
        ("no body in chunks", chunks.to_owned()),
        ("a part's head", format!("{known}{part}")),
        ("a text field", format!("{known}{part}\r\n\r\nhalf")),
        ("a file", format!("{known}{file}half")),
        ("after a file", format!("{known}{file}whole\r\n--b\r\n")),
    ];
    for (place, rest) in places {
        let mut stream = connect(&server).await?;
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n";
        stream.write_all(format!("{head}{rest}").as_bytes()).await?;
        let answer = until_closed(&mut stream).await.context(place)?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("body-stalled"),
            "{place}: {answer}"
        );
    }
    ledger_at_zero(&server.client()).await
}

/// A form whose bytes come one by one is slow, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_form_is_waited_for() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--body-idle-timeout", "2s").start()?;
    let mut stream = connect(&server).await?;
    let field = format!(
        "--b\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\nx\r\n",
        "n".repeat(8)
    );
    let file = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nall of it\r\n--b--\r\n";
    let body = format!("{field}{file}");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let began = Instant::now();
    for piece in body.as_bytes().chunks(body.len() / 8) {
        stream.write_all(piece).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ensure!(began.elapsed() > Duration::from_secs(3));
    let answer = until_closed(&mut stream).await?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(
        answer.starts_with("HTTP/1.1 20") || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    ensure!(!answer.contains("body-stalled"), "{answer}");
    Ok(())
}

/// A pipe that pauses, as `(echo a; sleep 75; echo b) | curl -T -`: it holds nothing, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_body_may_pause_for_longer_than_others() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--body-idle-timeout", "1s")
        .option("--connections-max", "40")
        .start()?;
    let client = server.client();
    let data = Data::new(1, 200_000);
    let half = 100_000;
    let whole = Request::new("PUT", "/whole.bin").header("Content-Length", data.len());
    let chunked = Request::new("PUT", "/chunked.bin").header("Transfer-Encoding", "chunked");
    let mut known = client.connect().await?;
    known.send_head(&whole).await?;
    known.send(&data.bytes(0..half)).await?;
    let mut unknown = client.connect().await?;
    unknown.send_head(&chunked).await?;
    unknown.send(format!("{half:x}\r\n").as_bytes()).await?;
    unknown.send(&data.bytes(0..half)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await; // the pause, over the limit for others
    ensure!(client.status().await?.figure("leased_bytes")? == 0.0);
    known.send(&data.bytes(half..data.len())).await?;
    unknown.send(format!("\r\n{half:x}\r\n").as_bytes()).await?;
    unknown.send(&data.bytes(half..data.len())).await?;
    unknown.send(b"\r\n0\r\n\r\n").await?;
    for mut conn in [known, unknown] {
        let link = conn.response("PUT").await?.expect(201)?.text();
        client.fetch(link.trim(), &data).await?;
    }

    // One that others need the place of is ended; what can be resumed is not waited for at all.
    let mut paused = client.connect().await?;
    paused.send_head(&whole).await?;
    let tus = Tus::new(&client);
    let upload = tus.create(Some(10), "tus.bin").await?;
    let mut resumable = client.connect().await?;
    resumable
        .send_head(&Tus::patch_head(&upload.path, 0, 10))
        .await?;
    resumable.response("PATCH").await?.expect_problem(503)?;
    let ended = tokio::spawn(async move { paused.response("PUT").await });
    let mut others = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !ended.is_finished() {
        ensure!(Instant::now() < end, "it keeps its place");
        // They ask and have not finished asking, so they are not idle.
        let mut conn = client.connect().await?;
        conn.send(b"GET /healthz HTTP/1.1\r\n").await?;
        others.push(conn);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ended.await??.expect_problem(503)?;
    ensure!(others.len() >= 30, "{} others", others.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_2_connection_that_only_answers_pings_is_ended() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = impatient().start()?;
    Http2::open(&server, 65_535)
        .await?
        .until_closed()
        .await
        .context("nothing asked")?;

    let mut asked = Http2::open(&server, 65_535).await?;
    asked.ask(1, "GET", "/healthz", true).await?;
    let kinds = asked.until_closed().await.context("one thing asked")?;
    ensure!(kinds.contains(&DATA), "{kinds:?}");

    let mut open = Http2::open(&server, 65_535).await?;
    open.ask(1, "PUT", "/open.bin", false).await?;
    open.until_closed()
        .await
        .context("an upload without bytes")?;
    ledger_at_zero(&server.client()).await
}

/// TLS is spoken, HTTP/2 agreed on, and then nothing comes, or half of the first thing to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_connection_on_which_nothing_comes_is_ended() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let (cert, key) = certificate(folder.path()).await?;
    let server = impatient()
        .option("--tls-cert", cert.display().to_string())
        .option("--tls-key", key.display().to_string())
        .start()?;
    for (protocol, said) in [
        ("h2", ""),
        ("h2", "PRI * HT"),
        ("http/1.1", ""),
        ("http/1.1", "GET /"),
    ] {
        let mut client = tokio::process::Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", protocol, "-connect"])
            .arg(server.address().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start openssl")?;
        let mut input = client.stdin.take().context("no input")?;
        input.write_all(said.as_bytes()).await?;
        let ended = timeout(PATIENCE, client.wait()).await;
        ended.with_context(|| format!("{protocol}, {said:?}: the connection stays open"))??;
        drop(input);
    }
    Ok(())
}

/// An answer that its client has no window for is ended, and what it held is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_answers_that_are_not_taken_are_ended_stream_by_stream() -> Result<()> {
    const RST_STREAM: u8 = 3;
    let _turn = Turn::shared()?;
    let server = impatient().start()?;
    let client = server.client();
    let data = Data::new(1, 2 * MIB);
    let link = client.put_for_link("large.bin", &data).await?;
    let mut http2 = Http2::open(&server, 1).await?;
    for stream in [1, 3, 5] {
        http2
            .ask(stream, "GET", Client::path_of(&link), true)
            .await?;
    }
    let mut reset = Vec::new();
    let end = Instant::now() + PATIENCE;
    while reset.len() < 3 {
        ensure!(Instant::now() < end, "only {reset:?} were ended");
        match timeout(PATIENCE, http2.next())
            .await
            .context("nothing comes")??
        {
            Some(frame) if frame.kind == RST_STREAM => reset.push(frame.stream),
            Some(_) => {}
            None => bail!("the connection ended before its streams: {reset:?}"),
        }
    }
    // The connection itself goes on.
    http2.ask(7, "GET", "/healthz", true).await?;
    loop {
        let frame = http2.next().await?.context("the connection ended")?;
        if frame.stream == 7 && frame.kind == HEADERS {
            break;
        }
    }
    ledger_at_zero(&client).await
}

/// A file that arrives is begun to be sent at once, and a client that leaves meanwhile is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_of_what_arrives_begins_and_its_client_may_leave() -> Result<()> {
    const FOLLOWERS: usize = 20;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let upload = Tus::new(&client).create(Some(MIB), "arrives.bin").await?;
    let request = Request::new("GET", Client::path_of(upload.link()?));
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        let mut conn = client.connect().await?;
        conn.send_head(&request).await?;
        let head = conn
            .head()
            .await
            .context("before the first byte of the file")?;
        ensure!(head.status == 200, "{head:?}");
        followers.push(conn);
    }
    let open = || async {
        let metrics = client.metrics().await?;
        metrics.get("ddx_connections").copied().context("no count")
    };
    ensure!(open().await? >= FOLLOWERS as f64);
    drop(followers);
    until("they are gone", Duration::from_secs(20), || async {
        Ok(open().await? < 5.0)
    })
    .await
}
