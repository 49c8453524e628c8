//! The same server over HTTP/2 and TLS, and with heads and bodies cut at every place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Request, Run, Server, Turn, Tus};

use crate::{file_of, ledger_at_zero, setup, until};

/// PUT by curl with these arguments, and the file fetched in the same way.
async fn there_and_back(
    server: &Server,
    base: &str,
    args: &[&str],
    file: &Path,
    data: &Data,
    version: &str,
) -> Result<()> {
    let sent = Run::curl()
        .args(args)
        .args(["-w", "\n%{http_version} %{http_code}"])
        .arg("-T")
        .arg(file)
        .arg(format!("{base}/"))
        .finish()
        .await?
        .success()?;
    ensure!(
        sent.stdout.ends_with(&format!("\n{version} 201")),
        "{sent:?}"
    );
    let link = sent.stdout.lines().next().context("no link")?.to_owned();
    ensure!(
        link.starts_with(base),
        "the link {link} does not follow the way it came: {base}"
    );
    let back = server.scratch().join("back.bin");
    Run::curl()
        .args(args)
        .arg("-o")
        .arg(&back)
        .arg(&link)
        .finish()
        .await?
        .success()?;
    ensure!(std::fs::read(&back)? == data.all(), "{args:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_without_tls_is_spoken_by_prior_knowledge() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let base = server.url("");
    for length in [1000, 20 * MIB + 3] {
        let data = Data::new(length, length);
        let file = file_of(&server, "h2.bin", &data)?;
        there_and_back(
            &server,
            &base,
            &["--http2-prior-knowledge"],
            &file,
            &data,
            "2",
        )
        .await?;
        let piped = Run::curl()
            .args(["--http2-prior-knowledge", "-T", "-"])
            .arg(server.url("/piped.bin"))
            .stdin(std::fs::File::open(&file)?)
            .finish()
            .await?
            .success()?;
        server.client().fetch(piped.stdout.trim(), &data).await?;
    }
    let tus = Tus::new(&server.client());
    let data = Data::new(2, 3 * MIB);
    let file = file_of(&server, "tus.bin", &data)?;
    let upload = tus.create(Some(data.len()), "tus.bin").await?;
    let patched = Run::curl()
        .args([
            "--http2-prior-knowledge",
            "-X",
            "PATCH",
            "-w",
            "%{http_code}",
            "-H",
            "Tus-Resumable: 1.0.0",
            "-H",
            "Upload-Offset: 0",
            "-H",
            "Content-Type: application/offset+octet-stream",
        ])
        .arg("--data-binary")
        .arg(format!("@{}", file.display()))
        .arg(server.url(&upload.path))
        .finish()
        .await?
        .success()?;
    ensure!(patched.stdout == "204", "{patched:?}");
    server.client().fetch(upload.link()?, &data).await?;
    ledger_at_zero(&server.client()).await
}

/// A certificate of this machine and its key, in files of this folder.
pub(crate) async fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    Run::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .finish()
        .await?
        .success()?;
    Ok((cert, key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_a_certificate_from_files() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let (cert, key) = certificate(folder.path()).await?;
    let server = setup()
        .option("--tls-cert", cert.display().to_string())
        .option("--tls-key", key.display().to_string())
        .start()?;
    let base = format!("https://localhost:{}", server.address().port());
    let ca = cert.display().to_string();
    for length in [1000, 20 * MIB + 3] {
        let data = Data::new(length, length);
        let file = file_of(&server, "tls.bin", &data)?;
        there_and_back(
            &server,
            &base,
            &["--cacert", &ca, "--http1.1"],
            &file,
            &data,
            "1.1",
        )
        .await
        .context("HTTP/1.1")?;
        there_and_back(
            &server,
            &base,
            &["--cacert", &ca, "--http2"],
            &file,
            &data,
            "2",
        )
        .await
        .context("HTTP/2 by ALPN")?;
    }
    let plain = server.client().get("/healthz").await;
    ensure!(
        plain.is_err() || plain.is_ok_and(|answer| answer.status >= 400),
        "plain HTTP on a port for TLS"
    );
    Run::curl()
        .args(["--cacert", &ca, "-f"])
        .arg(format!("{base}/healthz"))
        .finish()
        .await?
        .success()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_may_be_cut_into_reads_at_any_place() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    for length in [200_u64, 200_000] {
        let data = Data::new(length, length);
        let upload = tus.create(Some(length), "cut.bin").await?;
        let head = Tus::patch_head(&upload.path, 0, length).head_bytes(server.address());
        let mut request = head.clone();
        request.extend_from_slice(&data.all());
        // Every place in the last of the head and the first of the body, and some far into it.
        let places: Vec<usize> = (1..head.len() - 6)
            .step_by(37)
            .chain(head.len() - 6..head.len() + 6)
            .chain([head.len() + 100, request.len() - 1, request.len()])
            .collect();
        for place in places {
            let upload = tus.create(Some(length), "cut.bin").await?;
            let head = Tus::patch_head(&upload.path, 0, length).head_bytes(server.address());
            request[..head.len()].copy_from_slice(&head);
            let mut conn = client.connect().await?;
            conn.send(&request[..place]).await?;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await; // so that the two pieces are two reads
            conn.send(&request[place..]).await?;
            conn.response("PATCH")
                .await?
                .expect(204)
                .with_context(|| format!("cut at {place}, the head has {} bytes", head.len()))?;
            client
                .fetch(upload.link()?, &data)
                .await
                .with_context(|| format!("cut at {place}, the head has {} bytes", head.len()))?;
        }
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_in_one_piece_are_answered_one_by_one() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let mut conn = client.connect().await?;
    let mut bytes = Vec::new();
    // Short and long ones in turn: long bodies go past hyper, and a new hyper finds the next head
    // where the body ended.
    let files: Vec<Data> = (0..8)
        .map(|seed| Data::new(seed, if seed % 3 == 1 { 150_000 } else { 2000 } + seed))
        .collect();
    for data in &files {
        bytes.extend_from_slice(
            &Request::new("PUT", "/p.bin")
                .header("Content-Length", data.len())
                .head_bytes(server.address()),
        );
        bytes.extend_from_slice(&data.all());
    }
    conn.send(&bytes).await?;
    for data in &files {
        let answer = conn.response("PUT").await?.expect(201)?;
        client.fetch(answer.text().trim(), data).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_after_long_bodies_and_ends_after_one_that_was_not_read() -> Result<()>
{
    let _turn = Turn::shared()?;
    let server = setup().option("--file-bytes-max", "4MiB").start()?;
    let client = server.client();
    let mut conn = client.connect().await?;
    for seed in 0..6 {
        let data = Data::new(seed, 65_536 + seed * 300_000);
        let put = Request::new("PUT", "/long.bin")
            .header("Expect", "100-continue")
            .header("Content-Length", data.len());
        conn.send_head(&put).await?;
        ensure!(conn.next_interim().await?.status == 100);
        conn.send_data(&data, 0..data.len(), None).await?;
        let answer = conn.response("PUT").await?.expect(201)?;
        ensure!(!answer.closes(), "{answer:?}");
        client.fetch(answer.text().trim(), &data).await?;
        conn.round(&Request::new("GET", "/healthz"), &[])
            .await?
            .expect(200)?;
    }
    let form = Request::new("POST", "/")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .header("Content-Length", 200_000);
    conn.send_head(&form).await?;
    let mut body = b"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n".to_vec();
    body.resize(200_000 - 7, b'x');
    body.extend_from_slice(b"\r\n--b--");
    conn.send(&body).await?;
    let answer = conn.response("POST").await?.expect(201)?;
    ensure!(!answer.closes(), "{answer:?}");
    let refused = Request::new("PUT", "/too-long.bin").header("Content-Length", 5 * MIB);
    conn.send_head(&refused).await?;
    let answer = conn.response("PUT").await?.expect(413)?;
    ensure!(answer.closes(), "{answer:?}");
    ledger_at_zero(&client).await
}

/// A connection that rests is put aside. What comes on it then is answered, at once and as often as
/// it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_rested_is_answered_again_and_costs_nothing_meanwhile() -> Result<()> {
    /// Long enough for a connection to be put aside.
    const REST: Duration = Duration::from_millis(2_500);
    let _turn = Turn::shared()?;
    let server = setup().option("--header-timeout", "1s").start()?;
    let client = server.client();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(client.connect().await?.patience(Duration::from_secs(20)));
    }
    let data = Data::new(1, 300_000);
    let link = client.put_for_link("rested.bin", &data).await?;
    let asked = [Request::new("GET", "/healthz"), Request::new("GET", &link)];
    for round in 0..3 {
        for conn in &mut open {
            for request in &asked {
                let answer = conn.round(request, &[]).await;
                answer
                    .with_context(|| format!("round {round}"))?
                    .expect(200)?;
            }
        }
        let before = server.cpu_seconds()?;
        tokio::time::sleep(REST).await;
        let used = server.cpu_seconds()? - before;
        ensure!(
            used < REST.as_secs_f64() / 2.0,
            "four connections that rest use {used} s in {REST:?}"
        );
    }
    // One that closes after a rest is over; it does not spin.
    drop(open);
    let before = server.cpu_seconds()?;
    tokio::time::sleep(REST).await;
    let used = server.cpu_seconds()? - before;
    ensure!(
        used < REST.as_secs_f64() / 2.0,
        "connections that are closed use {used} s in {REST:?}"
    );
    ledger_at_zero(&client).await
}

/// A client that goes without a word is found out: the kernel asks it for a sign of life (timer 2
/// in /proc/net/tcp).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_are_asked_for_a_sign_of_life() -> Result<()> {
    const KEEP_ALIVE_TIMER: &str = "02:";
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let stream = tokio::net::TcpStream::connect(server.address()).await?;
    let here = format!(":{:04X}", server.address().port());
    let there = format!(":{:04X}", stream.local_addr()?.port());
    until("its timer runs", Duration::from_secs(30), || async {
        let listed = std::fs::read_to_string("/proc/net/tcp")?;
        let timer = listed.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields.get(1)?.ends_with(&here) && fields.get(2)?.ends_with(&there);
            is_ours.then(|| fields.get(5).copied()).flatten()
        });
        Ok(timer.is_some_and(|timer| timer.starts_with(KEEP_ALIVE_TIMER)))
    })
    .await
}
