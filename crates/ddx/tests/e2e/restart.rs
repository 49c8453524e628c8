//! Stopping and starting: in mid-upload, and with rubbish left behind by a crash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Call, Client, Data, DiskFaults, MIB, Pace, Request, Rule, Trouble, Turn, Tus};

use crate::bad_disk::{catalog, over};
use crate::{ledger_at_zero, setup, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_mid_upload_keeps_what_came_and_ends_in_order() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let mut all = Vec::new();
    for seed in 0..10 {
        let data = Data::new(seed, 64 * MIB);
        let upload = tus.create(Some(data.len()), "s.bin").await?;
        let (tus, path) = (tus.clone(), upload.path.clone());
        let pace = Pace {
            step_bytes: 32 * 1024,
            pause: Duration::from_millis(20),
        };
        let task = tokio::spawn(async move {
            tus.patch_with(&path, &data, 0..data.len(), &[], Some(pace))
                .await
        });
        all.push((data, upload, task));
    }
    for (_, upload, _) in &all {
        let id = upload.file_id()?;
        until("bytes arrive", Duration::from_secs(10), || async {
            Ok(client
                .json(&format!("/api/v1/system/upload-progress/{id}"))
                .await?["received_bytes"]
                .as_u64()
                > Some(100_000))
        })
        .await?;
    }
    let exit = server.terminate(Duration::from_secs(60))?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    server.start_again()?;
    for (data, upload, task) in all {
        let _ = task.await?; // it was cut
        let offset = tus.offset(&upload.path).await?;
        ensure!(offset > 100_000, "what had arrived was lost: {offset}");
        tus.finish_from(&upload.path, &data, offset).await?;
        client.fetch(upload.link()?, &data).await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_stops_at_once() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().option("--shutdown-grace", "10m").start()?;
    let client = server.client();
    let idle = client.connect().await?; // a connection that only waits must not hold it up
    let mut kept = client.connect().await?;
    kept.round(&Request::new("GET", "/healthz"), &[])
        .await?
        .expect(200)?;
    // The grace is longer than the test waits: a stop that uses it up is not "at once".
    let exit = server.terminate(Duration::from_secs(60))?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    drop((idle, kept));
    Ok(())
}

/// Who starts a server, reads its address and stops it at once is no rarer than who lets it run.
#[test]
fn a_stop_the_moment_the_address_is_told_is_orderly() -> Result<()> {
    const STARTS: usize = 200;
    const AT_ONCE: usize = 4;
    let _turn = Turn::shared()?;
    let start_and_stop = || -> Result<()> {
        for round in 0..STARTS / AT_ONCE {
            let mut server = setup().start()?;
            let exit = server.terminate(Duration::from_secs(30))?;
            ensure!(exit.status.code() == Some(0), "start {round}: {exit:?}");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(start_and_stop)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap())
    })
}

/// A start that takes long answers meanwhile: that it lives, how far it is, and when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_takes_long_says_so_and_then_serves() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(1);
    let mut server = over(&faults).start()?;
    let client = server.client();
    let data = Data::new(1, 3 * MIB);
    let link = client.put_for_link("long.bin", &data).await?;
    let tus = Tus::new(&client);
    let upload = tus.create(Some(data.len()), "half.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    server.kill_9()?;
    let slow = Trouble::Slow(Duration::from_secs(8));
    faults.set([Rule::always(slow, &[Call::Sync], catalog(&server))]);
    let starting = tokio::task::spawn_blocking(move || server.start_again().map(|()| server));
    until(
        "it says that it starts",
        Duration::from_secs(60),
        || async {
            let answer = client.get("/healthz").await;
            Ok(answer.is_ok_and(|answer| answer.status == 200 && answer.text() == "starting\n"))
        },
    )
    .await?;
    for path in [Client::path_of(&link), "/readyz", "/"] {
        let answer = client.get(path).await?;
        answer.field("retry-after")?;
        let problem = answer.expect_problem(503)?;
        let kind = problem["type"].as_str().unwrap_or_default();
        ensure!(kind.ends_with("/starting"), "{path}: {problem}");
    }
    ensure!(tus.head(&upload.path).await?.status == 503);
    faults.heal();
    let server = starting.await??;
    client.get("/readyz").await?.expect(200)?;
    client.fetch(&link, &data).await?;
    ensure!(tus.offset(&upload.path).await? == MIB);
    drop(server);
    Ok(())
}

/// All segment files in the data folder.
fn segments(data_dir: &Path) -> BTreeSet<PathBuf> {
    let folders = std::fs::read_dir(data_dir.join("segments"))
        .into_iter()
        .flatten()
        .flatten();
    folders
        .flat_map(|folder| {
            std::fs::read_dir(folder.path())
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| entry.path())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_record_knows_is_removed_at_start() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let data = Data::new(1, 3 * MIB);
    let link = client.put_for_link("keep.bin", &data).await?;
    let tus = Tus::new(&client);
    let upload = tus.create(Some(data.len()), "half.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    let known = segments(server.data_dir());
    ensure!(known.len() >= 2, "where are the segments? {known:?}");
    server.kill_9()?;
    let folder = server.data_dir().join("segments/ab");
    std::fs::create_dir_all(&folder)?;
    let stray = folder.join("abcdefghijklmnopqrstuvwxyy");
    std::fs::write(&stray, vec![7; 100_000])?;
    server.start_again()?;
    until(
        "the stray segment goes",
        Duration::from_secs(15),
        || async { Ok(!stray.exists()) },
    )
    .await?;
    ensure!(
        segments(server.data_dir()) == known,
        "what is known stays: {known:?} became {:?}",
        segments(server.data_dir())
    );
    client.fetch(&link, &data).await?;
    let at = tus.offset(&upload.path).await?;
    tus.finish_from(&upload.path, &data, at).await?;
    client.fetch(upload.link()?, &data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_that_a_crash_cut_in_half_are_finished() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let mut files = Vec::new();
    for seed in 0..30 {
        let data = Data::new(seed, 500_000 + seed);
        let answer = client.put("d.bin", &data).await?.expect(201)?;
        files.push((
            data,
            answer.text().trim().to_owned(),
            Client::path_of(answer.field("x-url-delete")?).to_owned(),
        ));
    }
    ensure!(segments(server.data_dir()).len() == 30);
    let deletes: Vec<_> = files
        .iter()
        .take(20)
        .map(|(_, _, delete)| {
            let (client, request) = (client.clone(), Request::new("DELETE", delete));
            tokio::spawn(async move {
                client
                    .send(&request, &[])
                    .await
                    .is_ok_and(|answer| answer.status < 300)
            })
        })
        .collect();
    until(
        "one delete is answered",
        Duration::from_secs(10),
        || async { Ok(deletes.iter().any(tokio::task::JoinHandle::is_finished)) },
    )
    .await?;
    server.kill_9()?;
    let mut answered = Vec::new();
    for task in deletes {
        answered.push(task.await?);
    }
    server.start_again()?;
    let mut alive = 0;
    for (index, (data, link, _)) in files.iter().enumerate() {
        let gone = matches!(
            client
                .send(&Request::new("HEAD", Client::path_of(link)), &[])
                .await?
                .status,
            404 | 410
        );
        ensure!(
            gone || !answered.get(index).copied().unwrap_or(false),
            "a delete that was answered did not last"
        );
        ensure!(!gone || index < 20, "a file that nobody deleted is gone");
        if !gone {
            client
                .fetch(link, data)
                .await
                .context("a file is whole or gone, never half")?;
            alive += 1;
        }
    }
    let folder = server.data_dir().to_owned();
    until(
        "the bytes of deleted files go",
        Duration::from_secs(20),
        || async { Ok(segments(&folder).len() == alive) },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_never_share_one_data_folder() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let second = setup().data_dir(server.data_dir()).start();
    ensure!(
        second.is_err(),
        "a second server on the same folder started"
    );
    server.client().get("/healthz").await?.expect(200)?;
    Ok(())
}
