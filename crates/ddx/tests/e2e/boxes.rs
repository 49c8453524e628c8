//! Memory boxes: the kernel's own count shows that the server stays within its limit, and that it
//! knows what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Image, MIB, MemoryBox, Request, Server, Turn, Tus, full, scaled};

use crate::{ledger_at_zero, setup, until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Put,
    Tus,
}

fn boxed(limit_bytes: u64) -> Result<(Server, Arc<MemoryBox>)> {
    let memory_box = Arc::new(MemoryBox::new(limit_bytes)?);
    let server = setup().in_box(&memory_box).start()?;
    Ok((server, memory_box))
}

/// `count` uploads of `bytes` at once, each checked by its digest and, for a few, byte by byte.
pub(crate) async fn upload_all(client: &Client, way: Way, count: u64, bytes: u64) -> Result<()> {
    let client = client.patience(Duration::from_secs(300));
    let started = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|seed| {
            let (client, data) = (client.clone(), Data::new(seed, bytes));
            tokio::spawn(async move {
                let (link, id) = match way {
                    Way::Put => {
                        let answer = client.put("box.bin", &data).await?.expect(201)?;
                        (
                            answer.text().trim().to_owned(),
                            answer.field("x-file-id")?.to_owned(),
                        )
                    }
                    Way::Tus => {
                        let upload = Tus::new(&client).upload_whole("box.bin", &data).await?;
                        (upload.link()?.to_owned(), upload.file_id()?.to_owned())
                    }
                };
                anyhow::Ok((link, id))
            })
        })
        .collect();
    let mut done = Vec::new();
    for (seed, task) in (0..).zip(tasks) {
        done.push((
            Data::new(seed, bytes),
            task.await?
                .with_context(|| format!("upload {seed} by {way:?}"))?,
        ));
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{count} × {} MiB by {way:?}: {seconds:.2} s, {:.0} MB/s",
        bytes / MIB,
        (count * bytes) as f64 / 1e6 / seconds
    );
    for (index, (data, (link, id))) in done.iter().enumerate() {
        let file = client
            .json(&format!("/api/v1/system/upload-progress/{id}"))
            .await?;
        ensure!(file["blake3"] == data.blake3_hex(), "{way:?}: {file}");
        if index % 10 == 0 {
            client.fetch(link, data).await?;
        }
    }
    Ok(())
}

/// The kernel killed nothing, the ledger is empty, and the process is about as small as before the
/// work.
async fn at_rest(server: &mut Server, memory_box: &MemoryBox, idle_bytes: u64) -> Result<()> {
    let usage = memory_box.usage()?;
    println!("{usage:?}");
    ensure!(
        usage.oom_kills == 0,
        "the kernel killed for memory: {usage:?}"
    );
    ensure!(server.is_running(), "the server is gone");
    ledger_at_zero(&server.client()).await?;
    let mut resident = 0;
    // The long run measures a release build. The short one is to show that no buffer stays behind.
    let more_bytes_max = if full() { idle_bytes / 10 } else { 6 * MIB };
    let settled = until(
        "resident memory falls back",
        Duration::from_secs(30),
        || {
            resident = server.memory_bytes("VmRSS").unwrap_or(u64::MAX);
            async move { Ok(resident <= idle_bytes + more_bytes_max) }
        },
    )
    .await;
    let now = server.memory_bytes("VmRSS")?;
    println!(
        "resident memory: idle {} KiB, after the work {} KiB",
        idle_bytes / 1024,
        now / 1024
    );
    settled.with_context(|| format!("idle {idle_bytes}, now {now} bytes"))
}

/// The server's own memory when it has done each thing once and rests.
async fn idle_bytes(server: &Server) -> Result<u64> {
    upload_all(&server.client(), Way::Put, 20, 2 * MIB).await?;
    upload_all(&server.client(), Way::Tus, 20, 2 * MIB).await?;
    ledger_at_zero(&server.client()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // the allocator gives back after a while; nothing tells when it is done
    server.memory_bytes("VmRSS")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_20_uploads_in_128_mib() -> Result<()> {
    let _turn = Turn::boxed()?;
    let (mut server, memory_box) = boxed(128 * MIB)?;
    let idle = idle_bytes(&server).await?;
    for way in [Way::Put, Way::Tus] {
        upload_all(&server.client(), way, 20, scaled(32, 256) * MIB).await?;
        at_rest(&mut server, &memory_box, idle).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_200_uploads_in_64_mib() -> Result<()> {
    let _turn = Turn::boxed()?;
    let (mut server, memory_box) = boxed(64 * MIB)?;
    let idle = idle_bytes(&server).await?;
    for way in [Way::Put, Way::Tus] {
        upload_all(&server.client(), way, 200, scaled(2, 16) * MIB).await?;
    }
    at_rest(&mut server, &memory_box, idle).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_one_large_upload_in_32_mib_and_a_plan_for_it() -> Result<()> {
    let _turn = Turn::boxed()?;
    let (mut server, memory_box) = boxed(32 * MIB)?;
    let idle = idle_bytes(&server).await?;
    for way in [Way::Put, Way::Tus] {
        upload_all(&server.client(), way, 1, scaled(128, 1024) * MIB).await?;
    }
    at_rest(&mut server, &memory_box, idle).await?;
    let plan = setup().in_box(&memory_box).run_to_end(&["plan"])?;
    let text = String::from_utf8_lossy(&plan.stdout);
    ensure!(
        plan.status.success() && text.contains("32"),
        "the plan does not know the box: {text} {}",
        String::from_utf8_lossy(&plan.stderr)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_a_neighbour_that_eats_memory_fails_no_upload() -> Result<()> {
    let _turn = Turn::boxed()?;
    let (mut server, memory_box) = boxed(128 * MIB)?;
    // Another process in the same box takes 60 MiB, and gives them back after a while.
    let script = format!(
        "echo $$ > '{}'; exec python3 -c 'import time; b = bytearray(60 << 20); time.sleep(4)'",
        memory_box.procs().display()
    );
    let mut neighbour = std::process::Command::new("sh")
        .args(["-c", &script])
        .spawn()?;
    until(
        "the neighbour has its memory",
        Duration::from_secs(10),
        || async { Ok(memory_box.usage()?.anonymous_bytes > 60 * MIB) },
    )
    .await?;
    upload_all(&server.client(), Way::Tus, 20, scaled(16, 128) * MIB).await?;
    let status = neighbour.wait()?;
    let usage = memory_box.usage()?;
    ensure!(
        usage.oom_kills == 0 && status.success(),
        "{usage:?} {status:?}"
    );
    ensure!(server.is_running());
    upload_all(&server.client(), Way::Put, 20, 4 * MIB)
        .await
        .context("after the neighbour went")?;
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_the_status_of_4_gib_agrees_with_the_kernel() -> Result<()> {
    let _turn = Turn::boxed()?;
    let (mut server, memory_box) = boxed(4096 * MIB)?;
    let client = server.client();
    let compare = async |what: &str| -> Result<()> {
        // Both move while we look: the median of several looks is compared.
        let mut differences = Vec::new();
        for _ in 0..9 {
            let before = memory_box.hard_bytes()?;
            let status = client.status().await?;
            let after = memory_box.hard_bytes()?;
            ensure!(
                (status.memory("total_gb")? - 4.0).abs() < 0.005,
                "{status:?}"
            );
            let told = status.figure("used_bytes")?;
            let gb = status.memory("used_gb")?;
            ensure!(
                (gb - told / f64::from(1 << 30)).abs() < 0.02,
                "used_gb {gb} and used_bytes {told} differ"
            );
            let kernel = (before + after) as f64 / 2.0;
            differences.push((told - kernel, kernel));
            tokio::time::sleep(Duration::from_millis(110)).await; // samples are taken every 200 ms
        }
        differences.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        let (difference, kernel) = differences[differences.len() / 2];
        println!(
            "{what}: kernel {:.1} MiB, status differs by {:.2} MiB",
            kernel / 1048576.0,
            difference / 1048576.0
        );
        ensure!(
            difference.abs() <= (kernel * 0.05).max(2.0 * MIB as f64),
            "{what}: the status is {difference} bytes off, of {kernel}"
        );
        Ok(())
    };
    compare("idle").await?;
    let compared = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (client, compared) = (client.clone(), compared.clone());
        async move {
            while !compared.load(Ordering::Relaxed) {
                upload_all(&client, Way::Tus, 20, scaled(32, 256) * MIB).await?;
            }
            anyhow::Ok(())
        }
    });
    let loaded = until("the load comes up", Duration::from_secs(30), || async {
        Ok(client.status().await?.figure("leased_bytes")? > 0.0)
    })
    .await;
    let under_load = match loaded {
        Ok(()) => compare("under load").await,
        Err(error) => Err(error),
    };
    compared.store(true, Ordering::Relaxed);
    load.await??;
    under_load?;
    compare("after").await?;
    ensure!(server.is_running() && memory_box.usage()?.oom_kills == 0);
    ledger_at_zero(&client).await
}

/// Where files live in memory, what is stored is memory that is not leased: refused when there is
/// none, and given back with the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_files_that_live_in_memory_are_counted_as_it() -> Result<()> {
    let _turn = Turn::boxed()?;
    let memory_box = Arc::new(MemoryBox::new(256 * MIB)?);
    let image = Image::in_memory(1024 * MIB)?;
    let setup = setup().in_box(&memory_box);
    let server = setup.data_dir(image.path().join("data")).start()?;
    server.be_killed_first()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let too_large = (400 * MIB).to_string();
    let refused = tus.post(&[("Upload-Length", &too_large)], &[]).await?;
    refused.expect_problem(507)?;

    let data = Data::new(1, 16 * MIB);
    let mut stored = Vec::new();
    loop {
        let answer = client.put("in-memory.bin", &data).await?;
        if answer.status == 507 {
            break;
        }
        stored.push(answer.expect(201)?);
        ensure!(stored.len() < 16, "more than there is memory");
    }
    println!(
        "{} files of 16 MiB; {:?}",
        stored.len(),
        memory_box.usage()?
    );
    ensure!(stored.len() >= 4, "only {} files", stored.len());
    let endless = Data::new(2, 400 * MIB);
    let unknown = client.put_chunked("endless.bin", &endless, 1 << 20).await?;
    unknown.expect_problem(507)?;
    for answer in &stored {
        client.fetch(answer.text().trim(), &data).await?;
    }
    let delete = Client::path_of(stored[0].field("x-url-delete")?);
    let delete = Request::new("DELETE", delete);
    client.send(&delete, &[]).await?.expect(204)?;
    until("there is room again", Duration::from_secs(30), || async {
        Ok(client.put("in-memory.bin", &data).await?.status == 201)
    })
    .await?;
    let usage = memory_box.usage()?;
    ensure!(usage.oom_kills == 0, "{usage:?}");
    ledger_at_zero(&client).await
}
