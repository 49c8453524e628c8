//! Names that are the server's own as well, and prefixes: both are told apart by where they stand.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, Request, Turn, Tus, metadata};

use crate::{new_share, setup};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_may_be_named_as_routes_are() -> Result<()> {
    let _turn = Turn::shared()?;
    for (prefix, is_stripped) in BELOW {
        let server = setup().option("--path-prefix", prefix).start()?;
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
    let path = Client::path_of(link)
        .strip_prefix(before)
        .context("no prefix")?;
    Ok(path.splitn(4, '/').nth(3).context("no name")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_is_taken_off_a_name_once_and_whole() -> Result<()> {
    let _turn = Turn::shared()?;
    let prefixed = setup().option("--path-prefix", "/share").start()?;
    let public = setup()
        .option("--public-url", "https://x.example/share")
        .start()?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_that_is_a_route_is_refused_by_both_commands() -> Result<()> {
    let _turn = Turn::shared()?;
    for prefix in ["/d", "/files/up", "/api", "/errors"] {
        for command in [
            &["config", "check"][..],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let args = [command, &["--path-prefix", prefix]].concat();
            let ended = setup().run_to_end(&args)?;
            let said = String::from_utf8_lossy(&ended.stderr);
            ensure!(!ended.status.success(), "{args:?}");
            ensure!(
                said.contains("one of the server's own paths") && !said.contains("panicked"),
                "{args:?}: {said}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_of_a_route_does_not_follow_names_in_it() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--path-prefix", "/events").start()?;
    let client = server.client();
    let link = client
        .put_for_link("api/files/a", &Data::new(1, 10))
        .await?;
    client.get(Client::path_of(&link)).await?.expect(200)?;
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
