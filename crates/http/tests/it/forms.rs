//! Forms with many files: each has its link.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, Request};

use crate::support::{TestApp, ledger_at_zero, path_of};

const FILES: u64 = 300;

fn part(number: u64, data: &Data) -> Vec<u8> {
    let mut part = format!(
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{}.bin\"\r\n\r\n",
        // Sent in another order than that of the names.
        FILES - number
    )
    .into_bytes();
    part.extend(data.all());
    part.extend(b"\r\n");
    part
}

fn files() -> Vec<Data> {
    (0..FILES).map(|seed| Data::new(seed, 100 + seed)).collect()
}

fn form(accept: &str) -> Request {
    Request::new("POST", "/")
        .header("Accept", accept)
        .header("Content-Type", "multipart/form-data; boundary=b")
}

#[tokio::test]
async fn many_files_in_one_form_are_told_in_their_order() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let files = files();
    let mut body: Vec<u8> = (0..)
        .zip(&files)
        .flat_map(|(n, data)| part(n, data))
        .collect();
    body.extend(
        b"--b\r\nContent-Disposition: form-data; name=\"max_downloads\"\r\n\r\n2\r\n--b--\r\n",
    );

    let told = client
        .send(&form("application/json"), &body)
        .await?
        .expect(201)?;
    ensure!(told.field("x-url-share")?.contains("/d/"));
    let told = told.json()?;
    let listed = told["files"].as_array().context("no files")?;
    ensure!(listed.len() == files.len(), "{}", listed.len());
    for (number, (file, data)) in (0..).zip(listed.iter().zip(&files)) {
        ensure!(file["path"] == format!("{}.bin", FILES - number), "{file}");
        if number % 50 == 0 {
            let link = file["link"].as_str().context("no link")?;
            client.fetch(link, data).await?;
            client.fetch(link, data).await?;
            client.get(link).await?.expect_problem(410)?;
        }
    }
    let delete = listed[7]["delete_link"]
        .as_str()
        .context("no delete_link")?;
    let delete = Request::new("DELETE", path_of(delete));
    client.send(&delete, &[]).await?.expect(204)?;

    let told = client.send(&form("text/plain"), &body).await?.expect(201)?;
    let text = told.text();
    let links: Vec<&str> = text.lines().collect();
    ensure!(links.len() == files.len(), "{text}");
    client.fetch(links[5], &files[5]).await?;
    ledger_at_zero(&client).await
}
