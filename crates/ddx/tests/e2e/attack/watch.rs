//! Looks at a server and its box all through a test, and ends with an error at the first thing that
//! must not be.
//!
//! What a test asserts at its end says nothing of the seconds before: a sum that was wrong for a
//! moment, a status that could not be had, a request that failed and was tried again. So each
//! look asks the status on a connection of its own, as an operator would, and asserts all that the
//! status promises; the kernel's counters are the second witness.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, MIB, MemoryBox, Server, Status};
use tokio::task::JoinHandle;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A status comes within this, whatever goes on.
const STATUS_WITHIN: Duration = Duration::from_secs(20);

/// Series that count uploads which were failed or turned away; none may ever rise.
const FAILURES: [&str; 6] = [
    r#"ddx_upload_requests_total{protocol="tus",outcome="failed"}"#,
    r#"ddx_upload_requests_total{protocol="plain",outcome="failed"}"#,
    r#"ddx_uploads_ended_total{protocol="tus",outcome="failed"}"#,
    r#"ddx_uploads_ended_total{protocol="plain",outcome="failed"}"#,
    r#"ddx_queue_refused_total{reason="full"}"#,
    r#"ddx_queue_refused_total{reason="closing"}"#,
];

/// What of the process's memory no account needs to explain.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drift {
    /// Less than the server's own alarm.
    BelowAlarm,
    /// At most so many bytes.
    AtMost(u64),
}

/// A watch that runs until it is ended.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Seen>>,
}

/// The most (or least) of each figure that was seen, sizes in bytes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    looks: u64,
    levels: BTreeMap<String, u64>,
    steps: BTreeMap<String, u64>,
    stalled_looks: u64,
    waiting: f64,
    leased: f64,
    ceiling: f64,
    overcommitted: f64,
    drift_least: f64,
    drift_most: f64,
    server_anonymous: u64,
    box_hard: u64,
    box_peak: u64,
    least_headroom: u64,
    status_slowest: Duration,
    waits: f64,
}

impl Watch {
    pub(super) fn over(server: &Arc<Server>, memory_box: &Arc<MemoryBox>, drift: Drift) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let looker = Looker {
            client: server.client().patience(STATUS_WITHIN),
            server: server.clone(),
            memory_box: memory_box.clone(),
            drift,
            seen: Seen {
                least_headroom: u64::MAX,
                ..Seen::default()
            },
            last: None,
        };
        let stopped = stop.clone();
        let task = tokio::spawn(looker.look_until(stopped));
        Self { stop, task }
    }

    /// Whether it has met something that must not be.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// What it has seen, or the first thing that must not be.
    pub(super) async fn end(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// What is compared with the next look.
struct Last {
    asked: Instant,
    epoch: f64,
}

struct Looker {
    client: Client,
    server: Arc<Server>,
    memory_box: Arc<MemoryBox>,
    drift: Drift,
    seen: Seen,
    last: Option<Last>,
}

impl Looker {
    async fn look_until(mut self, stop: Arc<AtomicBool>) -> Result<Seen> {
        while !stop.load(Ordering::Relaxed) {
            self.look().await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.look().await?;
        Ok(self.seen)
    }

    async fn look(&mut self) -> Result<()> {
        let asked = Instant::now();
        let status = self.client.status().await;
        let status =
            status.with_context(|| format!("no status; the box: {:?}", self.memory_box.usage()))?;
        self.seen.status_slowest = self.seen.status_slowest.max(asked.elapsed());
        let limit = self.memory_box.limit()?;
        self.kernel(limit)?;
        let context = || format!("{} looks, {}", self.seen.looks, status.json);
        adds_up(&status).with_context(context)?;
        let epoch = figure(&status, "epoch")?;
        let total = figure(&status, "total_bytes")?;
        if let Some(last) = &self.last {
            // The figure is not from before the question, so two questions rest on two samples.
            let apart = asked - last.asked >= LOOK_EVERY;
            ensure!(
                epoch > last.epoch || (!apart && epoch == last.epoch),
                "the epoch does not move on from {}: {}",
                last.epoch,
                context()
            );
            let limits = self.memory_box.limits_since(last.asked);
            ensure!(
                limits.iter().any(|limit| *limit as f64 == total),
                "the total is {total}, the limit {limits:?}: {}",
                context()
            );
        }
        self.last = Some(Last { asked, epoch });
        self.note(&status)?;
        let metrics = self.client.metrics().await;
        let metrics = metrics
            .with_context(|| format!("no metrics; the box: {:?}", self.memory_box.usage()))?;
        for name in FAILURES {
            let count = metrics.get(name).with_context(|| format!("no {name}"))?;
            ensure!(*count == 0.0, "{name} is {count}: {}", status.json);
        }
        for (name, count) in metrics {
            let is_refusal = name.starts_with("ddx_http_refusals_total");
            ensure!(
                !is_refusal || count == 0.0,
                "{name} is {count}: {}",
                status.json
            );
            if name == "ddx_queue_waits_total" {
                self.seen.waits = count;
            }
        }
        Ok(())
    }

    fn kernel(&mut self, limit_bytes: u64) -> Result<()> {
        let usage = self.memory_box.usage()?;
        ensure!(usage.oom_kills == 0, "the kernel killed: {usage:?}");
        let hard = self.memory_box.hard_bytes()?;
        let seen = &mut self.seen;
        seen.box_hard = seen.box_hard.max(hard);
        seen.box_peak = seen.box_peak.max(usage.peak_bytes);
        seen.least_headroom = seen.least_headroom.min(limit_bytes.saturating_sub(hard));
        let anonymous = self.server.memory_bytes("RssAnon")?;
        seen.server_anonymous = seen.server_anonymous.max(anonymous);
        Ok(())
    }

    fn note(&mut self, status: &Status) -> Result<()> {
        let ledger = &status.json["ledger"];
        let seen = &mut self.seen;
        seen.looks += 1;
        for (counts, name) in [
            (&mut seen.levels, "pressure_level"),
            (&mut seen.steps, "pressure_step"),
        ] {
            let word = ledger[name].as_str().context(name)?;
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        seen.stalled_looks += u64::from(ledger["stall"]["stalled"] == true);
        seen.waiting = seen.waiting.max(figure(status, "waiting")?);
        seen.overcommitted = seen
            .overcommitted
            .max(figure(status, "overcommitted_bytes")?);
        let drift = figure(status, "drift_bytes")?;
        let is_bounded = match self.drift {
            Drift::BelowAlarm => ledger["drift_alarm"] == false,
            Drift::AtMost(bytes) => drift <= bytes as f64,
        };
        ensure!(is_bounded, "a drift of {drift}: {}", status.json);
        seen.drift_least = seen.drift_least.min(drift);
        seen.drift_most = seen.drift_most.max(drift);
        // A limit that was lowered lowers the ceiling at once, and what is leased within moments.
        seen.ceiling = seen.ceiling.max(figure(status, "ceiling_bytes")?);
        let leased = figure(status, "leased_bytes")?;
        seen.leased = seen.leased.max(leased);
        let most = seen.ceiling + figure(status, "floor_bytes")?;
        ensure!(leased <= most, "leased beyond {most}: {}", status.json);
        Ok(())
    }
}

/// A number of the ledger's snapshot.
fn figure(status: &Status, name: &str) -> Result<f64> {
    status.json["ledger"][name]
        .as_f64()
        .with_context(|| format!("no number {name} in the ledger of {}", status.json))
}

/// What one status promises about itself.
fn adds_up(status: &Status) -> Result<()> {
    let ledger = &status.json["ledger"];
    let accounts = status.accounts()?;
    ensure!(accounts.len() == 14, "accounts: {accounts:?}");
    ensure!(
        accounts.values().all(|bytes| *bytes >= 0),
        "below zero: {accounts:?}"
    );
    let sum: i64 = accounts.values().sum();
    let promised = figure(status, "total_bytes")? + figure(status, "overcommitted_bytes")?;
    ensure!(sum as f64 == promised, "accounts are {sum}, not {promised}");
    ensure!(
        ledger["read_error"].is_null(),
        "the machine could not be read"
    );
    let leased = figure(status, "leased_bytes")?;
    let buffers = accounts["buffers"] as f64;
    let most = buffers + accounts["downloads"] as f64;
    ensure!(
        (buffers..=most).contains(&leased),
        "leased {leased}, in accounts {buffers} to {most}"
    );
    if figure(status, "overcommitted_bytes")? > 0.0 {
        let free = figure(status, "free_to_lease_bytes")?;
        ensure!(free == 0.0, "overcommitted, and {free} bytes more offered");
    }
    Ok(())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: f64| bytes / MIB as f64;
        write!(
            f,
            "{} looks: levels {:?}, steps {:?}, stalled in {}; leased at most {:.1} of {:.1} MiB, waiting at most {} \
             ({} waits), overcommitted at most {:.1} MiB, drift {:.1} to {:.1} MiB, the server's anonymous memory at \
             most {:.1} MiB; box: hard at most {:.1} MiB, peak {:.1}, least headroom {:.1}; slowest status {:?}",
            self.looks,
            self.levels,
            self.steps,
            self.stalled_looks,
            mib(self.leased),
            mib(self.ceiling),
            self.waiting,
            self.waits,
            mib(self.overcommitted),
            mib(self.drift_least),
            mib(self.drift_most),
            mib(self.server_anonymous as f64),
            mib(self.box_hard as f64),
            mib(self.box_peak as f64),
            mib(self.least_headroom as f64),
            self.status_slowest,
        )
    }
}
