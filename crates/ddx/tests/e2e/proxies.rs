//! Behind real proxies, as they come and as the manual has them set up: nginx and Caddy.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, MIB, Proxy, Request, Response, Server, Turn, Tus};

use crate::{ledger_at_zero, setup};

const MANUAL: &str = include_str!("../../../../docs/OPERATIONS.md");

/// The name and port by which clients know the proxy; neither is the server's.
const PUBLIC: &str = "files.example:8443";

/// The block of the manual that begins with this line, for this server.
fn recipe(first: &str, server: SocketAddr) -> Result<String> {
    let at = MANUAL.find(first).with_context(|| first.to_owned())?;
    let lines = MANUAL[at..]
        .lines()
        .take_while(|line| line.starts_with("    "));
    let block: Vec<&str> = lines.collect();
    Ok(block
        .join("\n")
        .replace("127.0.0.1:8000", &server.to_string()))
}

pub(super) fn nginx_of_the_manual(server: SocketAddr) -> Result<Proxy> {
    Proxy::nginx(&recipe("    location / {", server)?)
}

pub(super) fn caddy_of_the_manual(server: SocketAddr) -> Result<Proxy> {
    let site = recipe("    files.example.org {", server)?;
    let inside: Vec<&str> = site
        .lines()
        .filter(|line| line.starts_with("        "))
        .collect();
    Proxy::caddy(&inside.join("\n"))
}

fn bare_nginx(server: SocketAddr) -> Result<Proxy> {
    Proxy::nginx(&format!("location / {{ proxy_pass http://{server}; }}"))
}

async fn create(client: &Client, data: &Data) -> Result<Response> {
    let request = Tus::request("POST", "/files")
        .header("Host", PUBLIC)
        .header("Upload-Length", data.len());
    client.send(&request, &[]).await?.expect(201)
}

/// Sends a file to where the answer to its creation says, and fetches it by the proxy.
async fn sends(client: &Client, created: &Response, data: &Data) -> Result<()> {
    let location = created.field("location")?;
    Tus::new(client)
        .finish_from(Client::path_of(location), data, 0)
        .await
        .with_context(|| location.to_owned())?;
    let link = created.field("x-url-share")?;
    client.fetch(link, data).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_public_address_is_not_guessed_for_location() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let data = Data::new(1, 300_000);
    for (name, proxy) in [
        ("bare nginx", bare_nginx(server.address())?),
        ("nginx", nginx_of_the_manual(server.address())?),
        ("Caddy", caddy_of_the_manual(server.address())?),
    ] {
        let created = create(&proxy.client(), &data).await.context(name)?;
        let location = created.field("location")?;
        ensure!(location.starts_with("/files/"), "{name}: {location}");
        sends(&proxy.client(), &created, &data)
            .await
            .context(name)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_have_the_clients_own_host_and_port() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option("--trusted-proxies", "127.0.0.1").start()?;
    let data = Data::new(2, 300_000);
    let nginx = nginx_of_the_manual(server.address())?;
    let caddy = caddy_of_the_manual(server.address())?;
    for (name, proxy, location_starts) in [
        ("nginx", nginx, "/files/".to_owned()),
        // It tells the host for which it asks.
        ("Caddy", caddy, format!("http://{PUBLIC}/files/")),
    ] {
        let created = create(&proxy.client(), &data).await.context(name)?;
        let location = created.field("location")?;
        ensure!(location.starts_with(&location_starts), "{name}: {location}");
        let link = created.field("x-url-share")?;
        ensure!(
            link.starts_with(&format!("http://{PUBLIC}/d/")),
            "{name}: {link}"
        );
        sends(&proxy.client(), &created, &data)
            .await
            .context(name)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_address_is_that_of_all_links() -> Result<()> {
    let _turn = Turn::shared()?;
    let public = "https://public.example";
    let server = setup().option("--public-url", public).start()?;
    let data = Data::new(3, 300_000);
    for (name, proxy) in [
        ("bare nginx", bare_nginx(server.address())?),
        ("nginx", nginx_of_the_manual(server.address())?),
        ("Caddy", caddy_of_the_manual(server.address())?),
    ] {
        let created = create(&proxy.client(), &data).await.context(name)?;
        for field in ["location", "x-url-share", "x-url-delete"] {
            let link = created.field(field)?;
            ensure!(link.starts_with(public), "{name}: {field}: {link}");
        }
        sends(&proxy.client(), &created, &data)
            .await
            .context(name)?;
    }
    Ok(())
}

/// Reads a file by a proxy, this much and then a pause, until its end.
async fn fetch_slowly(
    client: &Client,
    link: &str,
    data: &Data,
    step: u64,
    pause: Duration,
) -> Result<()> {
    let mut conn = client.connect().await?;
    conn.send_head(&Request::new("GET", Client::path_of(link)))
        .await?;
    let head = conn.head().await?;
    ensure!(head.status == 200, "{head:?}");
    let mut body = Conn::body_of(&head, "GET")?;
    let (mut at, mut paused_at) = (0, 0);
    while let Some(piece) = conn.next(&mut body).await? {
        ensure!(
            data.first_difference(at, &piece).is_none(),
            "other bytes at {at}"
        );
        at += piece.len() as u64;
        if at - paused_at >= step {
            paused_at = at;
            tokio::time::sleep(pause).await;
        }
    }
    ensure!(at == data.len(), "it ends at byte {at}");
    Ok(())
}

/// A file, and its link.
async fn kept(server: &Server, data: &Data) -> Result<String> {
    server.client().put_for_link("slow.bin", data).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_rests_gets_the_rest_of_its_file() -> Result<()> {
    let _turn = Turn::shared()?;
    // A pause of four times what a client may take nothing.
    let server = setup().option("--write-timeout", "1s").start()?;
    let data = Data::new(5, 48 * MIB);
    let link = kept(&server, &data).await?;
    // One that hoards in spite of what it is told, and reads nothing meanwhile.
    let hoarding = Proxy::nginx(&format!(
        "location / {{ proxy_pass http://{}; proxy_max_temp_file_size 4m; \
         proxy_ignore_headers X-Accel-Buffering; }}",
        server.address()
    ))?;
    let bare = bare_nginx(server.address())?;
    let nginx = nginx_of_the_manual(server.address())?;
    let caddy = caddy_of_the_manual(server.address())?;
    let through = [&hoarding, &bare, &nginx, &caddy].map(Proxy::client);
    for client in through.iter().chain([&server.client()]) {
        fetch_slowly(client, &link, &data, 20 * MIB, Duration::from_secs(4)).await?;
    }
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_does_not_hoard_a_file_that_its_client_takes_slowly() -> Result<()> {
    let _turn = Turn::shared()?;
    // What happens with a gigabyte in a minute, with less of both.
    let server = setup().option("--write-timeout", "1s").start()?;
    let data = Data::new(4, 48 * MIB);
    let link = kept(&server, &data).await?;
    let nginx = Proxy::nginx(&format!(
        "location / {{ proxy_pass http://{}; proxy_max_temp_file_size 16m; }}",
        server.address()
    ))?;
    let caddy = caddy_of_the_manual(server.address())?;
    let pause = Duration::from_millis(200);
    for proxy in [&nginx, &caddy] {
        fetch_slowly(&proxy.client(), &link, &data, MIB, pause).await?;
    }
    Ok(())
}
