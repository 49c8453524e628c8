//! The load generator and the floor, which all figures rest on: each kind of work runs small
//! against the real server, and what it tells is held against what the server says and what lies on
//! the disk.
//!
//! Both programs lie beside the server's binary once the whole workspace is built; where they do
//! not, that is a failure.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Finished, MIB, Run, Server, Turn};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::bad_disk::segments;
use crate::{ledger_at_zero, setup};

/// One of the programs of `bench/`.
fn program(name: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_ddx")).with_file_name(name);
    ensure!(
        path.is_file(),
        "{} is not there: run `cargo build -p ddx-load -p ddx-floor`, or test the whole workspace, which builds them",
        path.display()
    );
    Ok(path)
}

async fn load(url: &str, words: &str) -> Result<Finished> {
    let run = Run::new(program("ddx-load")?).args(["--to", url]);
    run.args(words.split(' ')).finish().await
}

/// A run that must end well, with these figures in its result.
async fn right(url: &str, words: &str, wanted: &[(&str, Value)]) -> Result<Value> {
    let finished = load(url, words).await?.success();
    let told = finished.and_then(|finished| finished.last_json());
    let told = told.with_context(|| words.to_owned())?;
    let always = [("failures", json!({})), ("digests_wrong", json!(0))];
    for (key, value) in always.iter().chain(wanted) {
        ensure!(
            told[*key] == *value,
            "{words}: {key} is not {value}: {told}"
        );
    }
    let latency = &told["latency_ms"];
    ensure!(
        latency["p50"].as_f64() <= latency["max"].as_f64() && latency["p50"].as_f64() > Some(0.0),
        "{words}: latencies that can't be: {told}"
    );
    ensure!(
        told["seconds"].as_f64() > Some(0.0) && told["load_cpu_s"].as_f64() > Some(0.0),
        "{words}: time that can't be: {told}"
    );
    ensure!(
        told["load_peak_rss"].as_u64() > Some(64 * MIB),
        "{words}: the pool alone is larger: {told}"
    );
    Ok(told)
}

fn links(told: &Value) -> Vec<String> {
    let links = told["links"].as_array().into_iter().flatten();
    links
        .filter_map(|link| link.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_kind_sent_every_way_are_the_same_when_they_come_back() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let url = server.url("");
    for protocol in ["put", "tus", "tus-with-upload", "post"] {
        let with = format!("--protocol {protocol} --verify all");
        let large = [
            ("files", json!(3)),
            ("verified", json!(3)),
            ("bytes", json!(15 * MIB + 33)),
        ];
        let bytes = 5 * MIB + 11;
        let told = right(
            &url,
            &format!("large --clients 3 --bytes {bytes} {with}"),
            &large,
        )
        .await?;
        ensure!(links(&told).len() == 3, "{told}");
        let slow = [("files", json!(12)), ("verified", json!(12))];
        let words = format!("slow --clients 12 --over 400ms --arrive 100ms --step 50ms {with}");
        let told = right(&url, &words, &slow).await?;
        for key in ["open_ms", "late_ms"] {
            ensure!(told[key]["count"] == 12, "{key}: {told}");
        }
        ensure!(
            told["seconds"].as_f64() >= Some(0.4),
            "it can't have trickled: {told}"
        );
        let small = [
            ("files", json!(60)),
            ("verified", json!(60)),
            ("bytes", json!(60 * 4096)),
        ];
        right(
            &url,
            &format!("small --files 60 --connections 8 {with}"),
            &small,
        )
        .await?;
        right(
            &url,
            &format!("small --files 60 --connections 8 --rate 600 {with}"),
            &small,
        )
        .await?;
    }
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_tus_can_do_is_told_in_its_own_figures() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let url = server.url("");
    let words = "large --clients 2 --bytes 5MiB --request-bytes 2MB --protocol tus --verify all";
    right(&url, words, &[("verified", json!(2))]).await?;
    let words = format!(
        "parts --parts 3 --bytes {} --protocol tus --verify all",
        7 * MIB + 1
    );
    let wanted = [
        ("files", json!(1)),
        ("verified", json!(1)),
        ("bytes", json!(7 * MIB + 1)),
    ];
    let told = right(&url, &words, &wanted).await?;
    ensure!(told["link_after_ms"].as_f64() > Some(0.0), "{told}");
    let words = "create --count 40 --connections 4 --protocol tus --verify all";
    right(
        &url,
        words,
        &[
            ("files", json!(40)),
            ("bytes", json!(0)),
            ("verified", json!(0)),
        ],
    )
    .await?;
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_at_once_are_each_told_apart() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let words = "mixed --for 2s --rate 40 --weights large=1,small=3,slow=1,create=1,get=2 --large-bytes 1MiB --slow-over 300ms --protocol tus --verify all";
    let told = right(&server.url(""), words, &[("files", json!(80))]).await?;
    let kinds = ["large_ms", "small_ms", "slow_ms", "create_ms", "get_ms"];
    let counts = kinds
        .iter()
        .map(|key| told[*key]["count"].as_u64().unwrap_or(0));
    ensure!(counts.sum::<u64>() == 80, "{told}");
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stall_are_told_with_how_they_ended() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--header-timeout", "1s")
        .option("--body-idle-timeout", "1s")
        .option("--body-pause-max", "1s")
        .start()?;
    let url = server.url("");
    for (place, protocol) in [("head", "put"), ("body", "put"), ("body", "tus")] {
        let words =
            format!("stall --connections 4 --for 30s --where {place} --protocol {protocol}");
        let told = right(
            &url,
            &words,
            &[("ended", json!(4)), ("still_open", json!(0))],
        )
        .await?;
        ensure!(told["ended_ms"]["count"] == 4, "{told}");
        let answers = told["answers"].as_object().into_iter().flatten();
        ensure!(
            answers.filter_map(|(_, count)| count.as_u64()).sum::<u64>() == 4,
            "{told}"
        );
    }
    let words = "stall --connections 4 --for 200ms --where idle";
    right(
        &url,
        words,
        &[("ended", json!(0)), ("still_open", json!(4))],
    )
    .await?;
    ledger_at_zero(&server.client()).await
}

/// All files under the folder for segments.
fn segment_files(server: &Server) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![segments(server)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => drop(found.insert(entry.path())),
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_that_changed_on_the_disk_is_told_as_wrong() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let url = server.url("");
    let told = right(
        &url,
        "large --clients 1 --bytes 1MiB --verify all",
        &[("verified", json!(1))],
    )
    .await?;
    let link = links(&told).pop().context("no link")?;
    let again = format!("get --path {link} --bytes 1MiB --file 0");
    right(
        &url,
        &again,
        &[("verified", json!(1)), ("bytes", json!(MIB))],
    )
    .await?;

    let files = segment_files(&server)?;
    ensure!(files.len() == 1, "one file is one segment: {files:?}");
    let path = files.first().context("no segment")?;
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 700_001)?;
    file.write_all_at(&[byte[0] ^ 0x10], 700_001)?;
    file.sync_all()?;

    let finished = load(&url, &again).await?;
    ensure!(
        finished.code == Some(1),
        "a wrong byte is a failed run: {finished:?}"
    );
    let told = finished.last_json()?;
    ensure!(
        told["digests_wrong"] == 1 && told["verified"] == 1,
        "{told}"
    );
    ensure!(
        told["failures"] == json!({}),
        "the download itself did not fail: {told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_server_are_failures_of_the_run() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--file-bytes-max", "1MiB").start()?;
    for protocol in ["put", "tus"] {
        let words = format!("large --clients 2 --bytes 9MiB --protocol {protocol}");
        let finished = load(&server.url(""), &words).await?;
        let told = finished.last_json()?;
        ensure!(finished.code == Some(1), "{finished:?}");
        ensure!(
            told["failures"] == json!({"status 413": 2}) && told["files"] == 0,
            "{told}"
        );
    }
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_keeps_what_the_load_sends() -> Result<()> {
    let _turn = Turn::shared()?;
    // Direct I/O is what it is about, so its files lie where the build does and not in a folder
    // that may be memory.
    let beside = Path::new(env!("CARGO_BIN_EXE_ddx"))
        .parent()
        .context("no folder")?;
    let dir = tempfile::Builder::new()
        .prefix("floor-")
        .tempdir_in(beside)?;
    for more in [None, Some("--clients-many")] {
        let mut floor = tokio::process::Command::new(program("ddx-floor")?)
            .args(["--listen", "127.0.0.1:0", "--dir"])
            .arg(dir.path())
            .args(more)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lines = floor.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(lines).lines();
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await??;
        let line = line.context("the floor ended before it listened")?;
        let url = line
            .strip_prefix("listening on ")
            .context("where does it listen?")?;
        let with = "--fetch location --verify all";
        let large = [("files", json!(3)), ("verified", json!(3))];
        right(
            url,
            &format!("large --clients 3 --bytes {} {with}", 13 * MIB + 77),
            &large,
        )
        .await?;
        right(
            url,
            &format!("slow --clients 3 --over 200ms --step 20ms --arrive 1ms {with}"),
            &large,
        )
        .await?;
        let small = [("files", json!(50)), ("verified", json!(50))];
        right(url, &format!("small --files 50 {with}"), &small).await?;
        floor.kill().await?;
    }
    Ok(())
}
