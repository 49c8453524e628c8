//! A disk that takes no changes: the server starts, gives out what is there, and says why it takes
//! nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Image, MIB, Request, Response, Server, Turn, Tus, metadata};

use crate::{ledger_at_zero, setup, until};

/// Of a small file, which lies in the catalog, and a large one, which lies beside it.
struct Kept {
    small: Data,
    large: Data,
    links: [String; 2],
    /// Of the small file again, which may be fetched once.
    limited: String,
    delete_path: String,
    /// Path of an upload of `large` of which half has come.
    unfinished: String,
}

impl Kept {
    async fn store(client: &Client) -> Result<Self> {
        let (small, large) = (Data::new(1, 3_000), Data::new(2, 2 * MIB));
        let created = client.put("small.txt", &small).await?.expect(201)?;
        let delete_path = Client::path_of(created.field("x-url-delete")?).to_owned();
        let links = [
            created.text().trim().to_owned(),
            client.put_for_link("large.bin", &large).await?,
        ];
        let limit = [("Max-Downloads", "1")];
        let limited = client.put_with("once.txt", &small, &limit, None).await?;
        let tus = Tus::new(client);
        let upload = tus.create(Some(large.len()), "unfinished.bin").await?;
        tus.patch(&upload.path, &large, 0..MIB).await?.expect(204)?;
        Ok(Self {
            small,
            large,
            links,
            limited: limited.expect(201)?.text().trim().to_owned(),
            delete_path,
            unfinished: upload.path,
        })
    }

    async fn is_all_there(&self, client: &Client) -> Result<()> {
        client.fetch(&self.links[0], &self.small).await?;
        client.fetch(&self.links[1], &self.large).await?;
        let offset = Tus::new(client).offset(&self.unfinished).await?;
        ensure!(offset == MIB, "{offset}");
        Ok(())
    }

    async fn can_be_changed(&self, client: &Client) -> Result<()> {
        client.fetch(&self.limited, &self.small).await?;
        Tus::new(client)
            .finish_from(&self.unfinished, &self.large, MIB)
            .await?;
        let delete = Request::new("DELETE", &self.delete_path);
        client.send(&delete, &[]).await?.expect(204)?;
        client.get(&self.links[0]).await?.expect_problem(404)?;
        client.get("/readyz").await?.expect(200)?;
        ledger_at_zero(client).await
    }
}

fn is_refused(what: &str, answer: Response) -> Result<()> {
    let wait = answer.head.number("retry-after")?;
    let problem = answer.expect_problem(503).context(what.to_owned())?;
    ensure!(
        problem["type"] == "/errors/read-only" && wait >= 30 && problem["remedy"].is_string(),
        "{what}: {problem}, again after {wait} s"
    );
    Ok(())
}

/// Every way to change something.
async fn takes_nothing(client: &Client, kept: &Kept) -> Result<()> {
    let tus = Tus::new(client);
    let length = kept.large.len().to_string();
    let answers = [
        ("a small file", client.put("new.txt", &kept.small).await?),
        ("a large file", client.put("new.bin", &kept.large).await?),
        (
            "an upload",
            tus.post(&[("Upload-Length", &length)], &[]).await?,
        ),
        (
            "an upload of unknown length",
            tus.post(&[("Upload-Defer-Length", "1")], &[]).await?,
        ),
        (
            "an upload with its bytes",
            tus.post(
                &[
                    ("Upload-Length", "5"),
                    ("Upload-Metadata", &metadata(&[("filename", "a")])),
                    ("Content-Type", "application/offset+octet-stream"),
                ],
                b"hello",
            )
            .await?,
        ),
        (
            "more bytes",
            tus.patch(&kept.unfinished, &kept.large, MIB..kept.large.len())
                .await?,
        ),
        ("the end of an upload", tus.delete(&kept.unfinished).await?),
        (
            "a deletion",
            client
                .send(&Request::new("DELETE", &kept.delete_path), &[])
                .await?,
        ),
        ("a file to be counted", client.get(&kept.limited).await?),
        (
            "a share",
            client
                .send(&Request::new("POST", "/api/v1/shares"), b"{}")
                .await?,
        ),
    ];
    for (what, answer) in answers {
        is_refused(what, answer)?;
    }
    Ok(())
}

async fn is_read_only(server: &Server, kept: &Kept) -> Result<()> {
    let client = server.client();
    client.get("/healthz").await?.expect(200)?;
    client.get("/readyz").await?.expect_problem(503)?;
    let status = client.json("/api/v1/system/upload-status").await?;
    ensure!(status["disk"]["read_only"] == true, "{}", status["disk"]);
    kept.is_all_there(&client).await?;
    takes_nothing(&client, kept).await?;
    kept.is_all_there(&client).await?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_mounted_read_only_is_served_and_takes_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let image = Image::new(64 * MIB)?;
    let data_dir = image.path().join("data");
    let mut server = setup().data_dir(&data_dir).start()?;
    let kept = Kept::store(&server.client()).await?;

    // As a killed server leaves it: the last records are only in the catalog's log.
    server.kill_9()?;
    let log = data_dir.join("catalog.sqlite3-wal");
    ensure!(std::fs::metadata(&log)?.len() > 0, "the log has nothing");
    image.remount("ro")?;
    server.start_again()?;
    is_read_only(&server, &kept).await?;
    let second = setup().data_dir(&data_dir).start();
    ensure!(second.is_err(), "two servers have one folder");
    ensure!(server.terminate(Duration::from_secs(10))?.status.success());
    ensure!(
        server.log().contains("read-only: files can be fetched"),
        "the log does not tell"
    );

    // As one leaves it that was stopped, after it did what the one before could not.
    image.remount("rw")?;
    server.start_again()?;
    kept.is_all_there(&server.client()).await?;
    ensure!(server.terminate(Duration::from_secs(10))?.status.success());
    ensure!(!log.exists(), "a log was left");
    image.remount("ro")?;
    server.start_again()?;
    is_read_only(&server, &kept).await?;
    ensure!(server.terminate(Duration::from_secs(10))?.status.success());

    image.remount("rw")?;
    server.start_again()?;
    let client = server.client();
    kept.is_all_there(&client).await?;
    kept.can_be_changed(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_bytes_are_missing_is_called_damaged_where_nothing_can_be_noted() -> Result<()>
{
    let _turn = Turn::shared()?;
    let image = Image::new(64 * MIB)?;
    let data_dir = image.path().join("data");
    let mut server = setup().data_dir(&data_dir).start()?;
    let kept = Kept::store(&server.client()).await?;
    server.terminate(Duration::from_secs(10))?;
    for folder in std::fs::read_dir(data_dir.join("segments"))? {
        std::fs::remove_dir_all(folder?.path())?;
    }
    image.remount("ro")?;
    server.start_again()?;
    let client = server.client();
    client.fetch(&kept.links[0], &kept.small).await?;
    let problem = client.get(&kept.links[1]).await?.expect_problem(500)?;
    ensure!(problem["type"] == "/errors/file-damaged", "{problem}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_only_be_made_by_writing_is_refused_with_the_remedy() -> Result<()> {
    let _turn = Turn::shared()?;
    let image = Image::new(64 * MIB)?;
    let data_dir = image.path().join("data");
    std::fs::create_dir_all(data_dir.join("segments"))?;
    image.remount("ro")?;
    let data_dir = data_dir.to_string_lossy().into_owned();
    let run = |args: &[&str]| setup().run_to_end(args);
    let serve = run(&["serve", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"])?;
    let said = String::from_utf8_lossy(&serve.stderr);
    ensure!(
        !serve.status.success() && said.contains("mount it for writing and start once"),
        "{said}"
    );
    let doctor = run(&["doctor", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"])?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(said.contains("is read-only: a server"), "{said}");
    Ok(())
}

/// ext4 makes itself read-only when it meets an error of the disk. What was acknowledged before is
/// there, at once and after the repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_gives_up_while_the_server_runs_is_told_and_loses_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let image = Image::new(64 * MIB)?;
    let mut server = setup().data_dir(image.path().join("data")).start()?;
    let client = server.client();
    let kept = Kept::store(&client).await?;
    image.remount("abort")?;
    until("it is known", Duration::from_secs(10), || async {
        Ok(client.get("/readyz").await?.status == 503)
    })
    .await?;
    for data in [&kept.small, &kept.large, &kept.small, &kept.large] {
        client.put("new.bin", data).await?.expect_problem(503)?;
    }
    client.get("/readyz").await?.expect_problem(503)?;
    kept.is_all_there(&client).await?;
    ledger_at_zero(&client).await?;

    server.kill_9()?;
    server.start_again().context("on a disk that gave up")?;
    is_read_only(&server, &kept).await?;
    server.kill_9()?;
    image.repair()?;
    server.start_again()?;
    let client = server.client();
    kept.is_all_there(&client).await?;
    kept.can_be_changed(&client).await
}
