//! What a run has seen, and how it is told: one JSON object, the same keys for every work.
//!
//! Latencies go into histograms and not into averages: the one client in a thousand who waited is
//! what is looked for. Nothing is left out of the account: what neither ended well nor failed when
//! the time was over is a failure too.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::fault::Fault;

/// Links that are told; more would make the result unreadable.
const LINKS_TOLD_MAX: usize = 100;
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Durations, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Ok(Self(histogram.context("a histogram with these bounds")?))
    }

    fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.0.saturating_record(us.clamp(1, LATENCY_US_MAX));
    }

    fn told(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        json!({
            "count": self.0.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": ms(self.0.max()),
        })
    }
}

/// A file that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Its number, which decides its bytes.
    pub(crate) k: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// The path under which it can be fetched, if the server told one.
    pub(crate) path: Option<String>,
}

/// The account of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    ended: Instant,
    cpu_before: Duration,
    cpu_used: Option<Duration>,
    files: u64,
    bytes: u64,
    failures: BTreeMap<String, u64>,
    latency: Latencies,
    /// Further histograms, by their key in the result.
    more: BTreeMap<String, Latencies>,
    /// Further figures.
    figures: Map<String, Value>,
    stored: Vec<Stored>,
    verified: u64,
    wrong: u64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            started: now,
            ended: now,
            cpu_before: cpu_time(),
            cpu_used: None,
            files: 0,
            bytes: 0,
            failures: BTreeMap::new(),
            latency: Latencies::new()?,
            more: BTreeMap::new(),
            figures: Map::new(),
            stored: Vec::new(),
            verified: 0,
            wrong: 0,
        })
    }

    /// Starts the clock: from here on all counts.
    pub(crate) fn start(&mut self) -> Instant {
        self.started = Instant::now();
        self.ended = self.started;
        self.cpu_before = cpu_time();
        self.started
    }

    /// Stops the clock; checking what was stored is not measured.
    pub(crate) fn stop(&mut self) {
        self.cpu_used = Some(cpu_time().saturating_sub(self.cpu_before));
    }

    /// One more file or request ended well.
    pub(crate) fn done(&mut self, bytes: u64, took: Duration) {
        self.files += 1;
        self.bytes += bytes;
        self.latency.record(took);
        self.ended = Instant::now();
    }

    /// A file can be fetched.
    pub(crate) fn stored(&mut self, stored: Stored) {
        self.stored.push(stored);
    }

    /// All files that arrived so far.
    pub(crate) fn all_stored(&self) -> &[Stored] {
        &self.stored
    }

    /// One failed. The first of each reason is said at once.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.failures(&fault.reason, 1);
        self.ended = Instant::now();
        if self.failures.get(&fault.reason) == Some(&1) {
            eprintln!("ddx-load: {}: {}", fault.reason, fault.detail);
        }
    }

    fn failures(&mut self, reason: &str, count: u64) {
        *self.failures.entry(reason.to_owned()).or_default() += count;
    }

    /// What of `expected` neither ended well nor failed has failed for `reason`.
    pub(crate) fn settle(&mut self, expected: u64, reason: &str) {
        let settled = self.files + self.failures.values().sum::<u64>();
        if expected > settled {
            self.failures(reason, expected - settled);
            self.ended = Instant::now();
        }
    }

    /// Another duration, under its own key.
    pub(crate) fn note(&mut self, key: &str, took: Duration) -> Result<()> {
        let known = self.more.entry(key.to_owned());
        let histogram = match known {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Latencies::new()?),
        };
        histogram.record(took);
        Ok(())
    }

    /// Another figure, under its own key.
    pub(crate) fn figure(&mut self, key: &str, value: Value) {
        self.figures.insert(key.to_owned(), value);
    }

    /// A file came back, with the bytes that were sent or with others.
    pub(crate) fn verified(&mut self, is_same: bool) {
        self.verified += 1;
        self.wrong += u64::from(!is_same);
    }

    /// Whether nothing failed and no byte was wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.wrong == 0
    }

    /// The result.
    pub(crate) fn told(&self, work: &str, protocol: &str, url: impl Fn(&str) -> String) -> Value {
        let seconds = (self.ended - self.started).as_secs_f64();
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let mut stored: Vec<&Stored> = self.stored.iter().collect();
        stored.sort_unstable_by_key(|stored| stored.k);
        let links = stored.iter().filter_map(|stored| stored.path.as_deref());
        let links: Vec<String> = links.take(LINKS_TOLD_MAX).map(url).collect();
        let cpu = self
            .cpu_used
            .unwrap_or_else(|| cpu_time().saturating_sub(self.cpu_before));
        let mut told = json!({
            "work": work,
            "protocol": protocol,
            "files": self.files,
            "bytes": self.bytes,
            "seconds": seconds,
            "mb_per_s": per_second(self.bytes as f64 / 1e6),
            "files_per_s": per_second(self.files as f64),
            "failures": self.failures,
            "digests_wrong": self.wrong,
            "verified": self.verified,
            "latency_ms": self.latency.told(),
            "open_ms": null,
            "links": links,
            "load_cpu_s": cpu.as_secs_f64(),
            "load_peak_rss": peak_rss_bytes(),
        });
        if let Some(told) = told.as_object_mut() {
            told.extend(self.figures.clone());
            let more = self.more.iter();
            told.extend(more.map(|(key, histogram)| (key.clone(), histogram.told())));
        }
        told
    }
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most that was ever resident of this process, its pool included.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ended_is_a_failure() {
        let mut tally = Tally::new().unwrap();
        tally.done(10, Duration::from_millis(5));
        tally.failed(&Fault::new("status 503", "busy"));
        assert!(!tally.is_good());
        tally.settle(5, "not done in time");
        tally.settle(5, "not done in time");
        let told = tally.told("large", "put", str::to_owned);
        assert_eq!(
            told["failures"],
            json!({"status 503": 1, "not done in time": 3})
        );
        assert_eq!((&told["files"], &told["bytes"]), (&json!(1), &json!(10)));
        assert_eq!(told["open_ms"], Value::Null);
    }

    #[test]
    fn durations_are_told_in_milliseconds() {
        let mut tally = Tally::new().unwrap();
        for ms in 1..=1000 {
            tally.done(0, Duration::from_millis(ms));
        }
        tally.note("open_ms", Duration::from_millis(7)).unwrap();
        let told = tally.told("small", "put", str::to_owned);
        let near = |value: &Value, ms: f64| (value.as_f64().unwrap() - ms).abs() < ms / 500.0;
        assert!(near(&told["latency_ms"]["p50"], 500.0), "{told}");
        assert!(near(&told["latency_ms"]["p999"], 999.0), "{told}");
        assert!(near(&told["latency_ms"]["max"], 1000.0), "{told}");
        assert!(near(&told["open_ms"]["p50"], 7.0), "{told}");
        assert!(tally.is_good());
        tally.verified(true);
        assert!(tally.is_good());
        tally.verified(false);
        assert!(!tally.is_good(), "one wrong byte spoils the run");
    }

    #[test]
    fn a_hundred_links_are_told_at_most() {
        let mut tally = Tally::new().unwrap();
        for k in 0..150 {
            let path = Some(format!("/{k}"));
            tally.stored(Stored { k, bytes: 1, path });
        }
        let told = tally.told("small", "put", |path| format!("http://h{path}"));
        let links = told["links"].as_array().unwrap();
        assert_eq!((links.len(), &links[99]), (100, &json!("http://h/99")));
    }
}
