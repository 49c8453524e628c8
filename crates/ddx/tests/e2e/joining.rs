//! Files that are joined from parts come to their end, whatever comes between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Part, Request, Turn, Tus, Upload};

use crate::{ledger_at_zero, setup, until};

const PART_BYTES: u64 = 60_000;

/// A part without its bytes, and files that wait for it.
async fn wait_for_one_part(tus: &Tus, count: usize) -> Result<(Upload, Vec<Upload>)> {
    let part = tus.create_part(Part::Partial, PART_BYTES, "p").await?;
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (tus, path) = (tus.clone(), part.path.clone());
            tokio::spawn(async move {
                let mut finals = Vec::new();
                for _ in (worker..count).step_by(8) {
                    let concat = format!("final;{path}");
                    let made = tus.create_joined(&concat, "w").await?;
                    finals.push(made);
                }
                anyhow::Ok(finals)
            })
        })
        .collect();
    let mut finals = Vec::new();
    for worker in workers {
        finals.extend(worker.await??);
    }
    Ok((part, finals))
}

async fn all_become_complete(client: &Client, finals: &[Upload], data: &Data) -> Result<()> {
    for whole in finals {
        let progress = format!("/api/v1/system/upload-progress/{}", whole.file_id()?);
        until("it is joined", Duration::from_secs(60), || async {
            Ok(client.json(&progress).await?["state"] == "complete")
        })
        .await?;
    }
    client.fetch(finals[0].link()?, data).await?;
    let last = finals.last().context("there are some")?;
    client.fetch(last.link()?, data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_files_that_wait_for_a_part_are_joined_however_many() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let (part, finals) = wait_for_one_part(&tus, 1_100).await?;
    let data = Data::new(1, PART_BYTES);
    tus.finish_from(&part.path, &data, 0).await?;
    all_become_complete(&client, &finals, &data).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_the_last_part_and_the_joining_loses_no_file() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let (part, finals) = wait_for_one_part(&tus, 300).await?;
    let data = Data::new(1, PART_BYTES);
    tus.finish_from(&part.path, &data, 0).await?;
    server.kill_9()?;
    server.start_again()?;
    all_become_complete(&client, &finals, &data).await
}

/// No length is known when the file is made; it counts when it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_file_is_the_largest_joined_one_too() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--file-bytes-max", "1MiB").start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let mut paths = Vec::new();
    for _ in 0..50 {
        let part = tus.create_with(None, &[("Upload-Concat", "partial")]);
        paths.push(part.await?.path);
    }
    let concat = format!("final;{}", paths.join(" "));
    let whole = tus.create_joined(&concat, "w").await?;
    let data = Data::new(1, PART_BYTES);
    let length = data.len().to_string();
    for path in &paths {
        let told = [("Upload-Length", &*length)];
        let sent = tus.patch_with(path, &data, 0..data.len(), &told, None);
        sent.await?.expect(204)?;
    }
    let progress = format!("/api/v1/system/upload-progress/{}", whole.file_id()?);
    until("it is refused", Duration::from_secs(30), || async {
        Ok(client.json(&progress).await?["state"] == "failed")
    })
    .await?;
    let failure = client.json(&progress).await?["failure"].to_string();
    ensure!(
        failure.contains("1048576") && failure.contains("3000000"),
        "{failure}"
    );
    let known = tus.post(&[("Upload-Concat", &concat)], &[]).await?;
    known.expect_problem(413)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_parts_than_a_file_may_have_are_refused_for_good() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--parts-max", "3").start()?;
    let tus = Tus::new(&server.client());
    let mut paths = Vec::new();
    for _ in 0..4 {
        paths.push(tus.create_part(Part::Partial, 10, "p").await?.path);
    }
    let concat = |paths: &[String]| format!("final;{}", paths.join(" "));
    let refused = tus.post(&[("Upload-Concat", &concat(&paths))], &[]).await?;
    let problem = refused.expect_problem(400)?;
    ensure!(problem["limit"] == 3 && problem["value"] == 4, "{problem}");
    tus.create_joined(&concat(&paths[..3]), "w").await?;
    Ok(())
}

/// A line in a field would make the server read the part once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_is_joined_once() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let tus = Tus::new(&server.client());
    let one = tus.create_part(Part::Partial, 10, "p").await?.path;
    let two = tus.create_part(Part::Partial, 10, "p").await?.path;
    let twice = format!("final;{one} {two} {one}");
    let refused = tus.post(&[("Upload-Concat", &twice)], &[]).await?;
    let problem = refused.expect_problem(400)?;
    ensure!(
        problem["type"] == "/errors/concat-part"
            && problem["detail"].to_string().contains("Part 3"),
        "{problem}"
    );
    tus.create_joined(&format!("final;{one} {two}"), "w")
        .await?;
    Ok(())
}

/// One reader of a file that is joined from many parts holds no more descriptors than one of any
/// other file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_of_many_parts_opens_one_at_a_time() -> Result<()> {
    const PARTS: usize = 100;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 200_000);
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let part = tus.create_part(Part::Partial, data.len(), "p").await?;
        tus.finish_from(&part.path, &data, 0).await?;
        parts.push(part);
    }
    let whole = tus.create_part(Part::Final(&parts), 0, "w").await?;
    let descriptors = || -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", server.pid()?))?.count())
    };
    let path = Client::path_of(whole.link()?).to_owned();
    let whole_file = Request::new("GET", &path);
    let two_ranges = whole_file.clone().header("Range", "bytes=5-,0-3");
    let before = descriptors()?;
    for request in [whole_file, two_ranges] {
        let mut conn = client.connect().await?;
        conn.send_head(&request).await?;
        let head = conn.head().await?;
        let mut body = ddx_testkit::Conn::body_of(&head, "GET")?;
        let (mut bytes, mut most) = (0, 0);
        while let Some(piece) = conn.next(&mut body).await? {
            bytes += piece.len() as u64;
            most = most.max(descriptors()?);
        }
        ensure!(bytes == head.number("content-length")?, "{bytes}: {head:?}");
        ensure!(
            most < before + 10,
            "{most} descriptors while it is read, {before} before"
        );
    }
    Ok(())
}

/// The list of many parts is in the ledger for as long as a client reads the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_many_parts_is_charged_while_it_is_read() -> Result<()> {
    const PARTS: u64 = 20;
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let mut concat = "final;".to_owned();
    for number in 0..PARTS {
        let data = Data::new(number, MIB);
        let part = tus.create_part(Part::Partial, MIB, "p").await?;
        tus.finish_from(&part.path, &data, 0).await?;
        concat.push_str(&part.path);
        concat.push(' ');
    }
    let whole = tus.create_joined(concat.trim_end(), "w").await?;
    let mut conn = client.connect().await?;
    let get = Request::new("GET", Client::path_of(whole.link()?));
    conn.send_head(&get).await?;
    ensure!(conn.head().await?.number("content-length")? == PARTS * MIB);
    for (what, bytes) in [("it is charged", PARTS * 256), ("it is given back", 0)] {
        until(what, Duration::from_secs(20), || async {
            Ok(client.status().await?.accounts()?["answers"] == i64::try_from(bytes)?)
        })
        .await?;
        conn.reset()?;
        conn = client.connect().await?;
    }
    ledger_at_zero(&client).await
}
