//! tus 1.0.0: the ways to create an upload, concatenation, and what browsers and old proxies need.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, Part, Request, Tus, metadata};

use crate::support::{TestApp, ledger_at_zero, new_share, path_of, until};

#[tokio::test]
async fn options_tell_all_that_is_spoken() -> Result<()> {
    let server = TestApp::start().await?;
    let answer = server
        .client()
        .send(&Request::new("OPTIONS", "/files"), &[])
        .await?;
    ensure!(matches!(answer.status, 200 | 204), "{answer:?}");
    ensure!(
        answer
            .field("tus-version")?
            .split(',')
            .any(|version| version == "1.0.0"),
        "{answer:?}"
    );
    let extensions: Vec<&str> = answer
        .field("tus-extension")?
        .split(',')
        .map(str::trim)
        .collect();
    for wanted in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "checksum-trailer",
        "expiration",
        "termination",
        "concatenation",
        "concatenation-unfinished",
    ] {
        ensure!(
            extensions.contains(&wanted),
            "{wanted} is not among {extensions:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_is_created_with_all_its_headers() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let tus = Tus::new(&client);
    let upload = tus.create(Some(10), "a.txt").await?;
    for name in [
        "location",
        "x-url-share",
        "x-url-delete",
        "x-file-id",
        "x-share-id",
        "upload-expires",
        "tus-resumable",
    ] {
        upload.created.field(name)?;
    }
    ensure!(
        upload.created.field("location")?.starts_with("/files/"),
        "{upload:?}"
    );
    ensure!(
        upload.link()? == server.url(&format!("/d/{}", upload.share_id()?)),
        "{upload:?}"
    );
    ensure!(
        !upload
            .link()?
            .contains(upload.path.trim_start_matches("/files/")),
        "the link must not give the right to write"
    );
    for headers in [
        &[][..],
        &[("Upload-Length", "x")],
        &[("Upload-Length", "-1")],
        &[("Upload-Length", "99999999999999999999999")],
        &[("Upload-Defer-Length", "2")],
        &[("Upload-Length", "1"), ("Upload-Defer-Length", "1")],
        &[("Upload-Length", "1"), ("Upload-Metadata", "filename !!!")],
    ] {
        let refused = tus.post(headers, &[]).await?;
        ensure!(
            matches!(refused.status, 400 | 413),
            "{headers:?}: {refused:?}"
        );
    }
    let empty = tus.create(Some(0), "empty").await?;
    client
        .fetch(empty.link()?, &Data::new(0, 0))
        .await
        .context("a file of no bytes is complete when it is created")?;
    Ok(())
}

#[tokio::test]
async fn creation_can_bring_the_first_bytes_or_all() -> Result<()> {
    let server = TestApp::start().await?;
    let tus = Tus::new(&server.client());
    for (length, first) in [
        (1000, 1000),
        (1000, 1),
        (5 * MIB, MIB + 1),
        (5 * MIB, 5 * MIB),
    ] {
        let data = Data::new(length, length);
        let length_text = length.to_string();
        let created = tus
            .post(
                &[
                    ("Upload-Length", &length_text),
                    ("Content-Type", "application/offset+octet-stream"),
                    ("Upload-Metadata", &metadata(&[("filename", "cw.bin")])),
                ],
                &data.bytes(0..first),
            )
            .await?
            .expect(201)?;
        ensure!(created.number("upload-offset")? == first, "{created:?}");
        let path = path_of(created.field("location")?).to_owned();
        if first < length {
            ensure!(tus.offset(&path).await? == first);
            tus.finish_from(&path, &data, first).await?;
        }
        server
            .client()
            .fetch(created.field("x-url-share")?, &data)
            .await?;
    }
    ledger_at_zero(&server.client()).await
}

#[tokio::test]
async fn the_length_can_be_told_later_but_once() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(3, 100_000);
    let upload = tus.create(None, "later.bin").await?;
    let head = tus.head(&upload.path).await?.expect(200)?;
    ensure!(
        head.get("upload-defer-length") == Some("1") && head.get("upload-length").is_none(),
        "{head:?}"
    );
    tus.patch(&upload.path, &data, 0..10_000)
        .await?
        .expect(204)?;
    let length = data.len().to_string();
    let told = Tus::patch_head(&upload.path, 10_000, 10_000).header("Upload-Length", length);
    client
        .send(&told, &data.bytes(10_000..20_000))
        .await?
        .expect(204)?;
    let head = tus.head(&upload.path).await?.expect(200)?;
    ensure!(
        head.get("upload-defer-length").is_none() && head.number("upload-length")? == data.len(),
        "{head:?}"
    );
    let told = Tus::patch_head(&upload.path, 20_000, 10_000).header("Upload-Length", 200_000);
    let changed = client.send(&told, &data.bytes(20_000..30_000)).await?;
    ensure!(
        (400..500).contains(&changed.status),
        "a length can't be changed: {changed:?}"
    );
    let at = tus.offset(&upload.path).await?;
    tus.finish_from(&upload.path, &data, at).await?;
    server.client().fetch(upload.link()?, &data).await?;
    Ok(())
}

#[tokio::test]
async fn parts_become_one_file_without_waiting() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(11, 9 * MIB + 123);
    let borders = [0, 3 * MIB + 1, 3 * MIB + 2, 7 * MIB, data.len()];
    for finished_first in [true, false] {
        let mut parts = Vec::new();
        for pair in borders.windows(2) {
            parts.push(
                tus.create_part(Part::Partial, pair[1] - pair[0], "part")
                    .await?,
            );
        }
        let head = tus.head(&parts[0].path).await?.expect(200)?;
        ensure!(head.field("upload-concat")? == "partial", "{head:?}");
        let send = async |index: usize| -> Result<()> {
            let (start, end) = (borders[index], borders[index + 1]);
            let head = Tus::patch_head(&parts[index].path, 0, end - start);
            let piece = data.bytes(start..end);
            client.send(&head, &piece).await?.expect(204)?;
            Ok(())
        };
        if finished_first {
            for index in 0..parts.len() {
                send(index).await?;
            }
        }
        let whole = tus.create_part(Part::Final(&parts), 0, "whole.bin").await?;
        if !finished_first {
            for index in [3, 0, 2] {
                send(index).await?;
            }
            let head = tus.head(&whole.path).await?.expect(200)?;
            ensure!(
                head.get("upload-offset")
                    .is_none_or(|offset| offset != data.len().to_string()),
                "one part is still missing: {head:?}"
            );
            send(1).await?;
        }
        client
            .fetch(whole.link()?, &data)
            .await
            .context("the link is ready with the last byte")?;
        let head = tus.head(&whole.path).await?.expect(200)?;
        ensure!(
            head.field("upload-concat")?.starts_with("final;")
                && head.number("upload-length")? == data.len(),
            "{head:?}"
        );
        let refused = tus
            .patch_raw(
                &whole.path,
                &[
                    ("Content-Type", "application/offset+octet-stream"),
                    ("Upload-Offset", "0"),
                ],
                b"x",
            )
            .await?;
        ensure!(
            refused.status == 403,
            "a final upload takes no bytes: {refused:?}"
        );
        let id = whole.file_id()?;
        until(
            "the digest of the joined file is known",
            Duration::from_secs(30),
            || async {
                let file = client
                    .json(&format!("/api/v1/system/upload-progress/{id}"))
                    .await?;
                ensure!(file["state"] == "complete", "{file}");
                ensure!(
                    file["blake3"].is_null() || file["blake3"] == data.blake3_hex(),
                    "a wrong digest: {file}"
                );
                Ok(file["blake3"].is_string())
            },
        )
        .await?;
        for part in &parts {
            tus.delete(&part.path).await?; // the whole stays whole, whatever becomes of its parts' URLs
        }
        client
            .fetch(whole.link()?, &data)
            .await
            .context("after its parts were deleted")?;
    }
    let refused = tus
        .post(
            &[("Upload-Concat", "final;/files/aaaaaaaaaaaaaaaaaaaaaaaaaa")],
            &[],
        )
        .await?;
    ensure!(
        (400..500).contains(&refused.status),
        "an unknown part: {refused:?}"
    );
    ledger_at_zero(&client).await
}

#[tokio::test]
async fn methods_may_be_written_into_a_header() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(12, 5000);
    let upload = tus.create(Some(data.len()), "x.bin").await?;
    let patch = Tus::request("POST", &upload.path).headers(&[
        ("X-HTTP-Method-Override", "PATCH"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Upload-Offset", "0"),
    ]);
    client.send(&patch, &data.all()).await?.expect(204)?;
    let head = client
        .send(
            &Tus::request("POST", &upload.path).header("X-HTTP-Method-Override", "HEAD"),
            &[],
        )
        .await?;
    ensure!(
        head.status == 200 && head.number("upload-offset")? == data.len(),
        "{head:?}"
    );
    client
        .send(
            &Tus::request("POST", &upload.path).header("X-HTTP-Method-Override", "DELETE"),
            &[],
        )
        .await?
        .expect(204)?;
    ensure!(matches!(tus.head(&upload.path).await?.status, 404 | 410));
    Ok(())
}

#[tokio::test]
async fn pages_of_other_sites_may_upload_by_tus() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let asked = Request::new("OPTIONS", "/files").headers(&[
        ("Origin", "https://example.org"),
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "tus-resumable,upload-length,upload-metadata,upload-checksum,x-http-method-override",
        ),
    ]);
    let answer = client.send(&asked, &[]).await?;
    ensure!(matches!(answer.status, 200 | 204), "{answer:?}");
    ensure!(
        matches!(
            answer.field("access-control-allow-origin")?,
            "*" | "https://example.org"
        ),
        "{answer:?}"
    );
    let methods = answer.field("access-control-allow-methods")?.to_uppercase();
    ensure!(
        methods == "*"
            || ["POST", "PATCH", "HEAD", "DELETE"]
                .iter()
                .all(|method| methods.contains(method)),
        "{methods}"
    );
    let headers = answer.field("access-control-allow-headers")?.to_lowercase();
    ensure!(
        headers == "*"
            || [
                "tus-resumable",
                "upload-offset",
                "upload-length",
                "upload-metadata",
                "upload-checksum",
                "x-http-method-override",
                "content-type"
            ]
            .iter()
            .all(|name| headers.contains(name)),
        "{headers}"
    );

    let created = client
        .send(
            &Tus::request("POST", "/files")
                .headers(&[("Upload-Length", "5"), ("Origin", "https://example.org")]),
            &[],
        )
        .await?
        .expect(201)?;
    let exposed = created
        .field("access-control-expose-headers")?
        .to_lowercase();
    for name in [
        "location",
        "upload-offset",
        "upload-length",
        "upload-expires",
        "tus-resumable",
        "x-url-share",
        "x-url-delete",
        "x-file-id",
        "x-share-id",
    ] {
        ensure!(
            exposed == "*" || exposed.contains(name),
            "{name} is not exposed: {exposed}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_joining_that_is_refused_leaves_the_parts_whole() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.engine.file_bytes_max = Some(3 * MIB);
    })
    .await?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(12, 2 * MIB);
    let mut parts = Vec::new();
    for _ in 0..2 {
        let part = tus.create_part(Part::Partial, data.len(), "part").await?;
        tus.finish_from(&part.path, &data, 0).await?;
        parts.push(part);
    }
    let concat = format!("final;{} {}", parts[0].path, parts[1].path);
    tus.post(&[("Upload-Concat", &concat)], &[])
        .await?
        .expect_problem(413)?;
    for part in parts {
        let whole = tus
            .create_part(Part::Final(&[part]), 0, "whole.bin")
            .await?;
        client.fetch(whole.link()?, &data).await?;
    }
    Ok(())
}

/// Files of one name in one share are told apart by a number, and each costs about as much as the
/// first.
#[tokio::test]
async fn a_name_may_be_taken_many_times() -> Result<()> {
    const FILES: usize = 300;
    let server = TestApp::start().await?;
    let client = server.client();
    let (id, key) = new_share(&client).await?;
    let pairs = metadata(&[("filename", "a.txt"), ("share", &key)]);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (tus, pairs) = (Tus::new(&client), pairs.clone());
        tasks.spawn(async move {
            for _ in (worker..FILES).step_by(4) {
                tus.create_with(Some(10), &[("Upload-Metadata", &pairs)])
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect::<Result<()>>()?;
    let listed = client.json(&format!("/api/v1/shares/{id}")).await?;
    let files = listed["files"].as_array().context("no files")?;
    let paths: std::collections::BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    let expected = (2..=FILES).map(|number| format!("a ({number}).txt"));
    for path in expected.chain(["a.txt".to_owned()]) {
        ensure!(
            paths.contains(path.as_str()),
            "{path} is not there: {paths:?}"
        );
    }
    ensure!(files.len() == FILES);
    Ok(())
}
