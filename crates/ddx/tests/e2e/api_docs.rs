//! The page that shows the API's contract.

use anyhow::{Context as _, Result, ensure};
use ddx_testkit::{Request, Turn};

use crate::setup;

const PAGE: &str = "/api/docs";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_api_is_served_as_the_others_are() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let front = client.get("/").await?.expect(200)?;
    let page = client.get(PAGE).await?.expect(200)?;
    ensure!(
        front
            .field("content-security-policy")?
            .contains("default-src 'none'")
    );
    for name in [
        "cache-control",
        "content-security-policy",
        "content-type",
        "referrer-policy",
        "vary",
        "x-content-type-options",
    ] {
        ensure!(page.field(name)? == front.field(name)?, "{name}");
    }
    let known = Request::new("GET", PAGE).header("If-None-Match", page.field("etag")?);
    client.send(&known, &[]).await?.expect(304)?;
    let packed = Request::new("GET", PAGE).header("Accept-Encoding", "br");
    let packed = client.send(&packed, &[]).await?.expect(200)?;
    ensure!(packed.field("content-encoding")? == "br");
    let head = client
        .send(&Request::new("HEAD", PAGE), &[])
        .await?
        .expect(200)?;
    ensure!(head.field("etag")? == page.field("etag")?);

    let text = page.text();
    let mut assets = 0;
    for rest in text.split("=\"/").skip(1) {
        let (path, _) = rest.split_once('"').context("an open quote")?;
        client.get(&format!("/{path}")).await?.expect(200)?;
        assets += 1;
    }
    ensure!(assets > 1, "no pages in this binary: {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_takes_the_address_of_the_page() -> Result<()> {
    let _turn = Turn::shared()?;
    for prefix in ["", "/box"] {
        let server = setup().option("--path-prefix", prefix).start()?;
        let client = server.client();
        let put = Request::new("PUT", &format!("{prefix}{PAGE}")).header("Content-Length", 1);
        client.send(&put, b"x").await?.expect_problem(405)?;
        client.get(&format!("{prefix}{PAGE}")).await?.expect(200)?;
    }
    Ok(())
}
