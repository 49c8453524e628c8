//! wget.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Fault, FaultProxy, Way};

use super::manual::{Terminal, bad_network, holiday, is_gone, notes, only_line, through};
use crate::{ledger_at_zero, setup};

#[tokio::test]
async fn wget_sends_a_file() -> Result<()> {
    let terminal = Terminal::with_files("wget")?;
    let sent = terminal.run("Send a file", "").await?.success()?;
    let link = only_line(&sent)?;
    terminal.client().fetch(link, &holiday()).await?;
    let share = terminal.share(link).await?;
    ensure!(share["files"][0]["path"] == "holiday.mp4", "{share}");
    ledger_at_zero(&terminal.client()).await
}

/// wget sends all of the file before it reads the answer.
#[tokio::test]
async fn wget_sees_the_refusal_of_a_file_that_is_too_large() -> Result<()> {
    let small = setup().option("--file-bytes-max", "1MiB");
    let terminal = Terminal::at("wget", small)?;
    terminal.put_files()?;
    let refused = terminal.run("Send a file", "").await?;
    ensure!(
        refused.code == Some(8) && refused.stderr.contains("413"),
        "{refused:?}"
    );
    terminal.stores_nothing().await
}

#[tokio::test]
async fn wget_can_not_send_a_form() -> Result<()> {
    let terminal = Terminal::with_files("wget")?;
    let refused = terminal.run("Not possible: send a form", "").await?;
    ensure!(
        refused.code == Some(8) && refused.stdout.contains("/errors/content-type-refused"),
        "{refused:?}"
    );
    terminal.stores_nothing().await
}

#[tokio::test]
async fn wget_fetches_a_file_under_its_own_name() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file under its own name";
    terminal.run(title, &sent.link).await?.success()?;
    ensure!(terminal.names()? == ["holiday.mp4"]);
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn wget_fetches_the_rest_of_a_file() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let sent = terminal.sent(&[]).await?;
    terminal.leave_a_part()?;
    let proxy = bad_network(&terminal, Way::Answers).await?; // holds what is missing, not the whole
    proxy.set_on(
        Way::Answers,
        Fault::CutAfter(7 << 20, ddx_testkit::Cut::Close),
    );
    let link = through(&proxy, &terminal, &sent.link);
    let title = "Fetch the rest of a file";
    for what in ["the rest", "all is there"] {
        let finished = terminal.run(title, &link).await?;
        finished.success().context(what)?;
        terminal.holds("holiday.mp4", &holiday()).context(what)?;
    }
    ensure!(proxy.connections() == 2, "{}", proxy.connections());
    Ok(())
}

#[tokio::test]
async fn wget_fetches_over_a_bad_network() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let sent = terminal.sent(&[]).await?;
    let proxy = bad_network(&terminal, Way::Answers).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal
        .run("Fetch over a bad network", &link)
        .await?
        .success()?;
    ensure!(proxy.connections() == 2, "{}", proxy.connections());
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn wget_fetches_a_file_again_only_if_it_is_newer() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file again only if it is newer";
    let proxy = FaultProxy::start(terminal.server.address(), Fault::None).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal.run(title, &link).await?.success()?;
    terminal.holds("holiday.mp4", &holiday())?;
    let again = terminal.run(title, &link).await?.success()?;
    ensure!(again.stderr.contains("not retrieving"), "{again:?}");
    ensure!(terminal.names()? == ["holiday.mp4"]);
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn wget_fetches_all_files_under_one_link() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let share = terminal.sent_both().await?;
    let title = "Fetch all files under one link";
    terminal.run(title, &share).await?.success()?;
    ensure!(terminal.names()? == ["holiday.mp4", "notes.txt"]);
    terminal.holds("holiday.mp4", &holiday())?;
    terminal.holds("notes.txt", &notes())
}

#[tokio::test]
async fn wget_deletes_a_file() -> Result<()> {
    let terminal = Terminal::new("wget")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Delete a file";
    terminal.run(title, &sent.delete_link).await?.success()?;
    is_gone(&terminal.client().get(&sent.link).await?)?;
    terminal.stores_nothing().await
}
