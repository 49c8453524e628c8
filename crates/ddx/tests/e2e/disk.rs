//! A full disk: said at once where the length is known, at the write where it is not, and nothing
//! else suffers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Image, MIB, Request, Response, Server, Turn, Tus};

use crate::{ledger_at_zero, logged, setup, until};

fn on_image(size_bytes: u64) -> Result<(Image, Server)> {
    let image = Image::new(size_bytes)?;
    let server = setup()
        .data_dir(image.path().join("data"))
        .option("--free-space-floor", "4MiB")
        .start()?;
    Ok((image, server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_length_that_does_not_fit_is_refused_at_creation() -> Result<()> {
    let _turn = Turn::shared()?;
    let (_image, server) = on_image(96 * MIB)?;
    let client = server.client();
    let tus = Tus::new(&client);
    let refused = tus
        .post(&[("Upload-Length", &(200 * MIB).to_string())], &[])
        .await?
        .expect_problem(507)?;
    ensure!(
        !refused["limit"].is_null() && !refused["value"].is_null() && refused["remedy"].is_string(),
        "{refused}"
    );
    client
        .put("large.bin", &Data::new(1, 200 * MIB))
        .await?
        .expect_problem(507)?;

    // What is promised to one upload is not promised to another, though not a byte of it has come.
    let data = Data::new(2, 50 * MIB);
    let first = tus.create(Some(data.len()), "first.bin").await?;
    tus.post(&[("Upload-Length", &(50 * MIB).to_string())], &[])
        .await?
        .expect_problem(507)?;
    tus.delete(&first.path).await?.expect(204)?;
    let second = tus
        .create(Some(data.len()), "second.bin")
        .await
        .context("a cancelled upload gives its reservation back")?;
    tus.finish_from(&second.path, &data, 0)
        .await
        .context("what was reserved can be written")?;
    client.fetch(second.link()?, &data).await?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_length_is_refused_when_the_disk_is_full_and_the_rest_stays_whole() -> Result<()>
{
    let _turn = Turn::shared()?;
    let (image, mut server) = on_image(96 * MIB)?;
    let client = server.client();
    let tus = Tus::new(&client);
    let kept = Data::new(3, 20 * MIB);
    let link = client.put_for_link("kept.bin", &kept).await?;
    let running = tus.create(Some(10 * MIB), "running.bin").await?;
    let running_data = Data::new(4, 10 * MIB);
    tus.patch(&running.path, &running_data, 0..MIB)
        .await?
        .expect(204)?;
    let free_before = image.free_bytes()?;

    let full = client
        .put_chunked("endless.bin", &Data::new(5, 200 * MIB), 1 << 20)
        .await?;
    full.expect_problem(507)?;
    let free = image.free_bytes()?;
    ensure!(
        free + 2 * MIB >= free_before,
        "{free} of {free_before} bytes came back with the refusal"
    );
    let deferred = tus.create(None, "deferred.bin").await?;
    let data = Data::new(6, 200 * MIB);
    let answer = tus.patch(&deferred.path, &data, 0..data.len()).await?;
    answer.expect_problem(507)?;
    let offset = tus.offset(&deferred.path).await?;
    ensure!(offset < data.len(), "{offset}");

    ensure!(server.is_running(), "the server must outlive a full disk");
    client
        .fetch(&link, &kept)
        .await
        .context("files from before stay whole")?;
    tus.finish_from(&running.path, &running_data, MIB)
        .await
        .context("an upload with reserved space is not hurt")?;
    client.fetch(running.link()?, &running_data).await?;

    tus.delete(&deferred.path).await?.expect(204)?;
    until(
        "cancelling gives the space back",
        Duration::from_secs(30),
        || async { Ok(image.free_bytes()? + 2 * MIB >= free_before) },
    )
    .await?;
    let again = Data::new(7, 30 * MIB);
    let link = client
        .put_for_link("again.bin", &again)
        .await
        .context("after the space came back")?;
    client.fetch(&link, &again).await?;
    ledger_at_zero(&client).await?;

    let exit = server.terminate(Duration::from_secs(10))?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    server.start_again()?;
    client.fetch(&link, &again).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_is_answered_before_it_is_sent() -> Result<()> {
    let _turn = Turn::shared()?;
    let (_image, server) = on_image(64 * MIB)?;
    let client: Client = server.client();
    let mut conn = client.connect().await?.patience(Duration::from_secs(5));
    conn.send_head(
        &Request::new("PUT", "/x.bin")
            .header("Content-Length", 500 * MIB)
            .header("Expect", "100-continue"),
    )
    .await?;
    let answer = conn
        .response("PUT")
        .await
        .context("the refusal must come before the body")?;
    ensure!(
        answer.interim.is_empty(),
        "it asked for the body first: {answer:?}"
    );
    answer.expect_problem(507)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_others_filled_up_is_no_reason_not_to_start_nor_to_read() -> Result<()> {
    let _turn = Turn::shared()?;
    let (image, mut server) = on_image(64 * MIB)?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 6 * MIB);
    let kept = client.put_for_link("kept.bin", &data).await?;
    let doomed = client.put("doomed.bin", &data).await?.expect(201)?;
    let doomed_later = client.put("later.bin", &data).await?.expect(201)?;
    let upload = tus.create(Some(data.len()), "half.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;

    // Another program takes the last byte, and the floor with it.
    let rest = image.path().join("rest");
    fill(&rest)?;
    ensure!(
        image.free_bytes()? < 4096,
        "{} bytes are free",
        image.free_bytes()?
    );
    logged(&server, |line| line.contains("the data folder is open")).await?;
    server.kill_9()?;
    server.start_again().context("on a full disk")?;
    until("it is opened twice", Duration::from_secs(30), || {
        let opened = server.log().matches("the data folder is open").count();
        async move { Ok(opened == 2) }
    })
    .await?;
    let opened = logged(&server, |line| line.contains("the data folder is open")).await?;
    ensure!(opened.contains("writes_by=direct I/O"), "{opened}");
    client.fetch(&kept, &data).await?;
    ensure!(tus.offset(&upload.path).await? == MIB);
    for length in [100, MIB] {
        let answer = client.put("new.bin", &Data::new(2, length)).await?;
        answer.expect_problem(507)?;
    }
    let share = Request::new("POST", "/api/v1/shares");
    client.send(&share, &[]).await?.expect_problem(507)?;
    // What was set aside is there for what was promised, and for deletions; also when it was used
    // before a start.
    tus.patch(&upload.path, &data, MIB..2 * MIB)
        .await?
        .expect(204)?;
    delete(&client, &doomed).await?;
    fill(&rest)?;
    server.kill_9()?;
    server.start_again().context("once more")?;

    // Below the floor, but not at the end: what was reserved can be finished, and space can be
    // made. All without a restart.
    std::fs::File::options()
        .write(true)
        .open(&rest)?
        .set_len(std::fs::metadata(&rest)?.len() - 2 * MIB)?;
    client
        .put("small.bin", &Data::new(2, 100))
        .await?
        .expect_problem(507)?;
    tus.post(&[("Upload-Length", "100")], &[])
        .await?
        .expect_problem(507)?;
    let at = tus.offset(&upload.path).await?;
    if at < data.len() {
        tus.finish_from(&upload.path, &data, at).await?;
    }
    client.fetch(upload.link()?, &data).await?;
    delete(&client, &doomed_later).await?;
    until(
        "deleting gives space back",
        Duration::from_secs(10),
        || async { Ok(image.free_bytes()? > 7 * MIB) },
    )
    .await?;
    client
        .put("small.bin", &Data::new(2, 100))
        .await?
        .expect(201)?;
    std::fs::remove_file(&rest)?;
    let link = client.put_for_link("again.bin", &data).await?;
    client.fetch(&link, &data).await?;
    ledger_at_zero(&client).await
}

/// Eight senders store files of 16 kB until they are refused; where the files can be deleted.
async fn fill_by_small_files(client: &Client) -> Result<Vec<String>> {
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut stored, mut refused) = (Vec::new(), 0);
                // What is on its way to the disk is counted for a moment; refused again and again
                // it is for good.
                while refused < 5 {
                    let data = Data::new(sender, 16_000);
                    let answer = client.put("small.bin", &data).await?;
                    if answer.status == 507 {
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(150)).await; // a client's own retry delay
                    } else {
                        refused = 0;
                        stored.push(answer.expect(201)?.field("x-url-delete")?.to_owned());
                    }
                }
                anyhow::Ok(stored)
            })
        })
        .collect();
    let mut stored = Vec::new();
    for sender in senders {
        stored.extend(sender.await??);
    }
    Ok(stored)
}

/// btrfs tells of what was written and deleted only with its next commit: up to half a minute
/// later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_holds_where_the_file_system_counts_late() -> Result<()> {
    const FLOOR: u64 = 48 * MIB;
    let _turn = Turn::shared()?;
    let image = Image::btrfs(320 * MIB)?;
    let server = setup()
        .data_dir(image.path().join("data"))
        .option("--free-space-floor", FLOOR.to_string())
        .start()?;
    let client = server.client();
    let lengths = [8 * MIB, 16_000];
    let mut doomed = Vec::new();
    for length in lengths {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let client = client.clone();
                tokio::spawn(async move {
                    let (data, mut stored) = (Data::new(sender, length), Vec::new());
                    loop {
                        let answer = client.put("late.bin", &data).await?;
                        if answer.status == 507 {
                            return anyhow::Ok(stored);
                        }
                        stored.push(answer.expect(201)?);
                    }
                })
            })
            .collect();
        for sender in senders {
            doomed.extend(sender.await??);
        }
        // What the figures say is what is there.
        rustix::fs::syncfs(std::fs::File::open(image.path())?)?;
        let free = image.free_bytes()?;
        println!(
            "files of {length} bytes: {} in all, {free} bytes are free",
            doomed.len()
        );
        ensure!(free >= FLOOR, "{free} bytes are free");
    }
    ensure!(doomed.len() > 10, "only {} files", doomed.len());
    for answer in &doomed[..2] {
        delete(&client, answer).await?;
    }
    let again = Data::new(9, 8 * MIB);
    let link = client.put_for_link("again.bin", &again).await;
    client
        .fetch(&link.context("deleted space is there at once")?, &again)
        .await?;
    ledger_at_zero(&client).await
}

async fn delete(client: &Client, created: &Response) -> Result<()> {
    let path = Client::path_of(created.field("x-url-delete")?);
    let answer = client.send(&Request::new("DELETE", path), &[]).await?;
    answer.expect(204).map(drop)
}

/// Small files take no space of their own on the disk; they stop at the floor all the same, and
/// what lives on the floor, which is to delete and to start, goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_stop_at_the_floor_and_can_be_deleted_then() -> Result<()> {
    const FLOOR: u64 = 8 * MIB;
    let _turn = Turn::shared()?;
    let image = Image::new(80 * MIB)?;
    let mut server = setup()
        .data_dir(image.path().join("data"))
        .option("--free-space-floor", FLOOR.to_string())
        .start()?;
    let client = server.client();
    let mut stored = fill_by_small_files(&client).await?;
    // The log may be copied after the last file was refused: then there is room for some more.
    let end = Instant::now() + Duration::from_secs(60);
    while client.get("/readyz").await?.status != 503 {
        ensure!(Instant::now() < end, "it is never full for good");
        stored.extend(fill_by_small_files(&client).await?);
    }
    let free = image.free_bytes()?;
    println!("{} files of 16 kB, {free} bytes are free", stored.len());
    ensure!(free >= FLOOR, "{free} bytes are free");
    ensure!(stored.len() > 500, "only {} files", stored.len());
    server.terminate(Duration::from_secs(60))?;
    server.start_again().context("on a full disk")?;
    let free = image.free_bytes()?;
    ensure!(free >= FLOOR, "{free} bytes are free after a start");
    for delete in stored {
        let request = Request::new("DELETE", Client::path_of(&delete));
        client.send(&request, &[]).await?.expect(204)?;
    }
    until("there is room again", Duration::from_secs(30), || async {
        Ok(client.put("small.bin", &Data::new(1, 16_000)).await?.status == 201)
    })
    .await?;
    client.get("/readyz").await?.expect(200)?;
    ledger_at_zero(&client).await
}

/// Writes into a file until the disk is full.
fn fill(path: &std::path::Path) -> Result<()> {
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)?;
    for bytes in [1 << 20, 1 << 16, 1 << 12] {
        while std::io::Write::write_all(&mut file, &vec![7; bytes]).is_ok() {}
        let _ = file.sync_all(); // may say that the disk is full
    }
    Ok(())
}
