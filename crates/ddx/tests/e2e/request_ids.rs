//! Every answer has a name, and so has every line of the log that was written for it.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Request, Turn, Tus};

use crate::{logged, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_and_its_problem_have_the_same_name() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let link = client.put_for_link("a.bin", &Data::new(1, 10)).await?;
    let share = ddx_testkit::Client::path_of(&link).to_owned();
    let mut seen = HashSet::new();
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", share.as_str(), 200),
        ("HEAD", share.as_str(), 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/nothing", 405),
        ("PATCH", "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa", 412),
        ("OPTIONS", "/files", 204),
        ("GET", "/a b", 400),
    ] {
        let request = Request::new(method, path)
            .header("Content-Length", 0)
            // Another's name is not taken over.
            .header("X-Request-ID", "mine");
        let answer = client.send(&request, &[]).await?.expect(status)?;
        let id = answer.field("x-request-id")?.to_owned();
        ensure!(
            id.len() >= 16 && seen.insert(id.clone()),
            "{request:?}: {id}"
        );
        if status >= 400 {
            let problem = answer.expect_problem(status)?;
            ensure!(problem["request_id"] == id, "{request:?}: {problem}");
        }
        let page = request.header("Accept", "text/html");
        let answer = client.send(&page, &[]).await?;
        let id = answer.field("x-request-id")?;
        if status == 405 {
            ensure!(answer.text().contains(id), "{answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_request_carries_its_name() -> Result<()> {
    let _turn = Turn::shared()?;
    for format in ["json", "human"] {
        let server = setup()
            .option("--log", "warn,ddx_http=debug")
            .option("--log-format", format)
            .start()?;
        let client = server.client();
        let data = Data::new(5, 4 * MIB);
        let put = client.put("a.bin", &data).await?.expect(201)?;
        let limits = client.get("/api/v1/limits").await?.expect(200)?;
        let refused = client
            .send(&Tus::request("PATCH", "/files/x"), &[])
            .await?
            .expect(404)?;
        for answer in [put, limits, refused] {
            let id = answer.field("x-request-id")?.to_owned();
            logged(&server, |line| {
                line.contains("answered") && line.contains(&id)
            })
            .await?;
        }
        let log = server.log();
        let answered = log.lines().filter(|line| line.contains("answered"));
        for line in answered {
            ensure!(line.contains("request_id"), "{line}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_found_in_the_log_by_the_name_in_its_document() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(6, 4 * MIB);
    let link = client.put_for_link("a.bin", &data).await?;
    // Its bytes go away.
    let segments = server.data_dir().join("segments");
    let mut folders = vec![segments];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => std::fs::remove_file(entry.path())?,
            }
        }
    }
    let problem = client.get(&link).await?.expect_problem(500)?;
    let id = problem["request_id"]
        .as_str()
        .context("no name")?
        .to_owned();
    logged(&server, |line| line.contains(&id) && line.contains("ERROR")).await?;
    Ok(())
}
