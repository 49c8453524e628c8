//! What a receiver meets: parts of a file, its name, a file that still arrives, a number of
//! downloads.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Pace, Request, Turn, Tus, metadata};

use crate::{ledger_at_zero, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_part_of_a_file_can_be_had() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(41, 300_000);
    let link = client.put_for_link("r.bin", &data).await?;
    let path = Client::path_of(&link).to_owned();

    let head = client
        .send(&Request::new("HEAD", &path), &[])
        .await?
        .expect(200)?;
    ensure!(
        head.number("content-length")? == 300_000 && head.field("accept-ranges")? == "bytes",
        "{head:?}"
    );
    let etag = head.field("etag")?.to_owned();
    ensure!(head.body.is_empty());

    for (range, start, length) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, 299_900),
        ("bytes=-5", 299_995, 5),
        ("bytes=1000-1999", 1000, 1000),
        ("bytes=299999-400000", 299_999, 1),
    ] {
        let fetched = client
            .fetch_with(
                &Request::new("GET", &path).header("Range", range),
                &data,
                start,
            )
            .await?;
        ensure!(
            fetched.head.status == 206 && fetched.bytes == length,
            "{range}: {fetched:?}"
        );
        ensure!(
            fetched.head.field("content-range")?
                == format!("bytes {start}-{}/300000", start + length - 1),
            "{range}: {fetched:?}"
        );
    }
    let beyond = client
        .send(
            &Request::new("GET", &path).header("Range", "bytes=300000-"),
            &[],
        )
        .await?
        .expect(416)?;
    ensure!(
        beyond.field("content-range")? == "bytes */300000",
        "{beyond:?}"
    );

    let same = client
        .send(
            &Request::new("GET", &path)
                .header("Range", "bytes=5-9")
                .header("If-Range", &etag),
            &[],
        )
        .await?
        .expect(206)?;
    ensure!(same.body == data.bytes(5..10));
    let other = client
        .send(
            &Request::new("GET", &path)
                .header("Range", "bytes=5-9")
                .header("If-Range", "\"other\""),
            &[],
        )
        .await?
        .expect(200)?;
    ensure!(
        other.body == data.all(),
        "an If-Range that does not match gives the whole file"
    );
    client
        .send(
            &Request::new("GET", &path).header("If-None-Match", &etag),
            &[],
        )
        .await?
        .expect(304)?;

    let several = client
        .send(
            &Request::new("GET", &path).header("Range", "bytes=0-9,200000-200099,-7"),
            &[],
        )
        .await?
        .expect(206)?;
    let kind = several.field("content-type")?.to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .with_context(|| format!("content type {kind}"))?
        .trim_matches('"');
    let mut found = 0;
    let mark = format!("--{boundary}").into_bytes();
    for (start, end) in [(0, 10), (200_000, 200_100), (299_993, 300_000)] {
        let range = format!("bytes {start}-{}/300000\r\n", end - 1);
        let at = find(&several.body, range.as_bytes())
            .with_context(|| format!("no part for {range}"))?;
        let content =
            at + find(&several.body[at..], b"\r\n\r\n").context("a part's head has no end")? + 4;
        ensure!(
            several.body[content..].starts_with(&data.bytes(start..end)),
            "part {range}"
        );
        found += 1;
    }
    ensure!(
        found == 3
            && several
                .body
                .windows(mark.len())
                .filter(|window| *window == mark)
                .count()
                == 4,
        "three parts and the end"
    );
    ledger_at_zero(&client).await
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window.eq_ignore_ascii_case(needle))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_shown_as_given_in_any_script_and_are_never_paths() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let names = [
        "päper 2.pdf",
        "отчёт.txt",
        "写真 集.jpg",
        "ملف.txt",
        "🎉.bin",
        "a'b\"c;d.txt",
        "100%.txt",
        "..",
        "...",
        "CON",
        "-rf",
        "a?b#c&d=e.txt",
        "x/../y.txt",
    ];
    for (seed, name) in names.into_iter().enumerate() {
        let data = Data::new(seed as u64, 1000);
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = client
            .put_with(&encoded, &data, &[("Accept", "application/json")], None)
            .await?;
        if answer.status >= 400 && (name.contains("..") || name == "...") {
            ensure!(answer.status < 500, "{name}: {answer:?}");
            continue; // a name that is a step in a path may be refused, if it is said why
        }
        let answer = answer
            .expect(201)
            .with_context(|| name.to_owned())?
            .json()?;
        let file = &answer["files"][0];
        ensure!(
            name.contains('/') || file["name"] == name,
            "{name} became {file}"
        );
        client
            .fetch(file["link"].as_str().context("no link")?, &data)
            .await
            .with_context(|| name.to_owned())?;
        let head = client
            .send(
                &Request::new(
                    "HEAD",
                    &format!(
                        "{}?download=1",
                        Client::path_of(file["link"].as_str().unwrap())
                    ),
                ),
                &[],
            )
            .await?
            .expect(200)?;
        ensure!(
            head.field("content-disposition")?.starts_with("attachment"),
            "{head:?}"
        );
        ensure!(
            head.headers.iter().all(|(_, value)| value.is_ascii()),
            "a header field must be ASCII: {head:?}"
        );
    }
    for entry in walk(server.data_dir()) {
        let entry = entry.display().to_string();
        ensure!(
            !names
                .iter()
                .any(|name| name.len() > 3 && entry.contains(name)),
            "a user's name is a path on the disk: {entry}"
        );
    }
    let evil = Tus::new(&client)
        .create_with(
            Some(3),
            &[(
                "Upload-Metadata",
                &metadata(&[("filename", "../../etc/passwd")]),
            )],
        )
        .await?;
    ensure!(!evil.link()?.contains(".."), "{evil:?}");
    Ok(())
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

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
async fn downloads_can_be_limited_in_number() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let data = Data::new(71, 50_000);
    let answer = client
        .put_with(
            "once.bin",
            &data,
            &[("Max-Downloads", "1"), ("Max-Days", "7")],
            None,
        )
        .await?
        .expect(201)?;
    let link = answer.text().trim().to_owned();
    client.fetch(&link, &data).await?;
    let second = client.get(&link).await?;
    ensure!(
        matches!(second.status, 403 | 404 | 410),
        "a second download of one: {second:?}"
    );
    Ok(())
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
