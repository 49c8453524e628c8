//! The API against its contract, by a program that reads it and tries what it allows and what it
//! does not.

use anyhow::{Context as _, Result, ensure};
use ddx_testkit::{Data, Turn, python};

use crate::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_the_contract_says() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(1, 100_000);
    let link = client.put_for_link("a%20folder/a.bin", &data).await?;
    let share_id = link.rsplit('/').next().context("no id in the link")?;
    let share = client.json(&format!("/api/v1/shares/{share_id}")).await?;
    let file_id = share["files"][0]["file_id"].clone();
    ensure!(file_id.is_string(), "{share}");
    let parameters = serde_json::json!({
        "share_id": share_id,
        "file_id": file_id,
        "path": "a%20folder/a.bin",
    });
    let report = python("contract.py")?
        .args([server.url(""), parameters.to_string()])
        .finish()
        .await?
        .success()?;
    // All but the three streams.
    ensure!(report.stdout.contains("Tested: 14"), "{}", report.stdout);
    client.fetch(&link, &data).await?;
    Ok(())
}
