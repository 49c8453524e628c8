//! Bad networks: an upload goes on within one retry, nothing stays locked, nothing leaks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Cut, Data, Fault, FaultProxy, MIB, Pace, Request, Turn, Tus};

use crate::kill::Chance;
use crate::totals::Totals;
use crate::{ledger_at_zero, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_survives_every_kind_of_cut() -> Result<()> {
    let _turn = Turn::shared()?;
    // Who waits for the dead connection waits for an hour.
    let server = setup().option("--body-idle-timeout", "1h").start()?;
    let direct = Tus::new(&server.client());
    let (mut chance, totals) = (Chance::new(7), Totals::default());
    for cut in [Cut::Close, Cut::Reset, Cut::HalfOpen] {
        for _ in 0..6 {
            let data = Data::new(chance.below(1000), 4 * MIB + chance.below(MIB));
            let upload = direct.create(Some(data.len()), "n.bin").await?;
            let at = 300 + chance.below(data.len());
            let proxy = FaultProxy::start(server.address(), Fault::StallAfter(at)).await?;
            let through = Tus::new(&Client::new(proxy.address()).patience(Duration::from_secs(30)));
            // A request that has not begun when its connection ends has nothing to keep.
            let arrived = at.min(data.len()).saturating_sub(64 * 1024 + 1000);
            let progress = format!("/api/v1/system/upload-progress/{}", upload.file_id()?);
            let cut_it = async {
                let begun = crate::until("bytes arrive", Duration::from_secs(30), || async {
                    let file = direct.client().json(&progress).await?;
                    Ok(file["received_bytes"].as_u64() >= Some(arrived))
                });
                begun.await?;
                proxy.end_all(cut);
                anyhow::Ok(())
            };
            let sending = through.patch(&upload.path, &data, 0..data.len());
            let (broken, begun) = tokio::join!(sending, cut_it);
            begun?;
            ensure!(
                broken.is_err() || at >= data.len(),
                "the proxy did not cut at {at}: {broken:?}"
            );
            // The client comes back over a network that works. One HEAD, one PATCH, no waiting for
            // the dead one.
            proxy.set(Fault::None);
            let offset = through.offset(&upload.path).await?;
            ensure!(
                offset >= arrived,
                "{cut:?} at {at}: only {offset} were kept"
            );
            if offset < data.len() {
                through
                    .finish_from(&upload.path, &data, offset)
                    .await
                    .with_context(|| format!("{cut:?} at {at}, resumed at {offset}"))?;
            }
            server.client().fetch(upload.link()?, &data).await?;
            totals.round();
            totals.faults(1);
            totals.resumed();
            totals.compare(offset, data.len())?;
        }
    }
    ledger_at_zero(&server.client()).await?;
    totals.tell("R4 every kind of cut", 7)
}

/// The server finds both at once, as a busy one does: bytes that are not read yet, and the request
/// that takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_arrived_unread_is_kept_when_a_newer_request_takes_over() -> Result<()> {
    const READ: u64 = 64 * 1024;
    const UNREAD: u64 = 256 * 1024;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    for round in 0..20 {
        let data = Data::new(round, 4 * MIB);
        let upload = tus.create(Some(data.len()), "n.bin").await?;
        let mut earlier = client.connect().await?;
        earlier
            .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
            .await?;
        earlier.send_data(&data, 0..READ, None).await?;
        let progress = format!("/api/v1/system/upload-progress/{}", upload.file_id()?);
        crate::until("it is read", Duration::from_secs(30), || async {
            Ok(client.json(&progress).await?["received_bytes"].as_u64() >= Some(READ))
        })
        .await?;
        let mut newer = client.connect().await?;
        server.pause()?;
        earlier.send_data(&data, READ..READ + UNREAD, None).await?;
        let head = Tus::request("HEAD", &upload.path);
        newer.send_head(&head).await?;
        server.resume()?;
        let offset = newer.response("HEAD").await?.number("upload-offset")?;
        ensure!(
            offset == READ + UNREAD,
            "round {round}: of {} bytes that arrived {offset} were kept",
            READ + UNREAD
        );
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_end_whole_though_the_network_breaks_again_and_again() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let totals = Totals::default();
    let proxy = FaultProxy::start(server.address(), Fault::None).await?;
    let through = Tus::new(&Client::new(proxy.address()).patience(Duration::from_secs(3)));
    let mut all = Vec::new();
    for seed in 0..8 {
        let data = Data::new(seed, 12 * MIB);
        let upload = through.create(Some(data.len()), "again.bin").await?;
        let (through, path) = (through.clone(), upload.path.clone());
        totals.round();
        all.push((
            data,
            upload,
            tokio::spawn(
                async move { through.persist(&path, &data, Duration::from_secs(60)).await },
            ),
        ));
    }
    let mut chance = Chance::new(3);
    let faults = [
        Fault::CutAfter(2 * MIB, Cut::Reset),
        Fault::CutAfter(3 * MIB, Cut::HalfOpen),
        Fault::CutAfter(MIB, Cut::Close),
        Fault::Refuse,
        Fault::Trickle(2 * MIB),
    ];
    for fault in faults {
        proxy.set(fault);
        totals.faults(2);
        proxy.end_all([Cut::Close, Cut::Reset, Cut::HalfOpen][chance.below(3) as usize]);
        tokio::time::sleep(Duration::from_millis(400)).await; // each weather lasts a while
    }
    proxy.set(Fault::None);
    proxy.end_all(Cut::HalfOpen);
    for (data, upload, task) in all {
        for _ in 0..task.await?? {
            totals.resumed();
        }
        let got = server.client().fetch(upload.link()?, &data).await?;
        totals.compare(data.len(), got.bytes)?;
    }
    drop(proxy);
    ledger_at_zero(&server.client()).await?;
    totals.tell("R4 a network that breaks again and again", 3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_stalls_holds_nothing_for_long_and_can_be_continued() -> Result<()> {
    let _turn = Turn::shared()?;
    // Who waits for the stalled ones waits for an hour.
    let server = setup().option("--write-timeout", "1h").start()?;
    let client = server.client();
    let data = Data::new(1, 32 * MIB);
    let link = client.put_for_link("stall.bin", &data).await?;
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut conn = client.connect().await?;
        conn.send_head(&ddx_testkit::Request::new("GET", Client::path_of(&link)))
            .await?;
        conn.head()
            .await?
            .status
            .eq(&200)
            .then_some(())
            .context("GET")?;
        stalled.push(conn); // and never reads on
    }
    client
        .fetch(&link, &data)
        .await
        .context("readers that stall must not hold up another")?;
    client
        .put("other.bin", &Data::new(2, 8 * MIB))
        .await?
        .expect(201)?;
    drop(stalled);
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_given_up() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--write-timeout", "1s")
        .option("--write-pause-max", "1s")
        .start()?;
    let client = server.client();
    let link = client
        .put_for_link("stall.bin", &Data::new(1, 32 * MIB))
        .await?;
    let mut stalled = client.connect().await?;
    stalled
        .send_head(&ddx_testkit::Request::new("GET", Client::path_of(&link)))
        .await?;
    ensure!(stalled.head().await?.status == 200);
    // Its connection stays open on its side, and still nothing is held for it.
    ledger_at_zero(&client).await?;
    drop(stalled);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_upload_that_breaks_off_leaves_nothing_behind() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--upload-expires", "2s").start()?;
    let client = server.client();
    let data = Data::new(1, 8 * MIB);
    for _ in 0..5 {
        let mut conn = client.connect().await?;
        conn.send_head(
            &ddx_testkit::Request::new("PUT", "/broken.bin").header("Content-Length", data.len()),
        )
        .await?;
        let sent = conn
            .send_data(
                &data,
                0..4 * MIB,
                Some(Pace {
                    step_bytes: 256 * 1024,
                    pause: Duration::ZERO,
                }),
            )
            .await?;
        ensure!(sent.whole, "it was answered before its end: {sent:?}");
        crate::until(
            "its bytes reach the disk",
            Duration::from_secs(10),
            || async { Ok(segment_count(server.data_dir()) > 0) },
        )
        .await?;
        conn.reset()?;
    }
    ledger_at_zero(&client).await?;
    crate::until(
        "the bytes of broken uploads go",
        Duration::from_secs(30),
        || async { Ok(segment_count(server.data_dir()) == 0) },
    )
    .await
}

fn segment_count(data_dir: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(data_dir.join("segments"))
        .into_iter()
        .flatten()
        .flatten();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten())
        .count()
}

/// A server that has no time, as one that is stopped for a moment, finds all who came meanwhile
/// waiting, and not turned away by the kernel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_connections_waits_for_a_server_that_is_busy() -> Result<()> {
    const CLIENTS: usize = 1000;
    let _turn = Turn::shared()?;
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn")?;
    ensure!(
        allowed.trim().parse::<usize>()? > CLIENTS,
        "net.core.somaxconn is {}, which is what this is about: set it to 4096",
        allowed.trim()
    );
    let server = setup().start()?;
    let client = server.client();
    server.pause()?;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = client.clone();
        waiting.spawn(async move { client.connect().await });
    }
    let connected = tokio::time::timeout(Duration::from_secs(60), waiting.join_all()).await;
    server.resume()?;
    let connected =
        connected.context("the kernel holds back who came while the server was busy")?;
    for conn in connected {
        let mut conn = conn?;
        let answer = conn.round(&Request::new("GET", "/healthz"), b"").await?;
        answer.expect(200)?;
    }
    ledger_at_zero(&client).await
}
