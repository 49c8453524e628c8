//! The way a person goes: send a file with what is at hand, get a link, fetch it, delete it.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Request};

use crate::support::{TestApp, path_of};

#[tokio::test]
async fn json_comes_to_those_who_ask_for_it() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let data = Data::new(31, 100_000);
    let answer = client
        .put_with("a.txt", &data, &[("Accept", "application/json")])
        .await?
        .expect(201)?
        .json()?;
    let file = &answer["files"][0];
    ensure!(
        file["name"] == "a.txt" && file["size_bytes"] == 100_000 && file["state"] == "complete",
        "{answer}"
    );
    ensure!(file["blake3"] == data.blake3_hex(), "{answer}");
    let link = file["link"].as_str().context("no link")?;
    client.fetch(link, &data).await?;
    let delete = file["delete_link"].as_str().context("no delete_link")?;
    let deleted = client
        .send(&Request::new("DELETE", path_of(delete)), &[])
        .await?;
    ensure!(matches!(deleted.status, 200 | 204), "{deleted:?}");
    ensure!(matches!(client.get(link).await?.status, 404 | 410));
    let again = client
        .send(&Request::new("DELETE", path_of(delete)), &[])
        .await?;
    ensure!(matches!(again.status, 204 | 404 | 410), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn the_api_answers_as_agreed() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    for path in ["/healthz", "/readyz", "/metrics"] {
        client.get(path).await?.expect(200)?;
    }
    let limits = client.json("/api/v1/limits").await?;
    ensure!(
        limits["request_body_bytes_max"] == 95 * MIB
            && limits["free_bytes"].as_u64() > Some(0)
            && limits["version"].is_string(),
        "{limits}"
    );
    let status = client.status().await?;
    ensure!(
        status.active_uploads()? == 0.0 && status.slots_available()? >= 1.0,
        "{status:?}"
    );
    ensure!(
        status.memory("total_gb")? > 0.0 && status.memory("percent")? < 100.0,
        "{status:?}"
    );
    let page = client
        .send(&Request::new("GET", "/").header("Accept", "text/html"), &[])
        .await?
        .expect(200)?;
    ensure!(
        page.field("content-type")?.starts_with("text/html"),
        "{:?}",
        page.head
    );
    for path in [
        "/d/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/d/aaaaaaaaaaaaaaaaaaaaaaaaaa/x.txt",
        "/api/v1/shares/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/api/v1/nothing",
    ] {
        client.get(path).await?.expect_problem(404)?;
    }
    Ok(())
}
