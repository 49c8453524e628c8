//! Forms with many files: each has its link, and one that is cut leaves nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Request, Turn};

use crate::{ledger_at_zero, setup, until};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_in_one_form_are_told_in_their_order() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
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
    let delete = Request::new("DELETE", Client::path_of(delete));
    client.send(&delete, &[]).await?.expect(204)?;

    let told = client.send(&form("text/plain"), &body).await?.expect(201)?;
    let text = told.text();
    let links: Vec<&str> = text.lines().collect();
    ensure!(links.len() == files.len(), "{text}");
    client.fetch(links[5], &files[5]).await?;
    ledger_at_zero(&client).await
}

/// The client goes in the middle, by a reset and by an orderly close, or sends what is no form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_cut_leaves_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let stored = async || {
        let metrics = client.metrics().await?;
        metrics.get("ddx_files").copied().context("no ddx_files")
    };
    let files = files();
    let body: Vec<u8> = (0..)
        .zip(&files)
        .flat_map(|(n, data)| part(n, data))
        .collect();
    let announced = form("*/*").header("Content-Length", body.len() + 1_000);
    for ending in ["reset", "close", "rubbish"] {
        let mut conn = client.connect().await?;
        conn.send_head(&announced).await?;
        conn.send(&body).await?;
        until("some files are there", Duration::from_secs(20), || async {
            Ok(stored().await? >= 100.0)
        })
        .await?;
        // Four steps of 64 files beyond the first one, of 128 bytes each.
        until("its list is charged", Duration::from_secs(20), || async {
            Ok(client.status().await?.accounts()?["answers"] == 4 * 64 * 128)
        })
        .await?;
        match ending {
            "reset" => conn.reset()?,
            "close" => drop(conn),
            _ => {
                conn.send(&[b'-'; 1_000]).await?;
                conn.response("POST").await?.expect_problem(400)?;
            }
        }
        until("none is there", Duration::from_secs(20), || async {
            Ok(stored().await? == 0.0)
        })
        .await
        .context(ending)?;
    }
    ledger_at_zero(&client).await
}
