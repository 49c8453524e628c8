//! Bytes that are missing or wrong are noticed, told and counted; none is shown as what was sent.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Part, Server, Turn, Tus};

use crate::bad_disk::segments;
use crate::{logged, setup, until};

fn segment_files(server: &Server) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in std::fs::read_dir(segments(server))? {
        for entry in std::fs::read_dir(folder?.path())? {
            found.insert(entry?.path());
        }
    }
    Ok(found)
}

/// Stores a file; its link, and the file of its segment.
async fn store(server: &Server, data: &Data) -> Result<(String, PathBuf)> {
    let before = segment_files(server)?;
    let link = server.client().put_for_link("file.bin", data).await?;
    let after = segment_files(server)?;
    let made = after.difference(&before).next();
    Ok((link, made.context("no segment was made")?.clone()))
}

async fn damaged(client: &Client) -> Result<f64> {
    Ok(client.metrics().await?["ddx_files_damaged"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_missing_is_told_at_the_start_and_when_it_is_read() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let data = Data::new(1, 3 * MIB);
    let (kept, _) = store(&server, &data).await?;
    let (lost, segment) = store(&server, &data).await?;
    let (later, later_segment) = store(&server, &data).await?;
    server.kill_9()?;
    std::fs::remove_file(segment)?;
    server.start_again()?;
    ensure!(damaged(&client).await? == 1.0);
    logged(&server, |line| line.contains("a file is damaged")).await?;
    let answer = client.get(&lost).await?;
    ensure!(
        answer.get("retry-after").is_none(),
        "it never will be there"
    );
    let problem = answer.expect_problem(500)?;
    ensure!(
        problem["type"]
            .as_str()
            .is_some_and(|it| it.ends_with("/file-damaged")),
        "{problem}"
    );
    std::fs::remove_file(later_segment)?;
    client.get(&later).await?.expect_problem(500)?;
    ensure!(damaged(&client).await? == 2.0);
    client.fetch(&kept, &data).await?;
    Ok(())
}

/// The digest of a joined file is computed later, from the disk: of other bytes than those that
/// arrived it is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_than_those_that_arrived_are_never_signed() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().option("--housekeeping-every", "100ms").start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 2 * MIB);
    let part = tus.create_part(Part::Partial, data.len(), "p").await?;
    tus.finish_from(&part.path, &data, 0).await?;
    let segment = segment_files(&server)?;
    let path = segment.first().context("no segment")?;
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1_234_567)?;
    file.write_all_at(&[byte[0] ^ 1], 1_234_567)?;
    file.sync_all()?;
    let whole = tus.create_part(Part::Final(&[part]), 0, "w").await?;
    until("it is told", Duration::from_secs(60), || async {
        Ok(damaged(&client).await? == 1.0)
    })
    .await?;
    let progress = format!("/api/v1/system/upload-progress/{}", whole.file_id()?);
    let file = client.json(&progress).await?;
    ensure!(
        file["blake3"].is_null() && file["state"] == "failed",
        "{file}"
    );
    client.get(whole.link()?).await?.expect_problem(500)?;
    server.kill_9()?;
    server.start_again()?;
    ensure!(damaged(&client).await? == 1.0, "it is still known");
    Ok(())
}
