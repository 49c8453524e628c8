//! Names that are the server's own as well, and prefixes: both are told apart by where they stand.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, Request, Tus, metadata};

use crate::support::{Client, TestApp, new_share, path_of};

/// What stands before all paths, and whether a proxy takes it off before the server sees it.
const BELOW: [(&str, bool); 3] = [("", false), ("/share", false), ("/share", true)];

/// Paths of files with parts that are also routes of the server.
const NAMES: [&str; 9] = [
    "a",
    "a/d/b.txt",
    "d/b.txt",
    "d/d/d",
    "files/x.bin",
    "a/files/x",
    "api/v1/limits",
    "share/d/b.txt",
    "delete/events/metrics",
];

#[tokio::test]
async fn folders_may_be_named_as_routes_are() -> Result<()> {
    for (prefix, is_stripped) in BELOW {
        let server = TestApp::with(|setup| {
            setup.http.origin.path_prefix = prefix.to_owned();
        })
        .await?;
        let client = server.client();
        let before = if is_stripped { "" } else { prefix };
        let (share_id, share_key) = new_share(&client).await?;
        for (seed, name) in (1..).zip(NAMES) {
            let pairs = metadata(&[
                ("filename", "x"),
                ("relativePath", name),
                ("share", &share_key),
            ]);
            let data = Data::new(seed, 100 + seed);
            let create = Tus::request("POST", &format!("{before}/files"))
                .header("Upload-Length", data.len())
                .header("Upload-Metadata", pairs)
                .header("Content-Type", "application/offset+octet-stream")
                .header("Content-Length", data.len());
            client.send(&create, &data.all()).await?.expect(201)?;
        }
        for (seed, name) in (1..).zip(NAMES) {
            let data = Data::new(seed, 100 + seed);
            let link = format!("{before}/d/{share_id}/{name}");
            client
                .fetch(&link, &data)
                .await
                .with_context(|| link.clone())?;
        }
        // What no file was sent to is no file, whatever stands before it.
        for name in ["b.txt", "d", "a/d", "d/a", "x.bin"] {
            let link = format!("{before}/d/{share_id}/{name}");
            client.get(&link).await?.expect_problem(404)?;
        }
    }
    Ok(())
}

/// The file's whole path in its share, as the sender named it.
async fn path_of_put(client: &Client, target: &str, before: &str) -> Result<String> {
    let put = Request::new("PUT", target)
        .header("Content-Length", 1)
        .header("Accept", "application/json");
    let told = client.send(&put, b"x").await?.expect(201)?.json()?;
    let link = told["files"][0]["link"].as_str().context("no link")?;
    let path = path_of(link).strip_prefix(before).context("no prefix")?;
    Ok(path.splitn(4, '/').nth(3).context("no name")?.to_owned())
}

#[tokio::test]
async fn a_prefix_is_taken_off_a_name_once_and_whole() -> Result<()> {
    let prefixed = TestApp::with(|setup| {
        setup.http.origin.path_prefix = "/share".to_owned();
    })
    .await?;
    let public = TestApp::with(|setup| {
        setup.http.origin.public_url = Some("https://x.example/share".parse().unwrap());
    })
    .await?;
    for (server, target, name) in [
        (&prefixed, "/share/a.txt", "a.txt"),
        (&prefixed, "/share/share/a.txt", "share/a.txt"),
        (&prefixed, "/a.txt", "a.txt"),
        (&prefixed, "/sharex.txt", "sharex.txt"),
        (&prefixed, "/share", "file"),
        (&prefixed, "/share/", "file"),
        (&prefixed, "/", "file"),
        // A proxy has taken the public prefix off; the rest is the sender's.
        (&public, "/sharex.txt", "sharex.txt"),
        (&public, "/share/a.txt", "share/a.txt"),
    ] {
        let found = path_of_put(&server.client(), target, "/share").await?;
        ensure!(found == name, "PUT {target} is kept as {found}");
    }
    Ok(())
}

#[tokio::test]
async fn the_label_of_a_route_does_not_follow_names_in_it() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.origin.path_prefix = "/events".to_owned();
    })
    .await?;
    let client = server.client();
    let link = client
        .put_for_link("api/files/a", &Data::new(1, 10))
        .await?;
    client.get(path_of(&link)).await?.expect(200)?;
    client.get("/events/api/v1/limits").await?.expect(200)?;
    let metrics = client.metrics().await?;
    let seen = |route: &str| {
        let of =
            |name: &str| name.contains("_count") && name.contains(&format!("route=\"{route}\""));
        let counts = metrics.iter().filter(|(name, _)| of(name));
        counts.map(|(_, count)| *count).sum::<f64>()
    };
    for (route, count) in [
        ("plain", 1.0),
        ("download", 1.0),
        ("api", 1.0),
        ("events", 0.0),
        ("tus", 0.0),
    ] {
        ensure!(
            seen(route) == count,
            "{route}: {} in {metrics:?}",
            seen(route)
        );
    }
    Ok(())
}
