//! What a receiver meets whose file still arrives.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Pace, Turn, Tus};

use crate::{ledger_at_zero, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_may_begin_while_the_upload_still_runs() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let ready = Data::new(51, 8 * MIB);
    let ready_link = client.put_for_link("ready.bin", &ready).await?;

    let tus = Tus::new(&client);
    let data = Data::new(52, 4 * MIB);
    let upload = tus.create(Some(data.len()), "slow.bin").await?;
    let sending = tokio::spawn({
        let (tus, path) = (tus.clone(), upload.path.clone());
        async move {
            tus.patch_with(
                &path,
                &data,
                0..data.len(),
                &[],
                Some(Pace {
                    step_bytes: 64 * 1024,
                    pause: Duration::from_millis(40),
                }),
            )
            .await
        }
    });
    let following = tokio::spawn({
        let (client, link) = (client.clone(), upload.link()?.to_owned());
        async move { client.fetch(&link, &data).await }
    });
    // Another download is not held up by the upload.
    client.fetch(&ready_link, &ready).await?;
    ensure!(
        !sending.is_finished(),
        "the upload was to be the slower one"
    );
    sending.await??.expect(204)?;
    following
        .await?
        .context("a download that follows an upload")?;
    client.fetch(upload.link()?, &data).await?;
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_follows_an_upload_never_sees_what_a_checksum_takes_back() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(53, 2 * MIB);
    let upload = tus.create(Some(data.len()), "checked.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    let following = tokio::spawn({
        let (client, link) = (client.clone(), upload.link()?.to_owned());
        async move { client.fetch(&link, &data).await }
    });
    // Other bytes, which its checksum is not of, arrive slowly enough to be read, and are then
    // taken back.
    let wrong = Data::new(54, data.len());
    let pace = Pace {
        step_bytes: 64 * 1024,
        pause: Duration::from_millis(30),
    };
    tus.patch_with(
        &upload.path,
        &wrong,
        MIB..data.len(),
        &[("Upload-Checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
        Some(pace),
    )
    .await?
    .expect(460)?;
    ensure!(!following.is_finished(), "it has to wait for the rest");
    tus.finish_from(&upload.path, &data, MIB).await?;
    following.await?.context("the reader that followed")?;
    ledger_at_zero(&client).await
}

/// The first bytes of an upload come slowly, one by one, while it is followed: each arrives, and in
/// its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_an_upload_from_before_its_first_byte_gets_every_byte() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    for (length, told) in [
        (10_000, true),
        (10_000, false),
        (60_000, true),
        (60_000, false),
    ] {
        let data = Data::new(length, length);
        let upload = tus.create(told.then_some(length), "follow.bin").await?;
        let fetching = tokio::spawn({
            let (client, link) = (client.clone(), upload.link()?.to_owned());
            async move { client.fetch(&link, &data).await }
        });
        let pace = Pace {
            step_bytes: 250,
            pause: Duration::from_millis(5),
        };
        let length_text = length.to_string();
        let late = [("Upload-Length", length_text.as_str())];
        let sent = tus
            .patch_with(&upload.path, &data, 0..length, &late, Some(pace))
            .await?;
        sent.expect(204)?;
        fetching
            .await?
            .with_context(|| format!("{length} bytes, their number told at once: {told}"))?;
    }
    ledger_at_zero(&client).await?;
    // What is stopped has written its whole log.
    server.terminate(Duration::from_secs(30))?;
    ensure!(
        !server.log().contains("ERROR"),
        "it is no error: {}",
        server.log()
    );
    Ok(())
}
