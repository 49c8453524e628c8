//! Forms with many files: one that is cut leaves nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use ddx_testkit::{Data, Request, Turn};

use crate::{ledger_at_zero, setup, until};

/// Each file of a form is two commits to the disk, which other programs may keep busy.
const WITHIN: Duration = Duration::from_secs(120);

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
        until("some files are there", WITHIN, || async {
            Ok(stored().await? >= 100.0)
        })
        .await?;
        // Four steps of 64 files beyond the first one, of 128 bytes each.
        until("its list is charged", WITHIN, || async {
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
        until("none is there", WITHIN, || async {
            Ok(stored().await? == 0.0)
        })
        .await
        .context(ending)?;
    }
    ledger_at_zero(&client).await
}
