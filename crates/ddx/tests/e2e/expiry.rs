//! What expires, when, and what does not: decided when it is deleted, not when it was looked at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Image, MIB, Part, Request, Response, Turn, Tus};

use crate::bad_disk::segment_count;
use crate::{ledger_at_zero, setup, until};

const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// Uploads are finished in the very moments in which they expire. Which of the two comes first is
/// open; what was answered as complete stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_finished_at_the_last_moment_stays() -> Result<()> {
    const UPLOADS: u64 = 300;
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--upload-expires", "2s")
        .option("--housekeeping-every", "100ms")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let mut finishing = Vec::new();
    for number in 0..UPLOADS {
        let data = Data::new(number, 40_000);
        let upload = tus.create(Some(data.len()), "last.bin").await?;
        let tus = tus.clone();
        finishing.push(tokio::spawn(async move {
            // Over the time in which all of them expire.
            tokio::time::sleep(Duration::from_millis(1_500 + number * 5)).await;
            let answer = tus.patch(&upload.path, &data, 0..data.len()).await?;
            anyhow::Ok((answer.status == 204).then_some((upload, data)))
        }));
    }
    let mut complete = Vec::new();
    for task in finishing {
        complete.extend(task.await??);
    }
    println!("{} of {UPLOADS} were in time", complete.len());
    ensure!(!complete.is_empty(), "none was in time");
    // Whatever housekeeping had in hand when they were finished is done before this one is gone.
    let last = tus.create(Some(10), "probe.bin").await?;
    until("the probe expires", Duration::from_secs(60), || async {
        Ok(matches!(tus.head(&last.path).await?.status, 404 | 410))
    })
    .await?;
    for (upload, data) in &complete {
        client
            .fetch(upload.link()?, data)
            .await
            .context("it was answered as complete")?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_expired_is_gone_before_it_is_removed() -> Result<()> {
    let _turn = Turn::shared()?;
    // Nothing is cleaned up meanwhile.
    let server = setup()
        .option("--upload-expires", "1s")
        .option("--housekeeping-every", "1h")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 1_000_000);
    let upload = tus.create(Some(data.len()), "late.bin").await?;
    tus.patch(&upload.path, &data, 0..1000).await?.expect(204)?;
    until("it expires", Duration::from_secs(30), || async {
        Ok(tus.head(&upload.path).await?.status == 410)
    })
    .await?;
    let patched = tus.patch(&upload.path, &data, 1000..2000).await?;
    patched.expect_problem(410)?;
    client.get(&upload.path).await?.expect_problem(410)?;
    client.get(upload.link()?).await?.expect_problem(410)?;
    let concat = tus
        .post(&[("Upload-Concat", &format!("final;{}", upload.path))], &[])
        .await?;
    concat.expect_problem(400)?;
    tus.delete(&upload.path).await?.expect(204)?;
    tus.head(&upload.path).await?.expect(404)?;
    Ok(())
}

/// Each part gets its bytes at its own time; the others wait for it, and so does the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_comes_further_keeps_the_whole_alive() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--upload-expires", "2s")
        .option("--housekeeping-every", "100ms")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let (first, second) = (Data::new(1, 100_000), Data::new(2, 100_000));
    let parts = [
        tus.create_part(Part::Partial, first.len(), "a").await?,
        tus.create_part(Part::Partial, second.len(), "b").await?,
    ];
    tus.finish_from(&parts[0].path, &first, 0).await?;
    let whole = tus.create_part(Part::Final(&parts), 0, "w").await?;
    // Three times as long as one on which nothing happens is kept.
    for step in 0..12 {
        let from = step * 5_000;
        let range = from..from + 5_000;
        let answer = tus.patch(&parts[1].path, &second, range).await?;
        answer.expect(204).with_context(|| format!("step {step}"))?;
        tus.head(&parts[0].path).await?.expect(200)?;
        tus.head(&whole.path).await?.expect(200)?;
        tokio::time::sleep(Duration::from_millis(500)).await; // the time that it is about
    }
    tus.finish_from(&parts[1].path, &second, 60_000).await?;
    let body = client.get(whole.link()?).await?.expect(200)?.body;
    ensure!(
        body.len() == 200_000
            && first.first_difference(0, &body[..100_000]).is_none()
            && second.first_difference(0, &body[100_000..]).is_none(),
        "the joined file differs"
    );
    Ok(())
}

/// Uploads are made faster and faster, and what expires goes as fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_keeps_up_with_creation_and_a_stop_does_not_wait_for_it() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup()
        .option("--upload-expires", "1s")
        .option("--housekeeping-every", "100ms")
        .start()?;
    let client = server.client();
    let made = make_uploads(&client, Duration::from_secs(4)).await?;
    let left = || async { anyhow::Ok(client.metrics().await?["ddx_uploads_unfinished"]) };
    let at_the_end: f64 = left().await?;
    println!("{made} uploads were made, {at_the_end} are left at the end");
    ensure!(
        at_the_end < made as f64 * 0.8,
        "{at_the_end} of {made} are left: they are removed more slowly than they are made"
    );
    until("all are gone", Duration::from_secs(60), || async {
        Ok(left().await? == 0.0 && segment_count(server.data_dir()) == 0)
    })
    .await?;
    make_uploads(&client, Duration::from_secs(2)).await?;
    let exit = server.terminate(Duration::from_secs(60))?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    ensure!(
        !server.log().contains("could not be saved in time"),
        "{}",
        server.log()
    );
    Ok(())
}

/// Makes uploads on several connections for a time; how many.
async fn make_uploads(client: &Client, time: Duration) -> Result<u64> {
    let end = tokio::time::Instant::now() + time;
    let made = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (client, made) = (client.clone(), made.clone());
            tokio::spawn(async move {
                let mut conn = client.connect().await?;
                let request = Tus::request("POST", "/files").header("Upload-Length", 50_000);
                while tokio::time::Instant::now() < end {
                    conn.round(&request, &[]).await?.expect(201)?;
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(made.load(std::sync::atomic::Ordering::Relaxed))
}

/// More than the length came, in a body that does not say how long it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_past_the_length_are_refused_in_small_bodies_too() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let upload = tus.create(Some(5), "five.bin").await?;
    let send = async |body: &str| {
        let mut conn = client.connect().await?;
        let head = Tus::request("PATCH", &upload.path).headers(&[
            OCTETS,
            ("Upload-Offset", "0"),
            ("Transfer-Encoding", "chunked"),
        ]);
        conn.send_head(&head).await?;
        conn.send(body.as_bytes()).await?;
        conn.response("PATCH").await
    };
    for body in [
        "8\r\n12345678\r\n0\r\n\r\n",
        "5\r\n12345\r\n1\r\n6\r\n0\r\n\r\n",
    ] {
        send(body).await?.expect_problem(413)?;
        ensure!(tus.offset(&upload.path).await? == 0, "nothing of it counts");
    }
    let answer = send("5\r\n12345\r\n0\r\n\r\n").await?.expect(204)?;
    ensure!(answer.number("upload-offset")? == 5);
    let get = Request::new("GET", Client::path_of(upload.link()?));
    ensure!(client.send(&get, &[]).await?.expect(200)?.body == b"12345");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_is_told_late_is_reserved_then() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let tus = Tus::new(&server.client());
    let data = Data::new(1, 100_000);
    for begun in [0, 70_000] {
        let upload = tus.create(None, "late.bin").await?;
        tus.patch(&upload.path, &data, 0..begun)
            .await?
            .expect(204)?;
        let (offset, huge) = (begun.to_string(), (1_u64 << 60).to_string());
        let late = [OCTETS, ("Upload-Offset", &offset), ("Upload-Length", &huge)];
        let refused = tus.patch_raw(&upload.path, &late, &[]).await?;
        refused.expect_problem(507)?;
        let beyond = (u64::MAX / 2 + 1).to_string();
        let late = [
            OCTETS,
            ("Upload-Offset", &offset),
            ("Upload-Length", &beyond),
        ];
        let refused = tus.patch_raw(&upload.path, &late, &[]).await?;
        ensure!(matches!(refused.status, 400 | 413), "{refused:?}");
        ensure!(tus.offset(&upload.path).await? == begun);
        let length = data.len().to_string();
        let right = [
            OCTETS,
            ("Upload-Offset", &offset),
            ("Upload-Length", &length),
        ];
        tus.patch_raw(&upload.path, &right, &[])
            .await?
            .expect(204)?;
        tus.finish_from(&upload.path, &data, begun).await?;
        server.client().fetch(upload.link()?, &data).await?;
    }
    ledger_at_zero(&server.client()).await
}

/// Space that one request reserves without sending a byte is given back after some minutes, here a
/// second; the upload stays, and goes on when its bytes come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn space_for_what_never_comes_is_given_back_and_the_upload_stays() -> Result<()> {
    let _turn = Turn::shared()?;
    let image = Image::new(96 * MIB)?;
    let server = setup()
        .data_dir(image.path().join("data"))
        .option("--free-space-floor", "4MiB")
        .option("--reservation-expires", "1s")
        .option("--housekeeping-every", "100ms")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let begun = Data::new(1, 30 * MIB);
    let begun_upload = tus.create(Some(begun.len()), "begun.bin").await?;
    tus.patch(&begun_upload.path, &begun, 0..1)
        .await?
        .expect(204)?;
    let large = Data::new(2, 40 * MIB);
    let silent = tus.create(Some(large.len()), "silent.bin").await?;
    let other = Data::new(3, 20 * MIB);
    client.put("other.bin", &other).await?.expect_problem(507)?;
    until("there is room", Duration::from_secs(30), || async {
        Ok(client
            .put("other.bin", &Data::new(4, 20 * MIB))
            .await?
            .status
            == 201)
    })
    .await?;
    // What has begun has kept its space: it can be finished.
    tus.finish_from(&begun_upload.path, &begun, 1).await?;
    client.fetch(begun_upload.link()?, &begun).await?;
    ensure!(tus.offset(&silent.path).await? == 0);
    // There is no room for the other now, which is said; once there is, it comes whole.
    tus.patch(&silent.path, &large, 0..MIB)
        .await?
        .expect_problem(507)?;
    let found = client
        .send(&Tus::request("DELETE", &begun_upload.path), &[])
        .await?;
    found.expect(204)?;
    tus.finish_from(&silent.path, &large, 0).await?;
    client.fetch(silent.link()?, &large).await?;
    ledger_at_zero(&client).await
}

/// A request that brings nothing keeps nothing alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_kept_by_bytes_and_not_by_requests() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let tus = Tus::new(&server.client());
    let data = Data::new(1, 100_000);
    let upload = tus.create(Some(data.len()), "kept.bin").await?;
    let expires =
        |answer: &Response| Ok::<_, anyhow::Error>(answer.field("upload-expires")?.to_owned());
    tus.patch(&upload.path, &data, 0..1000).await?.expect(204)?;
    let first = expires(&tus.head(&upload.path).await?)?;
    // The field counts whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let empty = tus
        .patch(&upload.path, &data, 1000..1000)
        .await?
        .expect(204)?;
    ensure!(expires(&empty)? == first, "an empty request moved it on");
    ensure!(expires(&tus.head(&upload.path).await?)? == first);
    let more = tus
        .patch(&upload.path, &data, 1000..1001)
        .await?
        .expect(204)?;
    ensure!(expires(&more)? != first, "a byte did not move it on");
    Ok(())
}
