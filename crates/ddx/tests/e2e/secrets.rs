//! What opens something stands nowhere in the data folder, so that neither it nor a copy of it
//! opens anything.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, Part, Request, Turn, Tus, Upload, metadata};

use crate::setup;

/// The 16 bytes that a key of 26 letters stands for.
fn bytes_of(key: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in key.bytes() {
        let digit = if letter.is_ascii_digit() {
            letter - b'2' + 26
        } else {
            letter - b'a'
        };
        bits = (bits << 5 | u32::from(digit)) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

/// Every file below `folder` that holds one of these keys, as text, as bytes or as Base64.
fn holders(folder: &Path, keys: &[&str]) -> Result<Vec<String>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = std::fs::read(&path)?;
            for key in keys {
                let forms = [
                    key.as_bytes().to_vec(),
                    bytes_of(key),
                    metadata(&[("", key)]).trim().as_bytes().to_vec(),
                ];
                for form in forms {
                    if content.windows(form.len()).any(|window| window == form) {
                        found.push(format!("{}: {}", path.display(), form.escape_ascii()));
                    }
                }
            }
        }
    }
    Ok(found)
}

fn key_of(upload: &Upload) -> Result<&str> {
    Ok(upload.path.rsplit_once('/').context("no key")?.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_in_the_data_folder() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut server = setup().start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let share = Request::new("POST", "/api/v1/shares");
    let share = client.send(&share, &[]).await?.expect(201)?.json()?;
    let share_key = share["share_key"].as_str().context("no share_key")?;

    let small = metadata(&[("filename", "s.txt"), ("share", share_key), ("x", "y")]);
    let headers = [("Upload-Metadata", small.as_str())];
    let small = tus.create_with(Some(3), &headers).await?;
    tus.finish_from(&small.path, &Data::new(1, 3), 0).await?;
    let head = tus.head(&small.path).await?.expect(200)?;
    let rest = metadata(&[("filename", "s.txt"), ("x", "y")]);
    ensure!(head.field("upload-metadata")? == rest, "{head:?}");
    let alone = metadata(&[("share", share_key)]);
    let headers = [("Upload-Metadata", alone.as_str())];
    let alone = tus.create_with(Some(9), &headers).await?;
    let head = tus.head(&alone.path).await?.expect(200)?;
    ensure!(head.get("upload-metadata").is_none(), "{head:?}");

    let data = Data::new(2, 50_000);
    let first = tus.create_part(Part::Partial, data.len(), "p").await?;
    let second = tus.create_part(Part::Partial, data.len(), "p").await?;
    tus.finish_from(&first.path, &data, 0).await?;
    let mut joined = Vec::new();
    for parts in [
        vec![first.clone()],
        vec![first.clone(), second.clone()],
        vec![second.clone(), first.clone()],
    ] {
        let paths: Vec<&str> = parts.iter().map(|part| part.path.as_str()).collect();
        let concat = format!("final;{}", paths.join(" "));
        let names = metadata(&[("filename", "w"), ("share", share_key)]);
        let fields = [
            ("Upload-Concat", concat.as_str()),
            ("Upload-Metadata", &names),
        ];
        let answer = tus.post(&fields, &[]).await?.expect(201)?;
        let path = ddx_testkit::Client::path_of(answer.field("location")?).to_owned();
        joined.push((path, concat));
    }
    let told = async || {
        for (path, concat) in &joined {
            let head = tus.head(path).await?.expect(200)?;
            ensure!(head.field("upload-concat")? == concat, "{head:?}");
            let rest = metadata(&[("filename", "w")]);
            ensure!(head.field("upload-metadata")? == rest, "{head:?}");
        }
        anyhow::Ok(())
    };
    told().await.context("while a part is missing")?;

    let mut keys = vec![share_key, key_of(&small)?, key_of(&alone)?];
    keys.extend([key_of(&first)?, key_of(&second)?]);
    keys.extend(
        joined
            .iter()
            .filter_map(|(path, _)| Some(path.rsplit_once('/')?.1)),
    );
    ensure!(bytes_of(share_key).len() == 16);
    let found = holders(server.data_dir(), &keys)?;
    ensure!(found.is_empty(), "while it runs: {found:#?}");
    server.terminate(Duration::from_secs(20))?;
    let found = holders(server.data_dir(), &keys)?;
    ensure!(found.is_empty(), "after its end: {found:#?}");
    server.start_again()?;
    let (client, tus) = (server.client(), Tus::new(&server.client()));
    tus.finish_from(&second.path, &data, 0).await?;
    for (path, concat) in &joined {
        let head = tus.head(path).await?.expect(200)?;
        ensure!(head.field("upload-concat")? == concat, "{head:?}");
    }
    client.get("/healthz").await?.expect(200)?;
    Ok(())
}
