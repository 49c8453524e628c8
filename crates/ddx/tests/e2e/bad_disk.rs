//! A disk that fails, is slow, or comes and goes: said clearly, nothing corrupt, and well again
//! without a restart.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Call, Data, DiskFaults, MIB, Response, Rule, Server, Setup, Trouble, Turn, Tus};

use crate::totals::Totals;
use crate::{ledger_at_zero, setup, until};

const SEED: u64 = 11;

/// Longer than the limits of the test that has it.
const SLOW_CALL: Duration = Duration::from_millis(1200);

/// A server over a disk that is well so far, with a short wait before it looks after leftovers.
pub(crate) fn over(faults: &DiskFaults) -> Setup {
    setup().disk(faults).option("--housekeeping-every", "1s")
}

pub(crate) fn segments(server: &Server) -> PathBuf {
    server.data_dir().join("segments")
}

pub(crate) fn catalog(server: &Server) -> PathBuf {
    server.data_dir().join("catalog.sqlite3")
}

pub(crate) fn segment_count(data_dir: &Path) -> usize {
    let folders = std::fs::read_dir(data_dir.join("segments"));
    let folders = folders.into_iter().flatten().flatten();
    folders
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok())
        .map(Iterator::count)
        .sum()
}

/// Lengths of the files below a folder, together.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}

/// Either it was done, or it is said in the right words that the disk is to blame.
fn done_or_told(answer: Response) -> Result<bool> {
    match answer.status {
        200..=299 => Ok(true),
        503 => {
            answer.field("retry-after")?;
            answer.expect_problem(503).map(|_| false)
        }
        _ => answer.expect_problem(507).map(|_| false),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_is_told_and_all_goes_on_when_it_is_well_again() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(SEED);
    let server = over(&faults).start()?;
    let kept = Data::new(1, 3 * MIB);
    let link = server.client().put_for_link("kept.bin", &kept).await?;
    let (files, records) = (segments(&server), catalog(&server));
    let troubles: &[(&str, Trouble, &[Call], &Path)] = &[
        ("writing fails", Trouble::Io, &[Call::Write], &files),
        ("syncing fails", Trouble::Io, &[Call::Sync], &files),
        (
            "writing meets a full disk",
            Trouble::Full,
            &[Call::Write],
            &files,
        ),
        (
            "allocating meets a full disk",
            Trouble::Full,
            &[Call::Allocate],
            &files,
        ),
        ("allocating fails", Trouble::Io, &[Call::Allocate], &files),
        (
            "nothing can be opened",
            Trouble::NoDescriptors,
            &[Call::Open],
            &files,
        ),
        ("opening fails", Trouble::Io, &[Call::Open], &files),
        (
            "making meets a full disk",
            Trouble::Full,
            &[Call::Open],
            &files,
        ),
        (
            "records can't be written",
            Trouble::Io,
            &[Call::Write],
            &records,
        ),
        (
            "records can't be synced",
            Trouble::Io,
            &[Call::Sync],
            &records,
        ),
        (
            "records meet a full disk",
            Trouble::Full,
            &[Call::Write, Call::Allocate],
            &records,
        ),
        ("all fails", Trouble::Io, Call::CHANGES, server.data_dir()),
        (
            "all is full",
            Trouble::Full,
            Call::CHANGES,
            server.data_dir(),
        ),
    ];
    let totals = Totals::default();
    for (what, trouble, calls, under) in troubles {
        let rule = Rule::always(*trouble, calls, under);
        totals.round();
        one_trouble(&server, &faults, rule, (&link, &kept), &totals)
            .await
            .with_context(|| format!("{what}\n{}", server.log()))?;
        server.client().fetch(&link, &kept).await?;
    }
    ledger_at_zero(&server.client()).await?;
    totals.faults(faults.struck());
    totals.tell("R3 a failing and a full disk", SEED)
}

/// Three ways of sending meet the trouble in the middle; what was answered holds, and all end whole
/// once it is over.
async fn one_trouble(
    server: &Server,
    faults: &DiskFaults,
    rule: Rule,
    kept: (&str, &Data),
    totals: &Totals,
) -> Result<()> {
    let client = server.client().patience(Duration::from_secs(20));
    let tus = Tus::new(&client);
    let before = segment_count(server.data_dir());
    let data = Data::new(2, 6 * MIB + 77);
    let upload = tus.create(Some(data.len()), "r.bin").await?;
    tus.patch(&upload.path, &data, 0..2 * MIB)
        .await?
        .expect(204)?;
    let struck = faults.struck();
    faults.set([rule.clone()]);

    let answer = tus.patch(&upload.path, &data, 2 * MIB..4 * MIB).await?;
    let answered = if done_or_told(answer)? {
        4 * MIB
    } else {
        2 * MIB
    };
    let whole = done_or_told(client.put("p.bin", &data).await?)?;
    let chunked = done_or_told(client.put_chunked("c.bin", &data, 100_000).await?)?;
    let small = done_or_told(client.put("s.bin", &Data::new(3, 500)).await?)?;
    let created = tus.post(&[("Upload-Length", "5000000")], &[]).await?;
    let created = done_or_told(created)?;
    ensure!(faults.struck() > struck, "nothing was struck");
    ensure!(
        !(whole && chunked && small && created && answered == 4 * MIB),
        "nobody noticed"
    );
    client.get("/healthz").await?.expect(200)?;
    if !rule.calls.contains(&Call::Open) {
        let (link, data) = kept;
        let read = client.fetch(link, data).await;
        read.context("a disk that can't be written to keeps nobody from reading")?;
    }

    faults.heal();
    let at = tus.offset(&upload.path).await?;
    ensure!(at <= 4 * MIB, "offset {at}, but only 4 MiB were sent");
    totals.compare(answered, at)?;
    tus.finish_from(&upload.path, &data, at).await?;
    totals.resumed();
    client.fetch(upload.link()?, &data).await?;
    let link = client.put_for_link("after.bin", &data).await?;
    client.fetch(&link, &data).await?;
    client
        .put("after.txt", &Data::new(3, 500))
        .await?
        .expect(201)?;
    // What could not even be removed again is an empty file, and goes at the next start.
    if !rule.calls.contains(&Call::Remove) {
        let left = before + 2 + usize::from(whole) + usize::from(chunked) + usize::from(created);
        until(
            "what was refused gives its space back",
            Duration::from_secs(10),
            || async { Ok(segment_count(server.data_dir()) <= left) },
        )
        .await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_slows_uploads_down_and_ends_none() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(SEED);
    let server = over(&faults)
        .option("--body-idle-timeout", "1s")
        .option("--body-pause-max", "1s")
        .option("--write-timeout", "1s")
        .option("--write-pause-max", "1s")
        .option("--idle-timeout", "1s")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let kept = Data::new(1, 150_000);
    let link = client.put_for_link("kept.bin", &kept).await?;
    let slow = Trouble::Slow(SLOW_CALL);
    let all = &[
        Call::Write,
        Call::Sync,
        Call::Allocate,
        Call::Read,
        Call::Open,
    ];
    faults.set([
        Rule::always(slow, all, segments(&server)),
        Rule::always(slow, &[Call::Sync], catalog(&server)),
    ]);
    let data = Data::new(2, MIB);
    let asked = async {
        let mut took = Vec::new();
        for _ in 0..11 {
            let started = Instant::now();
            client.get("/healthz").await?.expect(200)?;
            client.status().await?;
            took.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await; // asked now and then
        }
        took.sort();
        // Each would take as long as a call of the disk if it waited for one.
        ensure!(
            took[took.len() / 2] < SLOW_CALL / 2,
            "small questions took {took:?}"
        );
        Ok(())
    };
    let (by_tus, by_put, by_chunks, fetched, asked) = tokio::join!(
        tus.upload_whole("t.bin", &data),
        client.put("p.bin", &data),
        client.put_chunked("c.bin", &data, 100_000),
        client.fetch(&link, &kept),
        asked,
    );
    asked?;
    let by_tus = by_tus.context("tus on a slow disk")?;
    let by_put = by_put.context("PUT on a slow disk")?.expect(201)?;
    let by_chunks = by_chunks.context("chunks on a slow disk")?.expect(201)?;
    fetched.context("a download from a slow disk")?;
    ensure!(
        faults.struck() > 10,
        "only {} calls were slow",
        faults.struck()
    );
    faults.heal();
    for link in [
        by_tus.link()?,
        by_put.text().trim(),
        by_chunks.text().trim(),
    ] {
        client.fetch(link, &data).await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_writes_lose_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(SEED);
    let server = over(&faults).start()?;
    let client = server.client();
    faults.set([Rule::always(Trouble::Short, &[Call::Write], segments(&server)).one_in(2)]);
    for length in [70_000, MIB + 1, 9 * MIB + 4095] {
        let data = Data::new(length, length);
        let link = client.put_for_link("short.bin", &data).await?;
        client.fetch(&link, &data).await?;
        let upload = Tus::new(&client).upload_whole("short.bin", &data).await?;
        client.fetch(upload.link()?, &data).await?;
    }
    ensure!(faults.struck() > 10, "{}", faults.struck());
    ledger_at_zero(&client).await
}

/// A commit whose flush fails may lie in the log all the same, and comes to life with a crash.
/// Until another commit has taken its place, no byte that it speaks of may go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_failed_and_comes_back_with_a_crash_finds_its_bytes() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(SEED);
    let mut server = over(&faults).start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(5, 8 * MIB);
    let upload = tus.create(Some(data.len()), "doubt.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    let log = PathBuf::from(format!("{}-wal", catalog(&server).display()));
    faults.set([Rule::always(Trouble::Io, &[Call::Sync], &log)]);
    tus.patch(&upload.path, &data, MIB..2 * MIB)
        .await?
        .expect_problem(503)?;
    ensure!(tus.offset(&upload.path).await? == MIB);

    // The next request begins where the last answer said, and gets no further than its first bytes.
    let mut conn = client.connect().await?;
    conn.send_head(&Tus::patch_head(&upload.path, MIB, MIB))
        .await?;
    conn.send(&data.bytes(MIB..MIB + (64 << 10))).await?;
    let segments = segments(&server);
    let is_cut = until("it was begun", Duration::from_secs(20), || async {
        Ok(bytes_below(&segments)? < 2 * MIB)
    });
    tokio::select! {
        answer = conn.response("PATCH") => drop(answer?.expect_problem(503)?),
        is_cut = is_cut => is_cut?,
    }
    server.kill_9()?;
    faults.heal();
    server.start_again()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let at = tus.offset(&upload.path).await.context("after the crash")?;
    ensure!(at >= MIB, "{at}");
    tus.finish_from(&upload.path, &data, at).await?;
    client.fetch(upload.link()?, &data).await?;
    ledger_at_zero(&client).await
}
