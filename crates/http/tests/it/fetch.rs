//! What a receiver meets: parts of a file, its name, a number of downloads.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, Request, Tus, metadata};

use crate::support::{TestApp, ledger_at_zero, path_of};

#[tokio::test]
async fn any_part_of_a_file_can_be_had() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let data = Data::new(41, 300_000);
    let link = client.put_for_link("r.bin", &data).await?;
    let path = path_of(&link).to_owned();

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
        let asked = Request::new("GET", &path).header("Range", range);
        let fetched = client.send(&asked, &[]).await?.expect(206)?;
        ensure!(
            fetched.body == data.bytes(start..start + length),
            "{range}: {:?}",
            fetched.head
        );
        ensure!(
            fetched.field("content-range")?
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

#[tokio::test]
async fn names_are_shown_as_given_in_any_script_and_are_never_paths() -> Result<()> {
    let server = TestApp::start().await?;
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
            .put_with(&encoded, &data, &[("Accept", "application/json")])
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
                    &format!("{}?download=1", path_of(file["link"].as_str().unwrap())),
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

#[tokio::test]
async fn downloads_can_be_limited_in_number() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let data = Data::new(71, 50_000);
    let answer = client
        .put_with(
            "once.bin",
            &data,
            &[("Max-Downloads", "1"), ("Max-Days", "7")],
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
