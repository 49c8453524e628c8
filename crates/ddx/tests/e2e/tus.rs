//! tus 1.0.0: offsets, hand-over, checksums, and the ends of an upload.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, MIB, Request, Run, Turn, Tus, metadata};

use crate::{ledger_at_zero, setup};

const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_on_where_the_offset_says() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let tus = Tus::new(&server.client());
    let data = Data::new(1, 2 * MIB + 5);
    let upload = tus.create(Some(data.len()), "o.bin").await?;
    let mut at = 0;
    for end in [1, 4096, 4097, 70_000, MIB, data.len()] {
        let answer = tus.patch(&upload.path, &data, at..end).await?.expect(204)?;
        ensure!(
            answer.number("upload-offset")? == end && answer.field("tus-resumable")? == "1.0.0",
            "{answer:?}"
        );
        ensure!(tus.offset(&upload.path).await? == end);
        at = end;
    }
    let head = tus.head(&upload.path).await?.expect(200)?;
    ensure!(
        head.field("cache-control")?.contains("no-store"),
        "{head:?}"
    );
    ensure!(
        head.number("upload-length")? == data.len()
            && head.field("upload-metadata")? == metadata(&[("filename", "o.bin")]),
        "{head:?}"
    );
    server.client().fetch(upload.link()?, &data).await?;
    server
        .client()
        .fetch(&upload.path, &data)
        .await
        .context("GET of the upload's URL gives its bytes")?;
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_apart_and_changes_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let tus = Tus::new(&server.client());
    let data = Data::new(2, 1000);
    let upload = tus.create(Some(data.len()), "w.bin").await?;
    tus.patch(&upload.path, &data, 0..100).await?.expect(204)?;
    let bytes = data.bytes(100..200);

    let offset = ("Upload-Offset", "100");
    tus.patch_raw(&upload.path, &[OCTETS, ("Upload-Offset", "99")], &bytes)
        .await?
        .expect_problem(409)?;
    tus.patch_raw(&upload.path, &[OCTETS, ("Upload-Offset", "101")], &bytes)
        .await?
        .expect_problem(409)?;
    tus.patch_raw(&upload.path, &[OCTETS], &bytes)
        .await?
        .expect_problem(400)?;
    tus.patch_raw(&upload.path, &[OCTETS, ("Upload-Offset", "-1")], &bytes)
        .await?
        .expect_problem(400)?;
    tus.patch_raw(
        &upload.path,
        &[("Content-Type", "text/plain"), offset],
        &bytes,
    )
    .await?
    .expect_problem(415)?;
    tus.patch_raw(&upload.path, &[offset], &bytes)
        .await?
        .expect_problem(415)?;
    tus.patch_raw(&upload.path, &[OCTETS, offset], &[0; 901])
        .await?
        .expect_problem(413)?;
    tus.patch_raw(
        "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        &[OCTETS, ("Upload-Offset", "0")],
        &bytes,
    )
    .await?
    .expect_problem(404)?;
    tus.patch_raw(
        "/files/not-a-key",
        &[OCTETS, ("Upload-Offset", "0")],
        &bytes,
    )
    .await?
    .expect_problem(404)?;
    ensure!(matches!(
        tus.head("/files/aaaaaaaaaaaaaaaaaaaaaaaaaa").await?.status,
        404 | 410
    ));

    let client = server.client();
    let versionless = Request::new("PATCH", &upload.path).headers(&[OCTETS, offset]);
    let refused = client.send(&versionless, &bytes).await?.expect(412)?;
    ensure!(refused.field("tus-version")? == "1.0.0", "{refused:?}");
    client
        .send(&versionless.header("Tus-Resumable", "0.2.2"), &bytes)
        .await?
        .expect(412)?;

    ensure!(
        tus.offset(&upload.path).await? == 100,
        "refusals change nothing"
    );
    tus.finish_from(&upload.path, &data, 100).await?;
    client.fetch(upload.link()?, &data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_request_takes_over_and_the_bytes_are_kept() -> Result<()> {
    let _turn = Turn::shared()?;
    // A hand-over that waits for the silent request waits for an hour.
    let server = setup().option("--body-idle-timeout", "1h").start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    for length in [2 * MIB, 64 * MIB] {
        let data = Data::new(3, length);
        let upload = tus.create(Some(length), "h.bin").await?;
        let sent = length / 2 + 17;

        // A request that sent half and then fell silent, as after a lost network.
        let mut silent = client.connect().await?;
        silent
            .send_head(&Tus::patch_head(&upload.path, 0, length))
            .await?;
        silent.send_data(&data, 0..sent, None).await?;
        let arrived = |client: Client, id: String| async move {
            client
                .json(&format!("/api/v1/system/upload-progress/{id}"))
                .await
        };
        crate::until("the bytes arrive", Duration::from_secs(10), || async {
            Ok(
                arrived(client.clone(), upload.file_id()?.to_owned()).await?["received_bytes"]
                    .as_u64()
                    >= Some(sent),
            )
        })
        .await?;

        let offset = tus.offset(&upload.path).await?;
        ensure!(
            offset == sent,
            "HEAD tells {offset} of {sent} bytes that arrived"
        );
        tus.finish_from(&upload.path, &data, offset)
            .await
            .context("a second request is never answered with 423")?;
        silent
            .await_close()
            .await
            .context("the earlier request is ended")?;
        client.fetch(upload.link()?, &data).await?;
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_takers_at_once_leave_one_whole_file() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(4, 8 * MIB);
    let upload = Tus::new(&client).create(Some(data.len()), "m.bin").await?;
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let (tus, path) = (Tus::new(&client), upload.path.clone());
            tokio::spawn(async move { tus.persist(&path, &data, Duration::from_secs(60)).await })
        })
        .collect();
    for taker in takers {
        taker
            .await?
            .context("each ends, and sees no offset go back")?;
    }
    client.fetch(upload.link()?, &data).await?;
    ledger_at_zero(&client).await
}

/// The value of `Upload-Checksum` for these bytes, computed by another program than ours.
async fn checksum(server: &ddx_testkit::Server, algorithm: &str, bytes: &[u8]) -> Result<String> {
    let file = server.scratch().join(format!("sum-{algorithm}"));
    std::fs::write(&file, bytes)?;
    let script = "import sys,base64,hashlib,zlib\na,f=sys.argv[1:]\nb=open(f,'rb').read()\nd=zlib.crc32(b).to_bytes(4,'big') if a=='crc32' else hashlib.new(a,b).digest()\nprint(a,base64.b64encode(d).decode())";
    Ok(Run::new("python3")
        .args(["-c", script, algorithm])
        .arg(&file)
        .finish()
        .await?
        .success()?
        .stdout
        .trim()
        .to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_are_checked_before_the_offset_moves() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let options = client.send(&Request::new("OPTIONS", "/files"), &[]).await?;
    let known: Vec<&str> = options
        .field("tus-checksum-algorithm")?
        .split(',')
        .map(str::trim)
        .collect();
    for algorithm in ["sha1", "sha256", "sha512", "md5", "crc32"] {
        ensure!(
            known.contains(&algorithm),
            "{algorithm} is not among {known:?}"
        );
        for length in [1000_u64, 300_000] {
            let data = Data::new(5, length * 2);
            let upload = tus.create(Some(data.len()), "c.bin").await?;
            let (first, second) = (data.bytes(0..length), data.bytes(length..2 * length));
            let right = checksum(&server, algorithm, &first).await?;
            tus.patch_raw(
                &upload.path,
                &[OCTETS, ("Upload-Offset", "0"), ("Upload-Checksum", &right)],
                &first,
            )
            .await?
            .expect(204)
            .with_context(|| algorithm.to_owned())?;
            let offset = length.to_string();
            let wrong = tus
                .patch_raw(
                    &upload.path,
                    &[
                        OCTETS,
                        ("Upload-Offset", &offset),
                        ("Upload-Checksum", &right),
                    ],
                    &second,
                )
                .await?;
            ensure!(wrong.status == 460, "{algorithm}: {wrong:?}");
            ensure!(
                tus.offset(&upload.path).await? == length,
                "{algorithm}: bytes that failed their check are thrown away"
            );
            let right = checksum(&server, algorithm, &second).await?;
            tus.patch_raw(
                &upload.path,
                &[
                    OCTETS,
                    ("Upload-Offset", &offset),
                    ("Upload-Checksum", &right),
                ],
                &second,
            )
            .await?
            .expect(204)?;
            client.fetch(upload.link()?, &data).await?;
        }
    }
    let upload = tus.create(Some(10), "c.bin").await?;
    for bad in ["sha0 AAAA", "sha1", "sha1 !!!", "sha1 AAAA"] {
        let refused = tus
            .patch_raw(
                &upload.path,
                &[OCTETS, ("Upload-Offset", "0"), ("Upload-Checksum", bad)],
                b"0123456789",
            )
            .await?;
        ensure!(matches!(refused.status, 400 | 460), "{bad}: {refused:?}");
    }
    ensure!(tus.offset(&upload.path).await? == 0);
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checksum_may_come_as_a_trailer() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(6, 5000);
    let upload = tus.create(Some(data.len()), "t.bin").await?;
    let right = checksum(&server, "sha256", &data.all()).await?;
    let wrong = checksum(&server, "sha256", b"other").await?;
    for (sum, status, after) in [(&wrong, 460, 0), (&right, 204, 5000)] {
        let head = Tus::request("PATCH", &upload.path).headers(&[
            OCTETS,
            ("Upload-Offset", "0"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "Upload-Checksum"),
        ]);
        let mut conn: Conn = client.connect().await?;
        conn.send_head(&head).await?;
        conn.send(format!("{:x}\r\n", data.len()).as_bytes())
            .await?;
        conn.send_data(&data, 0..data.len(), None).await?;
        conn.send(format!("\r\n0\r\nUpload-Checksum: {sum}\r\n\r\n").as_bytes())
            .await?;
        let answer = conn.response("PATCH").await?;
        ensure!(
            answer.status == status,
            "{sum}: {answer:?} {}",
            answer.text()
        );
        ensure!(tus.offset(&upload.path).await? == after);
    }
    client.fetch(upload.link()?, &data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_upload_is_gone_and_ends_its_requests() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(7, 4 * MIB);
    for finished in [false, true] {
        let upload = tus.create(Some(data.len()), "d.bin").await?;
        let mut sending = client.connect().await?;
        if finished {
            tus.finish_from(&upload.path, &data, 0).await?;
        } else {
            sending
                .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
                .await?;
            sending.send_data(&data, 0..MIB, None).await?;
        }
        tus.delete(&upload.path).await?.expect(204)?;
        ensure!(matches!(tus.head(&upload.path).await?.status, 404 | 410));
        ensure!(matches!(
            tus.patch(&upload.path, &data, 0..10).await?.status,
            404 | 410
        ));
        ensure!(matches!(
            client.get(upload.link()?).await?.status,
            404 | 410
        ));
        if !finished {
            sending
                .await_close()
                .await
                .context("a request in flight is ended")?;
        }
    }
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_upload_expires_and_says_when() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--upload-expires", "2s").start()?;
    let tus = Tus::new(&server.client());
    let data = Data::new(8, MIB);
    let upload = tus.create(Some(data.len()), "e.bin").await?;
    ensure!(
        upload.created.field("upload-expires")?.ends_with("GMT"),
        "{upload:?}"
    );
    let answer = tus.patch(&upload.path, &data, 0..1000).await?.expect(204)?;
    ensure!(
        answer.field("upload-expires")?.ends_with("GMT"),
        "{answer:?}"
    );
    crate::until("the upload expires", Duration::from_secs(20), || async {
        Ok(matches!(tus.head(&upload.path).await?.status, 404 | 410))
    })
    .await?;
    let refused = tus.patch(&upload.path, &data, 1000..2000).await?;
    ensure!(matches!(refused.status, 404 | 410), "{refused:?}");
    let whole = tus.upload_whole("w.bin", &data).await?;
    tokio::time::sleep(Duration::from_secs(4)).await; // longer than an unfinished one is kept: only time can show that it stays
    server
        .client()
        .fetch(whole.link()?, &data)
        .await
        .context("a finished file does not expire with uploads")?;
    Ok(())
}

/// An upload of which half came, and whose request then fell silent.
async fn silent_half(tus: &Tus, data: &Data) -> Result<(ddx_testkit::Upload, ddx_testkit::Conn)> {
    let upload = tus.create(Some(data.len()), "silent.bin").await?;
    let mut silent = tus.client().connect().await?;
    silent
        .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    silent.send_data(data, 0..data.len() / 2, None).await?;
    let path = format!("/api/v1/system/upload-progress/{}", upload.file_id()?);
    crate::until("the bytes arrive", Duration::from_secs(20), || async {
        let told = tus.client().json(&path).await?;
        Ok(told["received_bytes"].as_u64() >= Some(data.len() / 2))
    })
    .await?;
    Ok((upload, silent))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_many_heads_waits_for_the_take_over_and_tells_all_that_came() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--body-idle-timeout", "1h").start()?;
    let tus = Tus::new(&server.client());
    for seed in 0..10 {
        let data = Data::new(seed, 8 * MIB);
        let (upload, silent) = silent_half(&tus, &data).await?;
        let heads: Vec<_> = (0..6)
            .map(|_| {
                let (tus, path) = (tus.clone(), upload.path.clone());
                tokio::spawn(async move { tus.offset(&path).await })
            })
            .collect();
        for head in heads {
            let offset = head.await??;
            ensure!(offset == data.len() / 2, "HEAD tells {offset}");
        }
        tus.finish_from(&upload.path, &data, data.len() / 2).await?;
        drop(silent);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_ends_an_upload_whatever_else_is_asked_of_it() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--body-idle-timeout", "1h").start()?;
    let tus = Tus::new(&server.client());
    for seed in 0..10 {
        let data = Data::new(seed, 8 * MIB);
        let (upload, _silent) = silent_half(&tus, &data).await?;
        let ask = |method: &'static str| {
            let (tus, path) = (tus.clone(), upload.path.clone());
            tokio::spawn(async move {
                let request = Tus::request(method, &path);
                tus.client().send(&request, &[]).await
            })
        };
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(("HEAD", ask("HEAD")));
            asked.push(("DELETE", ask("DELETE")));
        }
        let mut deleted = 0;
        for (method, answer) in asked {
            let status = answer.await??.status;
            match (method, status) {
                ("DELETE", 204) => deleted += 1,
                ("HEAD", 200) | (_, 404) => {}
                _ => anyhow::bail!("{method} is answered {status}"),
            }
        }
        ensure!(deleted >= 1);
        tus.head(&upload.path).await?.expect(404)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_too_often_waits_and_is_answered() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--requests-per-client-max", "2").start()?;
    let tus = Tus::new(&server.client());
    let upload = tus.create(Some(1000), "often.bin").await?;
    // Twenty come at once, then two in a second.
    let mut was_refused = false;
    for _ in 0..24 {
        ensure!(tus.offset(&upload.path).await? == 0);
        let other = server.client().get("/api/v1/limits").await?;
        was_refused |= other.status == 429;
    }
    ensure!(was_refused, "the limit was not met");
    Ok(())
}
