//! A disk that is bad while the server starts, stops, cleans up, or again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Call, Client, Data, DiskFaults, MIB, Request, Rule, Server, Trouble, Turn, Tus, from_env,
    scaled,
};

use crate::bad_disk::{catalog, over, segment_count, segments};
use crate::kill::{Chance, seed};
use crate::totals::Totals;
use crate::{ledger_at_zero, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_bad_disk_loses_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(1);
    let mut server = over(&faults).start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 4 * MIB);
    let link = client.put_for_link("whole.bin", &data).await?;
    let upload = tus.create(Some(data.len()), "half.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB + 5)
        .await?
        .expect(204)?;
    let (files, records, all) = (
        segments(&server),
        catalog(&server),
        server.data_dir().to_owned(),
    );
    let troubles: &[(Trouble, &[Call], _)] = &[
        (Trouble::Io, &[Call::Open], &files),
        (Trouble::Io, &[Call::Cut], &files),
        (Trouble::Io, &[Call::Sync], &files),
        (Trouble::NoDescriptors, &[Call::Open], &files),
        (Trouble::Io, &[Call::Read], &records),
        (Trouble::Io, &[Call::Write], &records),
        (Trouble::Io, &[Call::Sync], &records),
        (Trouble::Io, &[Call::Open], &records),
        (
            Trouble::Full,
            &[Call::Write, Call::Cut, Call::Allocate],
            &records,
        ),
        (Trouble::Full, Call::CHANGES, &all),
        (Trouble::Io, &[Call::Open], &all),
        (Trouble::Io, &[Call::Read], &all),
    ];
    for (trouble, calls, under) in troubles {
        let what = format!("{trouble:?} {calls:?} below {}", under.display());
        server.kill_9()?;
        faults.set([Rule::always(*trouble, calls, under)]);
        // Whether it starts or refuses, it decides, in words, and harms nothing.
        let refused = server.start_again().err().map(|error| format!("{error:#}"));
        println!(
            "{what}: {}",
            refused.as_deref().map_or("started", last_line)
        );
        if let Some(refused) = &refused {
            ensure!(
                refused.contains("ended before it listened") && !refused.contains("panicked"),
                "{what}: {refused}"
            );
            // A disk that can't answer has damaged nothing, and no copy is to be put in its place.
            ensure!(
                !refused.contains("backup") && !refused.contains("corrupt"),
                "{what}: {refused}"
            );
        } else {
            server.kill_9()?;
        }
        faults.heal();
        server.start_again().with_context(|| what.clone())?;
        ensure!(
            tus.offset(&upload.path).await.context(what.clone())? == MIB + 5,
            "{what}"
        );
        client.fetch(&link, &data).await.context(what)?;
    }
    tus.finish_from(&upload.path, &data, MIB + 5).await?;
    client.fetch(upload.link()?, &data).await?;
    ledger_at_zero(&client).await
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_disk_that_hangs() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(1);
    let mut server = over(&faults).option("--shutdown-grace", "1s").start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 8 * MIB);
    let upload = tus.create(Some(data.len()), "hangs.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    let hangs = Trouble::Slow(Duration::from_secs(60));
    faults.set([Rule::always(
        hangs,
        &[Call::Write, Call::Sync],
        segments(&server),
    )]);
    let sending = tokio::spawn({
        let (tus, path) = (tus.clone(), upload.path.clone());
        async move { tus.patch(&path, &data, MIB..data.len()).await }
    });
    until("the disk hangs", Duration::from_secs(10), || async {
        Ok(faults.struck() > 0)
    })
    .await?;
    let exit = server.terminate(Duration::from_secs(40))?;
    println!("{exit:?}");
    let _ = sending.await?; // its server is gone
    faults.heal();
    server.start_again()?;
    let at = tus.offset(&upload.path).await?;
    ensure!(at >= MIB, "{at}");
    tus.finish_from(&upload.path, &data, at).await?;
    client.fetch(upload.link()?, &data).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_segment_that_cannot_be_removed_keeps_no_other() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(1);
    let mut server = over(&faults).start()?;
    let client = server.client();
    let stuck = client
        .put("stuck.bin", &Data::new(1, MIB))
        .await?
        .expect(201)?;
    let path = only_segment(&server)?;
    faults.set([Rule::always(Trouble::Io, &[Call::Remove], &path)]);
    let mut all = vec![stuck];
    for seed in 0..5 {
        all.push(
            client
                .put("d.bin", &Data::new(seed, MIB))
                .await?
                .expect(201)?,
        );
    }
    for answer in &all {
        let path = Client::path_of(answer.field("x-url-delete")?);
        let status = client
            .send(&Request::new("DELETE", path), &[])
            .await?
            .status;
        ensure!(status < 300, "{status}");
        let link = Request::new("HEAD", Client::path_of(answer.text().trim()));
        let status = client.send(&link, &[]).await?.status;
        ensure!(matches!(status, 404 | 410), "a deleted file is still there");
    }
    until("all others go", Duration::from_secs(10), || async {
        Ok(segment_count(server.data_dir()) == 1)
    })
    .await?;
    server.kill_9()?;
    server
        .start_again()
        .context("nor does it keep the server from starting")?;
    faults.heal();
    until(
        "the last goes when it can",
        Duration::from_secs(10),
        || async { Ok(segment_count(server.data_dir()) == 0) },
    )
    .await
}

fn only_segment(server: &Server) -> Result<std::path::PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(segments(server))? {
        for file in std::fs::read_dir(folder?.path())? {
            found.push(file?.path());
        }
    }
    ensure!(found.len() == 1, "{found:?}");
    found.pop().context("no segment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_cannot_be_read_breaks_off_and_never_tells_a_wrong_byte() -> Result<()> {
    let _turn = Turn::shared()?;
    let faults = DiskFaults::new(3);
    let server = over(&faults).start()?;
    let client = server.client().patience(Duration::from_secs(20));
    let data = Data::new(1, 8 * MIB);
    let link = client.put_for_link("r.bin", &data).await?;
    for one_in in [1, 3] {
        for trouble in [Trouble::Io, Trouble::NoDescriptors] {
            let calls = &[Call::Read, Call::Open];
            faults.set([Rule::always(trouble, calls, segments(&server)).one_in(one_in)]);
            for _ in 0..10 {
                if let Err(error) = client.fetch(&link, &data).await {
                    let told = format!("{error:#}");
                    ensure!(!told.contains("differs"), "{told}");
                    ensure!(!told.contains("within"), "it hangs: {told}");
                }
            }
            faults.heal();
            client.fetch(&link, &data).await?;
        }
    }
    ledger_at_zero(&client).await
}

/// An upload that goes on whatever happens, and the highest offset that was answered.
struct Going {
    data: Data,
    path: String,
    link: String,
    answered: Arc<AtomicU64>,
}

/// Asks for the offset and goes on in pieces, until the end; errs only when a promise is broken.
async fn go_on(tus: Tus, going: Arc<Going>, seed: u64) -> Result<()> {
    let mut chance = Chance::new(seed);
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await; // a client's own retry delay
        let Ok(at) = tus.offset(&going.path).await else {
            continue;
        };
        let known = going.answered.fetch_max(at, Ordering::SeqCst);
        ensure!(at >= known, "offset {at} after {known} was answered");
        if at == going.data.len() {
            return Ok(());
        }
        let end = (at + 1 + chance.below(3 * MIB)).min(going.data.len());
        let Ok(answer) = tus.patch(&going.path, &going.data, at..end).await else {
            continue;
        };
        match answer.status {
            204 => {
                going
                    .answered
                    .fetch_max(answer.number("upload-offset")?, Ordering::SeqCst);
            }
            409 => {} // a cut request of ours was still kept: the next question tells
            503 | 507 => {}
            _ => anyhow::bail!("{answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_faults_at_random_and_kills_take_nothing_back() -> Result<()> {
    let _turn = Turn::alone()?;
    let seed = seed()?;
    let mut chance = Chance::new(seed);
    let totals = Totals::default();
    let faults = DiskFaults::new(seed);
    let mut server = over(&faults).start()?;
    for round in 0..from_env("DDX_KILL_ROUNDS", scaled(3, 60)) {
        let told = format!("DDX_SEED={seed}, round {round}");
        println!("{told}");
        totals.round();
        stormy_round(&mut server, &faults, &mut chance, &totals)
            .await
            .context(told)?;
    }
    ledger_at_zero(&server.client()).await?;
    totals.faults(faults.struck());
    totals.tell("R3 disk faults at random, and kills", seed)
}

async fn stormy_round(
    server: &mut Server,
    faults: &DiskFaults,
    chance: &mut Chance,
    totals: &Totals,
) -> Result<()> {
    let client = server.client().patience(Duration::from_secs(10));
    let tus = Tus::new(&client);
    let (mut all, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let data = Data::new(chance.below(u64::MAX), 1 + chance.below(12 * MIB));
        let upload = tus.create(Some(data.len()), "storm.bin").await?;
        let going = Arc::new(Going {
            data,
            link: upload.link()?.to_owned(),
            path: upload.path,
            answered: Arc::default(),
        });
        tasks.push(tokio::spawn(go_on(
            tus.clone(),
            Arc::clone(&going),
            chance.below(u64::MAX),
        )));
        all.push(going);
    }
    for _ in 0..4 {
        faults.set(weather(server, chance));
        tokio::time::sleep(Duration::from_millis(50 + chance.below(250))).await; // each weather lasts a while
        if chance.below(3) == 0 {
            server.kill_9()?;
            totals.faults(1);
            while server.start_again().is_err() {
                faults.heal(); // it may refuse to start in such weather, and starts when it is over
            }
        }
    }
    faults.heal();
    let mut puts = Vec::new();
    for seed in 0..3 {
        let data = Data::new(seed, 3 * MIB);
        puts.push((client.put_for_link("put.bin", &data).await?, data));
    }
    for (task, going) in tasks.into_iter().zip(&all) {
        tokio::time::timeout(Duration::from_secs(30), task)
            .await
            .with_context(|| format!("{} does not end", going.path))??
            .with_context(|| going.path.clone())?;
    }
    for going in all {
        let got = client.fetch(&going.link, &going.data).await?;
        totals.compare(going.answered.load(Ordering::SeqCst), got.bytes)?;
        totals.resumed();
    }
    for (link, data) in puts {
        client.fetch(&link, &data).await?;
    }
    Ok(())
}

/// A few troubles at once, each striking now and then.
fn weather(server: &Server, chance: &mut Chance) -> Vec<Rule> {
    const KINDS: [&[Call]; 5] = [
        Call::CHANGES,
        &[Call::Write],
        &[Call::Sync],
        &[Call::Open, Call::Read],
        &[Call::Allocate, Call::Cut, Call::Remove],
    ];
    let mut rules = Vec::new();
    for _ in 0..1 + chance.below(3) {
        let trouble = match chance.below(6) {
            0 | 1 => Trouble::Io,
            2 => Trouble::Full,
            3 => Trouble::NoDescriptors,
            4 => Trouble::Short,
            _ => Trouble::Slow(Duration::from_millis(chance.below(100))),
        };
        let under = match chance.below(3) {
            0 => server.data_dir().to_owned(),
            1 => segments(server),
            _ => catalog(server),
        };
        let calls = KINDS[usize::try_from(chance.below(5)).unwrap()];
        rules.push(Rule::always(trouble, calls, under).one_in(1 + chance.below(8)));
    }
    rules
}
