//! The kit tried on itself: a fault in it would make a broken server look whole, or the other way
//! round.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::Result;
use ddx_testkit::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server for one connection, which answers `answer` once it has read `after` bytes, and tells
/// how many came in all.
async fn once(
    answer: &'static [u8],
    after: usize,
) -> Result<(SocketAddr, tokio::task::JoinHandle<(usize, bool)>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut total, mut answered) = (0, false);
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut bytes).await {
                Ok(0) => return (total, true),
                Ok(read) => total += read,
                Err(_) => return (total, false),
            }
            if total >= after && !answered {
                answered = true;
                let _ = stream.write_all(answer).await;
            }
        }
    });
    Ok((address, task))
}

#[tokio::test]
async fn an_answer_in_chunks_after_interim_ones_is_read_whole() -> Result<()> {
    let (address, _task) = once(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 104 Upload\r\nUpload-Offset: 5\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n",
        1,
    )
    .await?;
    let answer = Client::new(address).get("/x").await?.expect(200)?;
    assert_eq!(answer.text(), "hello!");
    assert_eq!(answer.get("x-a"), Some("b"));
    assert_eq!(
        answer
            .interim
            .iter()
            .map(|head| head.status)
            .collect::<Vec<_>>(),
        [100, 104]
    );
    assert_eq!(answer.interim[1].number("upload-offset")?, 5);
    Ok(())
}

#[tokio::test]
async fn a_cut_content_is_an_error_and_so_is_a_wrong_byte() -> Result<()> {
    let data = Data::new(1, 10);
    let (address, task) = once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 1).await?;
    let error = Client::new(address)
        .patience(Duration::from_millis(300))
        .get("/x")
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("no answer within"),
        "{error:#}"
    );
    drop(task);
    let (address, _task) = once(
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
        1,
    )
    .await?;
    let error = Client::new(address).fetch("/x", &data).await.unwrap_err();
    assert!(format!("{error:#}").contains("byte 0 differs"), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn sending_stops_at_an_early_answer() -> Result<()> {
    let (address, task) = once(
        b"HTTP/1.1 507 Full\r\nContent-Length: 2\r\n\r\nno",
        1_000_000,
    )
    .await?;
    let data = Data::new(2, 4_000_000_000);
    let mut conn = Client::new(address).connect().await?;
    conn.send_head(&Request::new("PUT", "/x").header("Content-Length", data.len()))
        .await?;
    let sent = conn.send_data(&data, 0..data.len(), None).await?;
    assert!(!sent.whole && sent.bytes < 100_000_000, "{sent:?}");
    assert_eq!(conn.response("PUT").await?.expect(507)?.text(), "no");
    conn.reset()?;
    assert!(!task.await?.1, "a reset is seen as an error, not as an end");
    Ok(())
}

#[tokio::test]
async fn the_proxy_cuts_where_it_was_told() -> Result<()> {
    for (cut, orderly) in [(Cut::Close, true), (Cut::Reset, false)] {
        let (address, task) = once(b"", usize::MAX).await?;
        let proxy = FaultProxy::start(address, Fault::CutAfter(100_000, cut)).await?;
        let mut conn = Client::new(proxy.address()).connect().await?;
        let _ = conn.send(&vec![7; 200_000]).await;
        conn.await_close().await?;
        assert_eq!(task.await?, (100_000, orderly), "{cut:?}");
        assert_eq!(proxy.passed_bytes(), 100_000);
    }
    Ok(())
}

#[tokio::test]
async fn a_half_open_connection_is_closed_to_the_client_only() -> Result<()> {
    let (address, task) = once(b"", usize::MAX).await?;
    let proxy = FaultProxy::start(address, Fault::CutAfter(1000, Cut::HalfOpen)).await?;
    let mut conn = Client::new(proxy.address()).connect().await?;
    let _ = conn.send(&[7; 5000]).await;
    conn.await_close().await?;
    tokio::time::sleep(Duration::from_millis(100)).await; // nothing happens, and only time can show it
    assert!(!task.is_finished(), "the server must not be told");
    drop(proxy);
    assert_eq!(task.await?.0, 1000);
    Ok(())
}

#[tokio::test]
async fn a_trickle_takes_its_time_until_it_is_lifted() -> Result<()> {
    let (address, task) = once(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 10_000).await?;
    let proxy = FaultProxy::start(address, Fault::Trickle(10_000)).await?;
    let started = Instant::now();
    let data = Data::new(1, 10_000);
    Client::new(proxy.address())
        .put("x", &data)
        .await?
        .expect(200)?;
    assert!(
        started.elapsed() > Duration::from_millis(800),
        "{:?}",
        started.elapsed()
    );
    drop(proxy);
    assert!(task.await?.0 >= 10_000);
    Ok(())
}

/// A program that behaves as a server towards the kit: says where it listens, and ends with 0 on
/// SIGTERM.
fn stand_in(folder: &std::path::Path) -> Result<String> {
    let path = folder.join("stand-in");
    let script = r#"#!/bin/sh
trap 'exit 0' TERM
echo "args: $* env: $DDX_MARK inherited: $DDX_TEST_INHERITED" >&2
mkdir -p "$5"; echo started >> "$5/starts"
port=${3##*:}; [ "$port" = 0 ] && port=4711
echo "noise first"; echo "listening on http://127.0.0.1:$port"
while :; do sleep 0.02; done
"#;
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

#[test]
fn a_server_is_started_killed_and_started_again_on_the_same_data_and_port() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let memory_box = std::sync::Arc::new(MemoryBox::new(64 * MIB)?);
    let mut server = Setup::new(&stand_in(folder.path())?)
        .arg("--extra")
        .env("DDX_MARK", "m1")
        .in_box(&memory_box)
        .start()?;
    assert_eq!(server.url("/x"), "http://127.0.0.1:4711/x");
    assert!(
        memory_box.pids().contains(&server.pid()?),
        "the server runs in its box"
    );
    assert!(
        server.log().contains("--extra env: m1 inherited: \n"),
        "{}",
        server.log()
    );
    server.kill_9()?;
    assert!(!server.is_running());
    server.start_again()?;
    assert!(server.memory_bytes("VmRSS")? > 0);
    let exit = server.terminate(Duration::from_secs(30))?;
    assert_eq!(exit.status.code(), Some(0));
    assert_eq!(
        std::fs::read_to_string(server.data_dir().join("starts"))?
            .lines()
            .count(),
        2
    );
    assert_eq!(
        server.log().matches("127.0.0.1:4711").count(),
        1,
        "the second start asks for the port of the first"
    );
    assert_eq!(memory_box.usage()?.oom_kills, 0);
    Ok(())
}

#[test]
fn a_box_knows_every_limit_that_was_in_force_since_a_moment() -> Result<()> {
    let memory_box = MemoryBox::new(64 * MIB)?;
    let first = Instant::now();
    memory_box.set_limit(48 * MIB)?;
    memory_box.set_limit(32 * MIB + 1)?;
    let later = Instant::now();
    memory_box.set_limit(56 * MIB)?;
    let all = [64 * MIB, 48 * MIB, 32 * MIB, 56 * MIB];
    assert_eq!(memory_box.limits_since(first), all);
    assert_eq!(memory_box.limits_since(later), all[2..]);
    assert_eq!(memory_box.limits_since(Instant::now()), all[3..]);
    assert_eq!(memory_box.limit()?, all[3]);
    Ok(())
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = Setup::new("/bin/false").start().unwrap_err();
    assert!(
        format!("{error:#}").contains("ended before it listened"),
        "{error:#}"
    );
}
