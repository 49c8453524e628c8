//! What a stop cuts and what it lets end, and what is told of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Client, Conn, Data, MIB, Proxy, Request, Response, Server, Turn, Tus, crc32_checksum,
};

use crate::proxies::{caddy_of_the_manual, nginx_of_the_manual};
use crate::{setup, until};

/// Longer than any test here takes, so that nothing ends because it is over.
const LONG: (&str, &str) = ("--shutdown-grace", "10m");
const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// Stops the server, and waits until the stop has ended a resumable upload: what runs on after that
/// was let run on.
async fn stop(server: &Server) -> Result<Response> {
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(99, MIB);
    let upload = tus.create(Some(data.len()), "probe.bin").await?;
    let mut patch = client.connect().await?;
    patch
        .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    patch.send_data(&data, 0..100_000, None).await?;
    arrives(&client, upload.file_id()?, 100_000).await?;
    server.send_sigterm()?;
    patch.response("PATCH").await
}

async fn arrives(client: &Client, file_id: &str, bytes: u64) -> Result<()> {
    let path = format!("/api/v1/system/upload-progress/{file_id}");
    until("bytes arrive", Duration::from_secs(20), || async {
        Ok(client.json(&path).await?["received_bytes"].as_u64() >= Some(bytes))
    })
    .await
}

/// Waits until the server receives so many uploads.
async fn receiving(client: &Client, uploads: f64) -> Result<()> {
    until("uploads are received", Duration::from_secs(20), || async {
        Ok(client.status().await?.active_uploads()? >= uploads)
    })
    .await
}

/// Begins a PUT of `data` and sends half of it.
async fn half_of_a_put(client: &Client, data: &Data) -> Result<Conn> {
    let mut conn = client.connect().await?;
    let head = Request::new("PUT", "/half.bin").header("Content-Length", data.len());
    conn.send_head(&head).await?;
    conn.send_data(data, 0..data.len() / 2, None).await?;
    receiving(client, 1.0).await?;
    Ok(conn)
}

async fn stops(mut server: Server) -> Result<Server> {
    let exit = server.await_exit(Duration::from_secs(60), std::time::Instant::now())?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    server.start_again()?;
    Ok(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_runs_on_to_its_end_while_the_server_stops() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    let data = Data::new(1, 4 * MIB);
    let mut put = half_of_a_put(&client, &data).await?;
    stop(&server).await?.expect_problem(503)?;
    put.send_data(&data, data.len() / 2..data.len(), None)
        .await?;
    let link = put.response("PUT").await?.expect(201)?;
    let server = stops(server).await?;
    client.fetch(link.text().trim(), &data).await?;
    drop(server);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_runs_on_to_its_last_file_while_the_server_stops() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    let files = [Data::new(1, 2 * MIB), Data::new(2, 2 * MIB)];
    let mut body = Vec::new();
    for (name, data) in ["a.bin", "b.bin"].iter().zip(&files) {
        let head = format!("Content-Disposition: form-data; name=\"f\"; filename=\"{name}\"");
        body.extend(format!("--b\r\n{head}\r\n\r\n").into_bytes());
        body.extend(data.all());
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    let mut form = client.connect().await?;
    let head = Request::new("POST", "/")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .header("Content-Length", body.len());
    form.send_head(&head).await?;
    // Its second file begins after the stop.
    form.send(&body[..1_000_000]).await?;
    receiving(&client, 1.0).await?;
    stop(&server).await?.expect_problem(503)?;
    form.send(&body[1_000_000..]).await?;
    let links = form.response("POST").await?.expect(201)?.text();
    let server = stops(server).await?;
    for (link, data) in links.lines().zip(&files) {
        client.fetch(link, data).await?;
    }
    ensure!(links.lines().count() == 2, "{links}");
    drop(server);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_runs_on_to_its_end_while_the_server_stops() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    // More than the kernel holds of an answer.
    let data = Data::new(1, 64 * MIB);
    let link = client.put_for_link("long.bin", &data).await?;
    let mut conn = client.connect().await?;
    let get = Request::new("GET", Client::path_of(&link));
    conn.send_head(&get).await?;
    let head = conn.head().await?;
    let mut body = Conn::body_of(&head, "GET")?;
    let mut at = 0;
    let mut is_stopped = false;
    while let Some(bytes) = conn.next(&mut body).await? {
        if let Some(wrong) = data.first_difference(at, &bytes) {
            anyhow::bail!("another byte at {wrong}");
        }
        at += bytes.len() as u64;
        if !std::mem::replace(&mut is_stopped, true) {
            stop(&server).await?.expect_problem(503)?;
            // A slow reader. What is not let run on is cut within a second or two.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
    ensure!(at == data.len(), "cut at {at}");
    stops(server).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_checksum_runs_on_to_its_end_while_the_server_stops() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 2 * MIB);
    let upload = tus.create(Some(data.len()), "c.bin").await?;
    let mut patch = client.connect().await?;
    let head = Tus::patch_head(&upload.path, 0, data.len());
    let checksum = crc32_checksum(&data.all());
    patch
        .send_head(&head.header("Upload-Checksum", checksum))
        .await?;
    patch.send_data(&data, 0..MIB, None).await?;
    arrives(&client, upload.file_id()?, 0).await?;
    receiving(&client, 1.0).await?;
    stop(&server).await?.expect_problem(503)?;
    patch.send_data(&data, MIB..data.len(), None).await?;
    patch.response("PATCH").await?.expect(204)?;
    let server = stops(server).await?;
    client.fetch(upload.link()?, &data).await?;
    drop(server);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_first_bytes_came_with_its_creation_learns_its_address() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, MIB);
    let mut post = client.connect().await?;
    let head = Tus::request("POST", "/files")
        .headers(&[OCTETS])
        .header("Upload-Length", data.len())
        .header("Content-Length", data.len());
    post.send_head(&head).await?;
    post.send_data(&data, 0..300_000, None).await?;
    receiving(&client, 1.0).await?;
    stop(&server).await?.expect_problem(503)?;
    let created = post.response("POST").await?.expect(201)?;
    let (offset, path) = (created.number("upload-offset")?, created.field("location")?);
    let server = stops(server).await?;
    ensure!(tus.offset(Client::path_of(path)).await? == offset);
    tus.finish_from(Client::path_of(path), &data, offset)
        .await?;
    drop(server);
    Ok(())
}

/// What is told when the time is over: that bytes are kept only where they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_is_told_what_is_true_for_its_protocol() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, "4s").start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, 4 * MIB);
    let mut put = half_of_a_put(&client, &data).await?;
    let upload = tus.create(Some(data.len()), "c.bin").await?;
    let mut checked = client.connect().await?;
    let head = Tus::patch_head(&upload.path, 0, data.len());
    let checksum = crc32_checksum(&data.all());
    checked
        .send_head(&head.header("Upload-Checksum", checksum))
        .await?;
    checked.send_data(&data, 0..MIB, None).await?;
    receiving(&client, 2.0).await?;
    let text = |problem: &serde_json::Value| format!("{} {}", problem["detail"], problem["remedy"]);
    let resumable = stop(&server).await?.expect_problem(503)?;
    let told = text(&resumable);
    ensure!(told.contains("kept") && told.contains("HEAD"), "{told}");
    let plain = put.response("PUT").await?.expect_problem(503)?;
    let told = text(&plain);
    ensure!(plain["type"] == "/errors/shutting-down", "{plain}");
    ensure!(
        told.contains("nothing was kept") && !told.contains("HEAD"),
        "{told}"
    );
    let checked = checked.response("PATCH").await?.expect_problem(503)?;
    let told = text(&checked);
    ensure!(
        told.contains("this part was not kept") && told.contains("HEAD"),
        "{told}"
    );
    let server = stops(server).await?;
    ensure!(tus.offset(&upload.path).await? == 0);
    drop(server);
    Ok(())
}

/// The same of a body that stands still, which no stop is needed for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stands_still_is_told_what_is_true_for_its_protocol() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--body-idle-timeout", "1s")
        .option("--body-pause-max", "2s")
        .start()?;
    let client = server.client();
    let data = Data::new(1, 4 * MIB);
    let mut put = half_of_a_put(&client, &data).await?;
    let problem = put.response("PUT").await?.expect_problem(503)?;
    let told = format!("{} {}", problem["detail"], problem["remedy"]);
    ensure!(problem["type"] == "/errors/body-stalled", "{problem}");
    ensure!(
        told.contains("nothing was kept") && !told.contains("HEAD"),
        "{told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_nothing_that_can_not_come() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().option(LONG.0, LONG.1).start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let data = Data::new(1, MIB);
    let upload = tus.create(Some(data.len()), "half.bin").await?;
    tus.patch(&upload.path, &data, 0..300_000)
        .await?
        .expect(204)?;
    // A download of a file that no one sends any more.
    let mut waits = client.connect().await?;
    waits
        .send_head(&Request::new("GET", Client::path_of(upload.link()?)))
        .await?;
    let head = waits.head().await?;
    let mut body = Conn::body_of(&head, "GET")?;
    let mut got = 0;
    while got < 300_000 {
        let bytes = waits.next(&mut body).await?.context("it goes on")?;
        got += bytes.len();
    }
    stop(&server).await?.expect_problem(503)?;
    stops(server).await?;
    Ok(())
}

/// What runs on does so through the proxies of the manual, and what is cut there is told where it
/// can go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_proxy_all_ends_as_without_one() -> Result<()> {
    let _turn = Turn::shared()?;
    for (name, proxy) in [
        ("nginx", nginx_of_the_manual as fn(_) -> Result<Proxy>),
        ("Caddy", caddy_of_the_manual),
    ] {
        let server = setup().option(LONG.0, LONG.1).start()?;
        let proxy = proxy(server.address())?;
        ends_as_without_a_proxy(server, proxy.client())
            .await
            .context(name)?;
    }
    Ok(())
}

async fn ends_as_without_a_proxy(server: Server, by_proxy: Client) -> Result<()> {
    let data = Data::new(1, 4 * MIB);
    // More than the kernel and a proxy hold of an answer.
    let long = Data::new(2, 64 * MIB);
    let link = server.client().put_for_link("long.bin", &long).await?;
    let mut get = by_proxy.connect().await?;
    get.send_head(&Request::new("GET", Client::path_of(&link)))
        .await?;
    let head = get.head().await?;
    let mut body = Conn::body_of(&head, "GET")?;
    let mut put = half_of_a_put(&by_proxy, &data).await?;
    let tus = Tus::new(&by_proxy);
    let upload = tus.create(Some(data.len()), "resumed.bin").await?;
    let mut patch = by_proxy.connect().await?;
    patch
        .send_head(&Tus::patch_head(&upload.path, 0, data.len()))
        .await?;
    patch.send_data(&data, 0..500_000, None).await?;
    arrives(&server.client(), upload.file_id()?, 500_000).await?;

    stop(&server).await?.expect_problem(503)?;
    // Caddy passes an early answer on when its client has sent more, or left.
    let _ = patch.send_data(&data, 500_000..data.len(), None).await;
    patch.response("PATCH").await?.expect_problem(503)?;
    put.send_data(&data, data.len() / 2..data.len(), None)
        .await?;
    let sent = put.response("PUT").await?.expect(201)?;
    let mut at = 0;
    while let Some(bytes) = get.next(&mut body).await? {
        ensure!(long.first_difference(at, &bytes).is_none(), "after {at}");
        at += bytes.len() as u64;
    }
    ensure!(at == long.len(), "cut at {at}");

    let server = stops(server).await?;
    let offset = tus.offset(&upload.path).await?;
    ensure!(offset >= 500_000, "{offset} bytes are kept");
    tus.finish_from(&upload.path, &data, offset).await?;
    by_proxy.fetch(upload.link()?, &data).await?;
    by_proxy.fetch(sent.text().trim(), &data).await?;
    drop(server);
    Ok(())
}
