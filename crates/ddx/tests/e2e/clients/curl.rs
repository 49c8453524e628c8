//! curl.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, FaultProxy, Way};

use super::manual::{
    CUT_BYTES, Terminal, bad_network, holiday, is_gone, notes, only_line, through,
};
use crate::{ledger_at_zero, setup};

/// Sends by this section, and looks at the file and its path in the share.
async fn sends(title: &str, path: &str) -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let sent = terminal.run(title, "").await?.success()?;
    let link = only_line(&sent)?;
    terminal.client().fetch(link, &holiday()).await?;
    let share = terminal.share(link).await?;
    ensure!(share["files"][0]["path"] == path, "{share}");
    ledger_at_zero(&terminal.client()).await
}

#[tokio::test]
async fn curl_sends_a_file() -> Result<()> {
    sends("Send a file", "holiday.mp4").await
}

#[tokio::test]
async fn curl_sends_a_file_under_another_name() -> Result<()> {
    sends("Send a file under another name", "beach.mp4").await
}

#[tokio::test]
async fn curl_sends_a_file_into_a_folder() -> Result<()> {
    sends("Send a file into a folder", "summer/2026/holiday.mp4").await
}

#[tokio::test]
async fn curl_sends_several_files_each_with_its_own_link() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Send several files, each with its own link";
    let sent = terminal.run(title, "").await?.success()?;
    let links: Vec<&str> = sent.stdout.lines().collect();
    let [first, second] = links[..] else {
        anyhow::bail!("two links, not {links:?}");
    };
    terminal.client().fetch(first, &holiday()).await?;
    terminal.client().fetch(second, &notes()).await?;
    Ok(())
}

#[tokio::test]
async fn curl_sends_several_files_under_one_link() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Send several files under one link";
    let sent = terminal.run(title, "").await?.success()?;
    let links: Vec<&str> = sent.stdout.lines().collect();
    let [first, second] = links[..] else {
        anyhow::bail!("two links, not {links:?}");
    };
    let folder = |link: &str| link.rsplit_once('/').map(|(share, _)| share.to_owned());
    ensure!(folder(first) == folder(second), "{links:?}");
    terminal.client().fetch(first, &holiday()).await?;
    terminal.client().fetch(second, &notes()).await?;
    Ok(())
}

#[tokio::test]
async fn curl_sends_what_a_program_writes() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Send what a program writes";
    let sent = terminal.run(title, "").await?.success()?;
    let link = only_line(&sent)?;
    let unpacked = format!("rm * && curl -sS {link} | tar -x");
    terminal.shell(&unpacked).await?.success()?;
    ensure!(terminal.names()? == ["holiday.mp4", "notes.txt"]);
    terminal.holds("holiday.mp4", &holiday())?;
    terminal.holds("notes.txt", &notes())
}

#[tokio::test]
async fn curl_sends_at_a_limited_speed() -> Result<()> {
    let started = std::time::Instant::now();
    sends("Send at a limited speed", "holiday.mp4").await?;
    // 8 MiB at 8 MiB/s; unlimited it takes some milliseconds.
    ensure!(
        started.elapsed().as_millis() > 500,
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn curl_sends_for_a_number_of_downloads_and_days() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Send for a number of downloads and days";
    let sent = terminal.run(title, "").await?.success()?;
    let link = only_line(&sent)?;
    let share = terminal.share(link).await?;
    let file = &share["files"][0];
    let kept = file["expires_at"]
        .as_i64()
        .zip(file["completed_at"].as_i64())
        .map(|(end, start)| end - start);
    ensure!(kept == Some(7 * 86_400_000), "{share}");
    terminal.client().fetch(link, &holiday()).await?;
    let again = terminal.client().get(link).await?;
    ensure!(again.status == 410, "{again:?}");
    Ok(())
}

#[tokio::test]
async fn curl_sends_and_gets_the_answer_as_json() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Send and get the answer as JSON";
    let sent = terminal.run(title, "").await?.success()?.last_json()?;
    let file = &sent["files"][0];
    ensure!(file["blake3"] == holiday().blake3_hex(), "{sent}");
    let link = sent["link"].as_str().context("no link")?;
    terminal.client().fetch(link, &holiday()).await?;
    let delete_link = file["delete_link"].as_str().context("no delete_link")?;
    terminal
        .run("Delete a file", delete_link)
        .await?
        .success()?;
    is_gone(&terminal.client().get(link).await?)
}

#[tokio::test]
async fn curl_asks_first_whether_the_server_takes_the_file() -> Result<()> {
    let title = "Ask first whether the server takes the file";
    sends(title, "holiday.mp4").await?;

    let small = setup().option("--file-bytes-max", "1MiB");
    let terminal = Terminal::at("curl", small)?;
    terminal.put_files()?;
    let proxy = FaultProxy::start(terminal.server.address(), ddx_testkit::Fault::None).await?;
    let refused = terminal.run_through(&proxy, title).await?;
    ensure!(
        refused.code == Some(22) && refused.stdout.contains("/errors/too-large"),
        "{refused:?}"
    );
    ensure!(
        proxy.passed_bytes() < 2000,
        "{} bytes were sent",
        proxy.passed_bytes()
    );
    terminal.stores_nothing().await
}

/// A client that does not ask first still gets the refusal, not a cut connection.
#[tokio::test]
async fn curl_sees_the_refusal_of_a_file_that_is_too_large() -> Result<()> {
    let small = setup().option("--file-bytes-max", "1MiB");
    let terminal = Terminal::at("curl", small)?;
    terminal.put_files()?;
    let server = terminal.server.url("/");
    for how in [
        "-T holiday.mp4",
        "-F file=@holiday.mp4",
        "-T - < holiday.mp4",
    ] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let line =
                format!("curl -sS --fail-with-body {version} -H Expect: {server}x.mp4 {how}");
            let line = line.replace("x.mp4 -F", " -F"); // forms go to the front
            let refused = terminal.shell(&line).await?;
            ensure!(
                refused.code == Some(22) && refused.stdout.contains("/errors/too-large"),
                "{line}: {refused:?}"
            );
        }
    }
    terminal.stores_nothing().await
}

#[tokio::test]
async fn curl_continues_a_cut_upload() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let proxy = bad_network(&terminal, Way::Requests).await?;
    let finished = terminal
        .run_through(&proxy, "Continue a cut upload")
        .await?;
    let finished = finished.success()?;
    let link = only_line(&finished)?;
    ensure!(
        proxy.passed_bytes() > CUT_BYTES && finished.stderr.contains("curl: ("),
        "it was never cut: {finished:?}"
    );
    terminal.client().fetch(link, &holiday()).await?;
    let sent = proxy.passed_bytes();
    ensure!(
        sent < CUT_BYTES + holiday().len(),
        "{sent} bytes: it began again"
    );
    ledger_at_zero(&terminal.client()).await
}

#[tokio::test]
async fn curl_can_not_continue_an_upload_with_c() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let title = "Not possible: continue an upload with -C";
    let refused = terminal.run(title, "").await?;
    ensure!(
        refused.code == Some(22) && refused.stdout.contains("/errors/header-invalid"),
        "{refused:?}"
    );
    terminal.stores_nothing().await
}

#[tokio::test]
async fn curl_leaves_nothing_of_a_cut_upload() -> Result<()> {
    let terminal = Terminal::with_files("curl")?;
    let proxy = bad_network(&terminal, Way::Requests).await?;
    let cut = terminal.run_through(&proxy, "Send a file").await?;
    ensure!(cut.code != Some(0), "{cut:?}");
    ledger_at_zero(&terminal.client()).await?;
    terminal.stores_nothing().await
}

#[tokio::test]
async fn curl_fetches_a_file_under_its_own_name() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file under its own name";
    terminal.run(title, &sent.link).await?.success()?;
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn curl_fetches_the_rest_of_a_file() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let proxy = bad_network(&terminal, Way::Answers).await?;
    let title = "Fetch the rest of a file";
    let cut = terminal
        .run(title, &through(&proxy, &terminal, &sent.link))
        .await?;
    ensure!(cut.code == Some(18), "cut: {cut:?}");
    ensure!(terminal.holds("holiday.mp4", &holiday()).is_err());
    for what in ["the rest", "all is there"] {
        let finished = terminal.run(title, &sent.link).await?;
        finished.success().context(what)?;
        terminal.holds("holiday.mp4", &holiday()).context(what)?;
    }
    Ok(())
}

#[tokio::test]
async fn curl_fetches_over_a_bad_network() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let proxy = bad_network(&terminal, Way::Answers).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal
        .run("Fetch over a bad network", &link)
        .await?
        .success()?;
    ensure!(
        proxy.connections() == 2,
        "{} connections",
        proxy.connections()
    );
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn curl_fetches_a_part_of_a_file() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a part of a file";
    terminal.run(title, &sent.link).await?.success()?;
    let part = std::fs::read(terminal.folder.join("part.bin"))?;
    ensure!(part == holiday().bytes(1000..2000));
    Ok(())
}

#[tokio::test]
async fn curl_looks_at_a_file_without_fetching_it() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[("Max-Downloads", "1")]).await?;
    let title = "Look at a file without fetching it";
    let seen = terminal.run(title, &sent.link).await?.success()?;
    for line in [
        "HTTP/1.1 200 OK".to_owned(),
        format!("content-length: {}", holiday().len()),
        "accept-ranges: bytes".to_owned(),
        "content-disposition: attachment; filename=\"holiday.mp4\"".to_owned(),
    ] {
        ensure!(
            seen.stdout.lines().any(|seen| seen == line),
            "no {line:?} in {}",
            seen.stdout
        );
    }
    // A look is not a download.
    terminal.client().fetch(&sent.link, &holiday()).await?;
    Ok(())
}

#[tokio::test]
async fn curl_fetches_a_file_again_only_if_it_has_changed() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file again only if it has changed";
    let proxy = FaultProxy::start(terminal.server.address(), ddx_testkit::Fault::None).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal.run(title, &link).await?.success()?;
    terminal.holds("holiday.mp4", &holiday())?;
    proxy.set_on(
        Way::Answers,
        ddx_testkit::Fault::CutAfter(2000, ddx_testkit::Cut::Close),
    );
    terminal.run(title, &link).await?.success()?; // a 304 is shorter than 2000 bytes
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn curl_sees_the_files_under_one_link() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let share = terminal.sent_both().await?;
    let title = "See the files under one link";
    let seen = terminal.run(title, &share).await?.success()?;
    let expected = ["holiday.mp4", "notes.txt"].map(|name| format!("{share}/{name}"));
    ensure!(seen.stdout.lines().eq(expected), "{seen:?}");
    terminal
        .client()
        .fetch(Client::path_of(&format!("{share}/notes.txt")), &notes())
        .await?;
    Ok(())
}

#[tokio::test]
async fn curl_deletes_a_file() -> Result<()> {
    let terminal = Terminal::new("curl")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Delete a file";
    terminal.run(title, &sent.delete_link).await?.success()?;
    is_gone(&terminal.client().get(&sent.link).await?)?;
    let again = terminal.run(title, &sent.delete_link).await?;
    ensure!(again.code == Some(22), "deleted twice: {again:?}");
    terminal.stores_nothing().await
}
