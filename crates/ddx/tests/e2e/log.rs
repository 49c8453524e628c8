//! A log that is not read is no reason to stop serving.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Turn};
use tempfile::TempDir;

/// More requests than lines fit a pipe (64 KiB) and what waits to be written.
const REQUESTS: usize = 6_000;

/// A server whose log goes into a pipe, which the caller has to read.
struct Talkative {
    child: Child,
    client: Client,
    _data: TempDir,
}

fn start() -> Result<Talkative> {
    let binary = std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into());
    let data = tempfile::tempdir()?;
    let mut child = Command::new(binary)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "debug",
            "--data-dir",
        ])
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let told = lines.find(|line| line.starts_with("listening on "));
    let told = told.context("it does not listen")?;
    let address = told.rsplit('/').next().context("no address")?;
    let address: SocketAddr = address.parse().with_context(|| told.clone())?;
    let client = Client::new(address).patience(Duration::from_secs(60));
    Ok(Talkative {
        child,
        client,
        _data: data,
    })
}

impl Talkative {
    /// It is used, and stops in order.
    async fn serves(mut self) -> Result<()> {
        let data = Data::new(1, 1_000_000);
        let link = self.client.put_for_link("a.bin", &data).await?;
        for _ in 0..REQUESTS {
            self.client.get("/api/v1/limits").await?.expect(200)?;
        }
        self.client.fetch(&link, &data).await?;
        self.client.get("/readyz").await?.expect(200)?;
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_up_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    start()?.serves().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_reader_is_gone_holds_up_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = start()?;
    drop(server.child.stderr.take());
    server.serves().await
}
