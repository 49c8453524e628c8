//! Requests that two readers could take for different ones are refused, at every address alike.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Response, Turn, Tus};

use crate::{ledger_at_zero, setup};

/// Sends these bytes as they are, and reads one answer.
async fn raw(client: &Client, text: &str) -> Result<Response> {
    let mut conn = client.connect().await?;
    conn.send(text.as_bytes()).await?;
    let method = text.split(' ').next().unwrap_or_default();
    conn.response(method).await.with_context(|| text.to_owned())
}

/// A refusal of this kind, after which the connection is closed, as it says.
async fn refused(client: &Client, text: &str, status: u16, slug: &str) -> Result<()> {
    let mut conn = client.connect().await?;
    conn.send(text.as_bytes()).await?;
    let method = text.split(' ').next().unwrap_or_default();
    let answer = conn
        .response(method)
        .await
        .with_context(|| text.to_owned())?;
    ensure!(answer.closes(), "{text:?} keeps its connection: {answer:?}");
    let problem = answer.expect_problem(status).context(text.to_owned())?;
    ensure!(
        problem["type"] == format!("/errors/{slug}"),
        "{text:?}: {problem}"
    );
    conn.finish_sending().await.ok();
    conn.await_close().await.map(drop)
}

/// Files that the server has, by its own count.
async fn files(client: &Client) -> Result<f64> {
    let metrics = client.metrics().await?;
    let files = metrics.get("ddx_files").copied();
    files.context("ddx_files is missing")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_exactly_one_host_at_every_address() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--public-url", "http://files.example.org")
        .start()?;
    let client = server.client();
    let link = client.put_for_link("h.bin", &Data::new(1, 5000)).await?;
    let link = Client::path_of(&link).to_owned();
    let gets = [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/limits",
        "/errors/not-found",
        "/no/such/page",
        &link,
    ];
    let bad = [
        "",
        "Host:\r\n",
        "Host: a/b\r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
        "Host: a:99999\r\n",
        "Host: a,b\r\n",
        "Host: a\r\nHost: a\r\n",
    ];
    for path in gets {
        for hosts in bad {
            let text = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            refused(&client, &text, 400, "host-refused").await?;
        }
        for hosts in ["Host: a\r\n", "host: [::1]:8000\r\n"] {
            let answer = raw(&client, &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n")).await?;
            ensure!(answer.status != 400, "{path} {hosts:?}: {answer:?}");
        }
    }
    for head in [
        "PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "PUT /x HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 100000\r\n\r\nabc",
        "OPTIONS /files HTTP/1.1\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        "GET http://user@a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.0\r\nHost: a/b\r\n\r\n",
    ] {
        refused(&client, head, 400, "host-refused").await?;
    }
    // Before version 1.1 there was no such field.
    raw(&client, "GET /healthz HTTP/1.0\r\n\r\n")
        .await?
        .expect(200)?;
    ensure!(
        files(&client).await? == 1.0,
        "a refused request left a file"
    );
    let refusals = client.metrics().await?;
    ensure!(
        refusals
            .iter()
            .any(|(name, count)| name.contains("host-refused") && *count > 60.0),
        "refusals are not counted: {refusals:?}"
    );
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_another_coding_than_chunks_is_refused_and_nothing_is_stored() -> Result<()> {
    const BODY: &str = "\r\n3\r\nabc\r\n0\r\n\r\n";
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let cases = [
        (
            "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
            501,
            "transfer-coding",
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            501,
            "transfer-coding",
        ),
        (
            "Transfer-Encoding: x;q=\"a,b\", chunked\r\n".to_owned(),
            501,
            "transfer-coding",
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n".to_owned(),
            400,
            "framing-invalid",
        ),
        (format!("{chunked}{chunked}"), 400, "framing-invalid"),
        (
            format!("{chunked}Content-Length: 13\r\n"),
            400,
            "framing-invalid",
        ),
        (
            format!("Content-Length: 13\r\n{chunked}"),
            400,
            "framing-invalid",
        ),
        (
            format!("CONTENT-length: 3\r\n{chunked}"),
            400,
            "framing-invalid",
        ),
    ];
    for (fields, status, slug) in &cases {
        for target in [
            "PUT /t.bin",
            "POST /",
            "GET /healthz",
            "DELETE /delete/x",
            "PUT /d/x",
        ] {
            let text = format!("{target} HTTP/1.1\r\nHost: a\r\n{fields}{BODY}");
            refused(&client, &text, *status, slug).await?;
        }
    }
    for fields in [
        "Transfer-Encoding: CHUNKED\r\n",
        "Transfer-Encoding:  chunked \r\n",
    ] {
        let text = format!("PUT /t.bin HTTP/1.1\r\nHost: a\r\n{fields}{BODY}");
        let answer = raw(&client, &text).await?.expect(201)?;
        ensure!(!answer.closes(), "{answer:?}");
    }
    for fields in [
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
    ] {
        let text = format!("PUT /t.bin HTTP/1.1\r\nHost: a\r\n{fields}{BODY}");
        refused(&client, &text, 400, "framing-invalid").await?;
    }
    // After a body in chunks, too.
    let chunked_put = format!("PUT /t.bin HTTP/1.1\r\nHost: a\r\n{chunked}");
    let mut conn = client.connect().await?;
    conn.send(format!("{chunked_put}{BODY}").as_bytes()).await?;
    conn.response("PUT").await?.expect(201)?;
    let both = format!("{chunked_put}Content-Length: 13\r\n{BODY}");
    conn.send(both.as_bytes()).await?;
    let problem = conn.response("PUT").await?.expect_problem(400)?;
    ensure!(problem["type"] == "/errors/framing-invalid", "{problem}");
    ensure!(files(&client).await? == 3.0, "a refused body was stored");
    ledger_at_zero(&client).await
}

/// The lengths that a head names are found wherever it is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lengths_are_seen_in_a_head_that_comes_in_pieces() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let head = "PUT /t.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    for place in (20..head.len()).step_by(7) {
        let mut conn = client.connect().await?;
        conn.send(&head.as_bytes()[..place]).await?;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await; // so that they are two reads
        conn.send(&head.as_bytes()[place..]).await?;
        let answer = conn.response("PUT").await?.expect(400)?;
        ensure!(answer.closes(), "cut at {place}: {answer:?}");
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_its_connection_says_so() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--file-bytes-max", "1MiB").start()?;
    let client = server.client();
    // Ends that a client has to be told: the body, or the rest of it, is still to come.
    for head in [
        "PATCH /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
        "POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "POST /metrics HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nabc",
        "POST /api/v1/shares HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nabc",
    ] {
        let mut conn = client.connect().await?;
        conn.send(head.as_bytes()).await?;
        let method = head.split(' ').next().unwrap_or_default();
        let answer = conn.response(method).await.context(head)?;
        ensure!(answer.interim.is_empty(), "{head:?}: {answer:?}");
        ensure!(answer.closes(), "{head:?}: {answer:?}");
        conn.finish_sending().await.ok();
        conn.await_close().await.context(head)?;
    }
    // A short body that no handler wanted and that is here is no reason to close.
    let mut conn = client.connect().await?;
    for _ in 0..3 {
        for text in [
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1234567890",
            "POST /api/v1/shares HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
            "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT /p.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "PUT /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                3\r\nabc\r\n0\r\n\r\n",
        ] {
            conn.send(text.as_bytes()).await?;
            let method = text.split(' ').next().unwrap_or_default();
            let answer = conn.response(method).await.context(text)?;
            ensure!(!answer.closes(), "{text:?}: {answer:?}");
        }
    }
    let tus = Tus::new(&client);
    let data = Data::new(1, 2000);
    let upload = tus.create(Some(data.len()), "kept.bin").await?;
    let patch = Tus::patch_head(&upload.path, 0, data.len());
    conn.send_head(&patch).await?;
    conn.send_data(&data, 0..data.len(), None).await?;
    let answer = conn.response("PATCH").await?.expect(204)?;
    ensure!(!answer.closes(), "{answer:?}");
    ledger_at_zero(&client).await
}
