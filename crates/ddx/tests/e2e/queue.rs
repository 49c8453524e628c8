//! More uploads than fit: they wait, see their place, and none pays for another's greed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Turn, Tus};

use crate::{ledger_at_zero, setup};

fn user(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, number))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_more_than_fit_wait_see_their_place_and_finish() -> Result<()> {
    let _turn = Turn::boxed()?;
    let server = setup().option("--memory-ceiling", "128KiB").start()?;
    let client = server.client().patience(Duration::from_secs(120));
    let tus = Tus::new(&client);
    let mut all = Vec::new();
    for seed in 0..40 {
        let data = Data::new(seed, 12 * MIB);
        let upload = tus.create(Some(data.len()), "q.bin").await?;
        all.push((data, upload));
    }
    let last = &all[39].1;
    let mut events = client
        .events(&format!(
            "/api/v1/uploads/{}/events",
            last.path.trim_start_matches("/files/")
        ))
        .await?;
    let watching = tokio::spawn(async move {
        let mut seen_waiting = 0_u32;
        events
            .until("file", |file| {
                seen_waiting += u32::from(file["waiting"].is_object());
                file["state"] == "complete"
            })
            .await
            .map(|_| seen_waiting)
    });
    let tasks: Vec<_> = all
        .iter()
        .map(|(data, upload)| {
            let (tus, path, data) = (tus.clone(), upload.path.clone(), *data);
            tokio::spawn(async move { tus.finish_from(&path, &data, 0).await })
        })
        .collect();
    let mut places = Vec::new();
    let mut most_waiting = 0.0_f64;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        for (_, upload) in all.iter().rev().take(5) {
            let file = client
                .json(&format!(
                    "/api/v1/system/upload-progress/{}",
                    upload.file_id()?
                ))
                .await?;
            if let Some(ahead) = file["waiting"]["ahead"].as_u64() {
                ensure!(
                    file["waiting"]["waiting"].as_u64() > Some(ahead)
                        && file["waiting"]["estimate_ms"].is_u64(),
                    "{file}"
                );
                places.push(ahead);
            }
        }
        let status = client.status().await?;
        most_waiting = most_waiting.max(status.figure("waiting")?);
        ensure!(
            status.figure("leased_bytes")? <= 256.0 * 1024.0,
            "more was leased than the ceiling (and the floor) allow: {status:?}"
        );
    }
    for task in tasks {
        task.await??;
    }
    let by_events = tokio::time::timeout(Duration::from_secs(20), watching)
        .await
        .context("the last upload's stream")???;
    println!(
        "places seen: {} (largest {:?}), waiting at most {most_waiting}, events with a place: {by_events}",
        places.len(),
        places.iter().max()
    );
    ensure!(
        most_waiting >= 1.0 && !places.is_empty(),
        "nothing ever waited: the ceiling has no effect"
    );
    for (data, upload) in &all {
        client.fetch(upload.link()?, data).await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_one_user_with_100_uploads_does_not_hold_up_another() -> Result<()> {
    let _turn = Turn::boxed()?;
    let server = setup().option("--memory-ceiling", "128KiB").start()?;
    let many = Tus::new(
        &server
            .client()
            .from(user(2))
            .patience(Duration::from_secs(120)),
    );
    let one = Tus::new(
        &server
            .client()
            .from(user(3))
            .patience(Duration::from_secs(120)),
    );
    let bytes = 4 * MIB;
    let started = Instant::now();
    let tasks: Vec<_> = (0..100)
        .map(|seed| {
            let many = many.clone();
            tokio::spawn(async move {
                many.upload_whole("many.bin", &Data::new(seed, bytes))
                    .await
                    .map(|_| Instant::now())
            })
        })
        .collect();
    let data = Data::new(1000, bytes);
    crate::until("the queue is full", Duration::from_secs(10), || async {
        Ok(server.client().status().await?.figure("waiting")? >= 5.0)
    })
    .await?;
    let joined = Instant::now();
    let upload = one.upload_whole("one.bin", &data).await?;
    let took = joined.elapsed();
    let mut after = 0;
    let mut last = started;
    for task in tasks {
        let ended = task.await??;
        after += u32::from(ended > joined + took);
        last = last.max(ended);
    }
    println!(
        "the one took {took:?}, the hundred {:?}; {after} of them ended after it",
        last - started
    );
    ensure!(
        after >= 50,
        "only {after} of 100 ended after the one: it had to wait for the others"
    );
    server.client().fetch(upload.link()?, &data).await?;
    ledger_at_zero(&server.client()).await
}
