//! The way a person goes: send a file with what is at hand, get a link, fetch it, delete it.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Turn, Tus, metadata};

use crate::{ledger_at_zero, new_share, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_in_by_put_and_comes_out_the_same() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    for (seed, length) in [
        (1, 64 * MIB),
        (2, 0),
        (3, 1),
        (4, 4095),
        (5, 4097),
        (6, 3 * MIB + 11),
    ] {
        let data = Data::new(seed, length);
        let answer = client
            .put(&format!("file-{length}.bin"), &data)
            .await?
            .expect(201)?;
        let link = answer.text().trim().to_owned();
        ensure!(
            answer.field("x-url-share")? == link,
            "{link} and {answer:?}"
        );
        ensure!(link.starts_with(&server.url("/d/")), "{link}");
        let fetched = client
            .fetch(&link, &data)
            .await
            .with_context(|| format!("{length} bytes"))?;
        ensure!(
            fetched.head.number("content-length")? == length,
            "{:?}",
            fetched.head
        );
        let file = client
            .json(&format!(
                "/api/v1/system/upload-progress/{}",
                answer.field("x-file-id")?
            ))
            .await?;
        ensure!(
            file["state"] == "complete"
                && file["size_bytes"] == length
                && file["received_bytes"] == length,
            "{file}"
        );
        ensure!(
            file["blake3"] == data.blake3_hex(),
            "the digest shown is not that of the bytes: {file}"
        );
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_also_stands_below_a_prefix() -> Result<()> {
    let _turn = Turn::shared()?;
    for prefix in ["/box/up", "/box/d", "/D"] {
        let server = setup().option("--path-prefix", prefix).start()?;
        let client = server.client();
        let below = |path: &str| format!("{prefix}{path}");
        let data = Data::new(9, 70_000);
        let link = client
            .put_for_link(below("/a%20b.bin").trim_start_matches('/'), &data)
            .await?;
        ensure!(link.starts_with(&server.url(&below("/d/"))), "{link}");
        client.fetch(&link, &data).await?;

        let created = client
            .send(
                &Tus::request("POST", &below("/files"))
                    .header("Upload-Length", data.len())
                    .header("Upload-Metadata", metadata(&[("relativePath", "d/d/x y")])),
                &[],
            )
            .await?
            .expect(201)?;
        let upload = Client::path_of(created.field("location")?);
        ensure!(upload.starts_with(&below("/files/")), "{upload}");
        Tus::new(&client).finish_from(upload, &data, 0).await?;
        let share = below(&format!("/d/{}", created.field("x-share-id")?));
        client.fetch(&format!("{share}/d/d/x%20y"), &data).await?;

        for front in [below(""), below("/")] {
            let page = client.get(&front).await?.expect(200)?.text();
            let mut assets = page.split("=\"/").skip(1).peekable();
            ensure!(assets.peek().is_some(), "no pages in this binary: {page}");
            for rest in assets {
                let (path, _) = rest.split_once('"').context("an open quote")?;
                client.get(&format!("/{path}")).await?.expect(200)?;
            }
        }
        client.get(&below("/healthz")).await?.expect(200)?;
    }
    for own in ["/d", "/files/up", "/api"] {
        let refused = setup().run_to_end(&["serve", "--path-prefix", own])?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            !refused.status.success() && said.contains("one of the server's own paths"),
            "{own}: {said}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_is_not_known_needs_no_telling() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    for (length, chunk) in [(5 * MIB + 3, 100_000), (10, 3), (0, 1), (70_000, 1000)] {
        let data = Data::new(length, length);
        let answer = client
            .put_chunked("dir.tar", &data, chunk)
            .await?
            .expect(201)?;
        client.fetch(answer.text().trim(), &data).await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_one_share_with_many_files() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let (id, key) = new_share(&client).await?;
    let key = key.as_str();
    let mut events = client
        .events(&format!("/api/v1/shares/{id}/events"))
        .await?;
    let files = [
        ("dir/a.txt", Data::new(61, 10)),
        ("dir/b.txt", Data::new(62, 100_000)),
        ("c.txt", Data::new(63, 0)),
    ];
    for (path, data) in files {
        let pairs = metadata(&[
            ("filename", path.rsplit('/').next().unwrap_or(path)),
            ("relativePath", path),
            ("share", key),
        ]);
        let upload = tus
            .create_with(Some(data.len()), &[("Upload-Metadata", &pairs)])
            .await?;
        if !data.is_empty() {
            tus.finish_from(&upload.path, &data, 0).await?;
        }
        let seen = events
            .until("file", |file| {
                file["path"] == path && file["state"] == "complete"
            })
            .await?;
        ensure!(seen["received_bytes"] == data.len(), "{seen}");
    }
    let listed = client.json(&format!("/api/v1/shares/{id}")).await?;
    let mut paths: Vec<&str> = listed["files"]
        .as_array()
        .context("no files")?
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    paths.sort_unstable();
    ensure!(paths == ["c.txt", "dir/a.txt", "dir/b.txt"], "{listed}");
    for (path, data) in files {
        client
            .fetch(&format!("/d/{id}/{path}"), &data)
            .await
            .with_context(|| path.to_owned())?;
    }
    let wrong_key = metadata(&[("filename", "x"), ("share", "aaaaaaaaaaaaaaaaaaaaaaaaaa")]);
    let refused = tus
        .post(
            &[("Upload-Length", "1"), ("Upload-Metadata", &wrong_key)],
            &[],
        )
        .await?;
    ensure!(
        (400..500).contains(&refused.status),
        "a wrong share key: {refused:?}"
    );
    Ok(())
}
