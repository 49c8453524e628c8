//! End to end: the real binary, driven over its sockets, in memory boxes, on its own disks, killed
//! and started again.
//!
//! One test binary, since each one more is a link of its own. Tests that fill the machine or
//! measure time carry `exclusive` in their name and take the machine alone; all others share it.
//! Long figures: `DDX_FULL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may end by a panic, and tells the figures that it saw"
)]

mod api_docs;
mod attack;
mod bad_catalog;
mod bad_disk;
mod bad_start;
mod boxes;
mod clients;
mod clock;
mod contract;
mod damage;
mod disk;
mod dropped;
mod environment;
mod expiry;
mod fetch;
mod forms;
mod groups;
mod heads;
mod http2;
mod http2_client;
mod joining;
mod kill;
mod limits;
mod load;
mod log;
mod machine;
mod matrix;
mod network;
mod one_time;
mod operators;
mod paths;
mod power;
mod proxies;
mod queue;
mod read_only;
mod request_ids;
mod restart;
mod resting;
mod secrets;
mod start_errors;
mod stopping;
mod storm;
mod strain;
mod strict;
mod totals;
mod transport;
mod trickle;
mod tus;
mod tus_create;
mod two_requests;
mod waits;
mod walk;
mod wrong_turns;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ddx_testkit::{Client, Request, Server, Setup};

/// A server with its defaults.
fn setup() -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_ddx"))
}

/// Asks again until `true`, for at most `within`; `what` says what was waited for.
async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<()> {
    let end = Instant::now() + within;
    loop {
        if ask().await? {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("not so within {within:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for a line of the server's log, which its own thread writes after the answer; the line.
async fn logged(server: &Server, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let log = server.log();
        // The last line may be half written.
        let lines = log
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        if let Some(line) = lines.rev().find(|line| wanted(line)) {
            return Ok(line.to_owned());
        }
        if Instant::now() > end {
            bail!("the log has no such line:\n{log}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for a figure until it has stayed the same for a second; the figure.
async fn at_standstill(what: &str, mut ask: impl FnMut() -> Result<u64>) -> Result<u64> {
    let (mut last, mut since) = (0, Instant::now());
    until(what, Duration::from_secs(120), || {
        let now = ask();
        if let Ok(now) = now.as_ref().copied()
            && now != last
        {
            (last, since) = (now, Instant::now());
        }
        let is_still = since.elapsed() >= Duration::from_secs(1);
        async move { now.map(|_| is_still) }
    })
    .await?;
    Ok(last)
}

/// A new share: its id, and the key that adds files.
async fn new_share(client: &Client) -> Result<(String, String)> {
    let share = client
        .send(&Request::new("POST", "/api/v1/shares"), &[])
        .await?
        .expect(201)?
        .json()?;
    let text = |name: &str| {
        share[name]
            .as_str()
            .map(str::to_owned)
            .context("no such field")
    };
    Ok((text("share_id")?, text("share_key")?))
}

/// Rows of the ledger that only work in progress may charge.
const WORK: [&str; 5] = ["answers", "buffers", "dirtywindows", "waiters", "downloads"];

/// Waits until nothing is charged for work in progress any more. An idle connection keeps its own
/// charge.
async fn ledger_at_zero(client: &Client) -> Result<()> {
    let mut last = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let status = client.status().await?;
        let accounts = status.accounts()?;
        anyhow::ensure!(
            WORK.iter().all(|name| accounts
                .keys()
                .any(|account| account.replace('_', "") == *name)),
            "accounts are missing: {accounts:?}"
        );
        last = accounts
            .into_iter()
            .filter(|(account, bytes)| {
                *bytes != 0 && WORK.contains(&account.replace('_', "").as_str())
            })
            .collect();
        if last.is_empty() && status.active_uploads()? == 0.0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the ledger does not come back to zero: {last:?}")
}

/// A file made of `data` in the server's scratch folder, for programs that want one.
fn file_of(server: &Server, name: &str, data: &ddx_testkit::Data) -> Result<std::path::PathBuf> {
    let path = server.scratch().join(name);
    std::fs::write(&path, data.all())?;
    Ok(path)
}
